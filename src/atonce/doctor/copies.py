"""Findings about pictures and masks in pairs: copies, near copies, one mask under two pictures."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from atonce.data.dataset import Item
from atonce.doctor.findings import File, Finding, about_files
from atonce.doctor.image_hashes import near_pairs
from atonce.doctor.observations import MaskLook, PictureLook, Record
from atonce.errors import option


@dataclass(frozen=True)
class Seen:
    """A picture that could be read: its split, item and looks."""

    split: str
    item: Item
    picture: PictureLook
    mask: MaskLook | None


@dataclass(frozen=True)
class Pairs:
    """Pictures of a data set and which of them are nearly the same.

    Attributes:
        seen: all pictures that could be read.
        near: int64 (P, 2), places in `seen` of pictures that are nearly, but not exactly, the same.
        bits: int64 (P,), bits of 256 in which their hashes differ.
    """

    seen: tuple[Seen, ...]
    near: NDArray[np.int64]
    bits: NDArray[np.int64]

    @property
    def same(self) -> list[list[int]]:
        """Places in `seen` of pictures that are the same to the pixel, two at least in each list."""
        groups: defaultdict[bytes, list[int]] = defaultdict(list)
        for place, seen in enumerate(self.seen):
            groups[seen.picture.digest].append(place)
        return [group for group in groups.values() if len(group) > 1]

    @property
    def across(self) -> NDArray[np.int64]:
        """Rows of `near` between two splits, the nearest first."""
        split = np.array([seen.split for seen in self.seen])
        apart = np.flatnonzero(split[self.near[:, 0]] != split[self.near[:, 1]]) if len(self.near) else np.zeros(0, int)
        return apart[np.argsort(self.bits[apart], kind="stable")]


def find_pairs(records: Mapping[str, Record]) -> Pairs:
    """Compare all pictures of all splits with each other. Blank ones are left out: they resemble all of their kind."""
    seen = [
        Seen(split, item, look.picture, look.mask)
        for split, record in records.items()
        for item, look in zip(record.items, record.looks, strict=True)
        if look.picture is not None
    ]
    first = {s.picture.digest: place for place, s in reversed(list(enumerate(seen))) if not s.picture.blank}
    places = np.array(sorted(first.values()), np.int64)
    near, bits = near_pairs([seen[place].picture.hash for place in places])
    return Pairs(tuple(seen), places[near] if len(near) else near, bits)


def copies(pairs: Pairs) -> list[Finding]:
    """Pictures that are there twice to the pixel: inside a split, across splits, with other masks."""
    inside: list[File] = []
    across: list[File] = []
    disagree: list[File] = []
    for group in pairs.same:
        members = [pairs.seen[place] for place in group]
        first = members[0]
        for other in members[1:]:
            text = f"is the same picture as {first.item.image.name} ({first.split})"
            (inside if other.split == first.split else across).append(File(other.item.image, f"({other.split}) {text}"))
            if first.mask and other.mask and first.mask.digest != other.mask.digest:
                assert first.item.mask is not None and other.item.mask is not None
                about = f"differs from {first.item.mask.name}, though the pictures are the same"
                disagree.append(File(other.item.mask, about))
    found = [
        about_files(
            "warning",
            "duplicates-across",
            f"{_pictures(across)} in two splits: scores on them measure memory",
            f"keep each picture in one split: see {option('write_split')}",
            across,
        ),
        about_files(
            "warning",
            "duplicates",
            f"{_pictures(inside)} twice in a split and counted twice",
            "remove the copies, with their masks",
            inside,
        ),
        about_files(
            "warning",
            "contradiction",
            f"{len(disagree)} of these copies have another mask",
            "decide which mask is right and remove the other pair",
            disagree,
        ),
        _same_mask(pairs.seen),
    ]
    return [finding for finding in found if finding.count]


def _pictures(files: Sequence[File]) -> str:
    return f"{len(files)} picture{'s are' if len(files) > 1 else ' is'}"


def _same_mask(seen: Sequence[Seen]) -> Finding:
    """One mask under many pictures: an export that went wrong. Masks of one value may well be the same."""
    groups: defaultdict[bytes, list[Seen]] = defaultdict(list)
    for one in seen:
        if one.mask is not None and not one.mask.plain:
            groups[one.mask.digest].append(one)
    files = []
    for group in groups.values():
        first = group[0]
        assert first.item.mask is not None
        files += [
            File(other.item.mask, f"is the same mask as {first.item.mask.name}, under another picture")
            for other in group[1:]
            if other.item.mask is not None and other.picture.digest != first.picture.digest
        ]
    found = f"{len(files)} mask{'s repeat' if len(files) > 1 else ' repeats'} the mask of another picture"
    return about_files("warning", "same-mask", found, "look whether the masks were exported rightly", files)


def near_copies(pairs: Pairs) -> list[Finding]:
    """Nearly the same picture: across splits a leak, inside one what a video is."""
    findings = []
    across = pairs.across
    if len(across):
        files, told = [], set[int]()
        for row in across.tolist():
            a, b = (int(place) for place in pairs.near[row])
            if b not in told:
                told.add(b)
                near, one = pairs.seen[a], pairs.seen[b]
                about = f"({one.split}) resembles {near.item.image.name} ({near.split}): {pairs.bits[row]} of 256 bits"
                files.append(File(one.item.image, about))
        found = f"leakage? {_pictures(files)} nearly the same as one of another split: frames of one video, or copies"
        remedy = f"look at them; split by scene, not by picture: {option('write_split')} keeps such pictures together"
        findings.append(about_files("warning", "near-duplicates-across", found, remedy, files))
    inside = np.delete(pairs.near, across, axis=0)
    for split in dict.fromkeys(seen.split for seen in pairs.seen):
        places = {place for place in np.unique(inside).tolist() if pairs.seen[place].split == split}
        if places:
            of = sum(seen.split == split for seen in pairs.seen)
            found = f"{len(places)} of {of} pictures of '{split}' nearly repeat another one: a video, it seems"
            findings.append(Finding("note", "near-duplicates", found, "they teach less than their number says"))
    return findings
