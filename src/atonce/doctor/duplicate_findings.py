"""Findings about images and masks in pairs: duplicates, near duplicates, one mask under two images."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from atonce.data.dataset import Item
from atonce.doctor.findings import AffectedFile, Finding, about_files
from atonce.doctor.image_hashes import differ_little, near_pairs
from atonce.doctor.observations import ImageObservation, MaskObservation, Observations
from atonce.errors import option


@dataclass(frozen=True)
class ReadableImage:
    """An image that could be read, with its split, its item and what was observed of it and of its mask."""

    split: str
    item: Item
    image: ImageObservation
    mask: MaskObservation | None


@dataclass(frozen=True)
class SimilarImages:
    """The images of a data set, and which of them are nearly the same.

    Attributes:
        images: all images that could be read.
        near_pairs: int64 (P, 2), indices into `images` of pairs that are nearly, but not exactly, the same.
        near_bits: int64 (P,), bits of 256 in which the hashes of a pair differ.
    """

    images: tuple[ReadableImage, ...]
    near_pairs: NDArray[np.int64]
    near_bits: NDArray[np.int64]

    @property
    def duplicates(self) -> list[list[int]]:
        """Indices into `images` of those that are equal to the pixel, two at least in each list."""
        groups: defaultdict[bytes, list[int]] = defaultdict(list)
        for index, one in enumerate(self.images):
            groups[one.image.digest].append(index)
        return [group for group in groups.values() if len(group) > 1]

    @property
    def near_across_splits(self) -> NDArray[np.int64]:
        """Indices into `near_pairs` of the pairs between two splits, the nearest first."""
        if not len(self.near_pairs):
            return np.zeros(0, int)
        split = np.array([one.split for one in self.images])
        across = np.flatnonzero(split[self.near_pairs[:, 0]] != split[self.near_pairs[:, 1]])
        return across[np.argsort(self.near_bits[across], kind="stable")]


def find_similar_images(observations: Observations) -> SimilarImages:
    """Compare all images of all splits with each other.

    Blank ones are left out, and so are those too plain to be told apart: they resemble all of their kind.
    """
    images = [
        ReadableImage(split, observation.item, observation.image, observation.mask)
        for split, observed in observations.items()
        for observation in observed.items
        if observation.image is not None
    ]
    # Of images that are the same to the pixel the first one stands for all.
    first = {one.image.digest: index for index, one in reversed(list(enumerate(images))) if not one.image.blank}
    indices = np.array(sorted(first.values()), np.int64)
    hashes, contrasts = ([getattr(images[index].image, name) for index in indices] for name in ("hash", "contrast"))
    near, bits = near_pairs(hashes)
    if len(near):
        alike = differ_little(hashes, contrasts, near)
        near, bits = near[alike], bits[alike]
    return SimilarImages(tuple(images), indices[near] if len(near) else near, bits)


def duplicate_findings(similar: SimilarImages) -> list[Finding]:
    """Find images that are there twice to the pixel: inside a split, across splits, with different masks."""
    inside: list[AffectedFile] = []
    across: list[AffectedFile] = []
    contradicting: list[AffectedFile] = []
    for group in similar.duplicates:
        members = [similar.images[index] for index in group]
        first = members[0]
        for other in members[1:]:
            about = f"({other.split}) is the same picture as {first.item.image.name} ({first.split})"
            (inside if other.split == first.split else across).append(AffectedFile(other.item.image, about))
            if first.mask and other.mask and first.mask.digest != other.mask.digest:
                assert first.item.named_mask is not None and other.item.named_mask is not None
                about = f"differs from {first.item.named_mask.name}, though the pictures are the same"
                contradicting.append(AffectedFile(other.item.named_mask, about))
    findings = [
        about_files(
            "warning",
            "duplicates-across",
            f"{_pictures_are(across)} in two splits: scores on them measure memory",
            remedy=f"keep each picture in one split: see {option('write_split')}",
            files=across,
        ),
        about_files(
            "warning",
            "duplicates",
            f"{_pictures_are(inside)} twice in a split and counted twice",
            remedy="remove the copies, with their masks",
            files=inside,
        ),
        about_files(
            "warning",
            "contradiction",
            f"{len(contradicting)} of these copies have another mask",
            remedy="decide which mask is right and remove the other pair",
            files=contradicting,
        ),
        _repeated_masks(similar.images),
    ]
    return [finding for finding in findings if finding.count]


def _pictures_are(files: Sequence[AffectedFile]) -> str:
    return f"{len(files)} picture{'s are' if len(files) > 1 else ' is'}"


def _repeated_masks(images: Sequence[ReadableImage]) -> Finding:
    """Find one mask under many images: an export that went wrong. Masks of one value may well be the same."""
    groups: defaultdict[bytes, list[ReadableImage]] = defaultdict(list)
    for one in images:
        if one.mask is not None and not one.mask.constant:
            groups[one.mask.digest].append(one)
    files = []
    for group in groups.values():
        first = group[0]
        assert first.item.named_mask is not None
        files += [
            AffectedFile(
                other.item.named_mask, f"is the same mask as {first.item.named_mask.name}, under another picture"
            )
            for other in group[1:]
            if other.item.named_mask is not None and other.image.digest != first.image.digest
        ]
    found = f"{len(files)} mask{'s repeat' if len(files) > 1 else ' repeats'} the mask of another picture"
    remedy = "look whether the masks were exported rightly"
    return about_files("warning", "same-mask", found, remedy=remedy, files=files)


def near_duplicate_findings(similar: SimilarImages) -> list[Finding]:
    """Find images that are nearly the same: across splits that is leakage, inside one it is what a video is."""
    findings = []
    across = similar.near_across_splits
    if len(across):
        files, named = [], set[int]()
        for pair in across.tolist():
            a, b = (int(index) for index in similar.near_pairs[pair])
            if b not in named:
                named.add(b)
                near, one = similar.images[a], similar.images[b]
                bits = similar.near_bits[pair]
                about = f"({one.split}) resembles {near.item.image.name} ({near.split}): {bits} of 256 bits"
                files.append(AffectedFile(one.item.image, about))
        found = (
            f"leakage? {_pictures_are(files)} nearly the same as one of another split: frames of one video, or copies"
        )
        remedy = f"look at them; split by scene, not by picture: {option('write_split')} keeps such pictures together"
        findings.append(about_files("warning", "near-duplicates-across", found, remedy=remedy, files=files))
    inside = np.unique(np.delete(similar.near_pairs, across, axis=0)).tolist()
    for split in dict.fromkeys(one.split for one in similar.images):
        near_count = sum(similar.images[index].split == split for index in inside)
        if near_count:
            total = sum(one.split == split for one in similar.images)
            found = f"{near_count} of {total} pictures of '{split}' nearly repeat another one: a video, it seems"
            findings.append(Finding("note", "near-duplicates", found, "they teach less than their number says"))
    return findings
