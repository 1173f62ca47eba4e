"""Findings from a data set's statistics: its splits, how its classes are balanced, void, sizes of the images."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from atonce.data.class_statistics import DataStatistics
from atonce.data.dataset import Dataset
from atonce.data.splits import split_was_made
from atonce.doctor.findings import Finding
from atonce.doctor.kitti_road_findings import more_ground_truth
from atonce.errors import command, option
from atonce.text import count_of, listing

_MAX_VOID_SHARE = 0.5
FEW_TRAIN, FEW_VAL = 5, 2
"""Pictures of the splits below which not even a trial makes sense."""
_RARE_SHARE = 0.001
"""Share of the pixels below which a class will hardly be learned without help."""
_SMALL_SIDE = 32
"""Pixels of a side below which a picture is less than one position of the coarsest scores."""


def statistics_findings(dataset: Dataset, statistics: Mapping[str, DataStatistics]) -> list[Finding]:
    """Find what the counts of the masks and images that could be read show; also the notes of the data set."""
    return [
        *_splits(dataset, statistics),
        *_classes(dataset, statistics),
        *_void(statistics),
        *_sizes(statistics),
        *(Finding("note", "about", note) for note in dataset.notes),
    ]


def _splits(dataset: Dataset, statistics: Mapping[str, DataStatistics]) -> list[Finding]:
    findings, unreadable = [], False
    for split, use in (("train", "to train on"), ("val", "to choose the best model by")):
        found = statistics.get(split)
        if found is not None and found.masks == 0 and any(item.mask is not None for item in dataset.split(split)):
            # No mask could be read: what is wrong with each of them is said already.
            unreadable = True
        elif found is None or found.masks == 0:
            pictures = found.pictures if found else 0
            text = (
                f"split '{split}' has no picture with a mask that can be read ({count_of(pictures, 'picture')}), {use}"
            )
            have = ", ".join(f"{name} ({len(items)})" for name, items in dataset.splits.items() if items) or "none"
            findings.append(Finding("error", "split", text, f"splits there are: {have}"))
    return findings if findings or unreadable else _too_few(dataset, statistics)


def _too_few(dataset: Dataset, statistics: Mapping[str, DataStatistics]) -> list[Finding]:
    """Find splits so small that nothing can be learned from them, or said by them."""
    train, val = statistics["train"].masks, statistics["val"].masks
    if train >= FEW_TRAIN and val >= FEW_VAL:
        return []
    found = f"too few pictures: {train} to train on, {val} to validate with; scores on so few are chance"
    remedy = more_ground_truth(dataset) or "label some dozens at least"
    return [Finding("warning", "few-pictures", found, remedy)]


def _classes(dataset: Dataset, statistics: Mapping[str, DataStatistics]) -> list[Finding]:
    counted = {split: s.pixel_count for split, s in statistics.items() if s.masks}
    if not counted:
        return []
    names = np.array(dataset.labels.names)
    total = np.sum(list(counted.values()), axis=0)
    nowhere = names[total == 0].tolist()
    findings = []
    if nowhere:
        found = f"no mask shows {_classes_named(nowhere)}"
        remedy = (
            "nothing can be learned of it; take it out of the classes, or look whether its value or colour is right"
        )
        findings.append(Finding("warning", "empty-class", found, remedy))
    for split, count in counted.items():
        if absent := names[(count == 0) & (total > 0)].tolist():
            findings.append(_absent_classes(split, absent, dataset))
    train = counted.get("train")
    if train is None or not train.any():
        return findings
    share = train / train.sum()
    rare = names[(share > 0) & (share < _RARE_SHARE)].tolist()
    if rare:
        found = f"rare in training, under {_RARE_SHARE:.1%} of the pixels: {_classes_named(rare)}".replace("%", " %")
        findings.append(
            Finding("note", "rare-class", found, f"weigh the classes: {option('class_weights')} prints how")
        )
    return findings


def _absent_classes(split: str, names: list[str], dataset: Dataset) -> Finding:
    otherwise = f"split otherwise ({command('atonce', 'doctor', dataset.root)}{option('write_split', 'FOLDER')})"
    if split_was_made(dataset):
        another = option("set", f"data.split_seed={int(dataset.extras['split_seed']) + 1}")
        otherwise = f"train with another split ({another})"
    if split == "train":
        found = f"split 'train' never shows {_classes_named(names)}, but another split does"
        return Finding("warning", "absent-class", found, f"it cannot be learned: {otherwise}, or merge the class")
    found = f"split '{split}' never shows {_classes_named(names)}: no score for it there"
    return Finding("warning", "absent-class", found, f"{otherwise} if its score matters")


def _classes_named(names: list[str]) -> str:
    return ("" if len(names) == 1 else f"{len(names)} classes: ") + listing(names, 10)


def _void(statistics: Mapping[str, DataStatistics]) -> list[Finding]:
    much = [(split, s.void_share) for split, s in statistics.items() if s.masks and s.void_share > _MAX_VOID_SHARE]
    return [
        Finding(
            "warning",
            "void-share",
            f"{share:.0%} of split '{split}' is void and teaches nothing".replace("%", " %"),
            "look whether a class was taken for void (255, or what the classes file calls void)",
        )
        for split, share in much
    ]


def _sizes(statistics: Mapping[str, DataStatistics]) -> list[Finding]:
    sizes = {size for s in statistics.values() for size in s.sizes}
    findings = []
    small = sorted(size for size in sizes if min(size) < _SMALL_SIDE)
    if small:
        found = f"pictures are as small as {small[0][0]}x{small[0][1]}: an FCN scores blocks of 32x32 first"
        findings.append(Finding("note", "small", found, "scale them up with data.scale"))
    if len(sizes) > 1:
        aspects = [width / height for width, height in sizes]
        low, high = min(sizes, key=_area), max(sizes, key=_area)
        found = (
            f"{len(sizes)} sizes of pictures, {low[0]}x{low[1]} to {high[0]}x{high[1]}, "
            f"aspect ratios {min(aspects):.2f} to {max(aspects):.2f}"
        )
        findings.append(Finding("note", "sizes", found, "any size goes; crops (data.crop) make batches of them"))
    return findings


def _area(size: tuple[int, int]) -> int:
    return size[0] * size[1]
