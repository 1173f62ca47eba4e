"""Findings about KITTI road: how much of the benchmark is there, which ground truth, whose calibration."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from atonce.data.dataset import Dataset
from atonce.data.pairing import images_in
from atonce.doctor.findings import AffectedFile, Finding, about_files
from atonce.errors import option
from atonce.text import count_of

# Fritsch, Kuehnl, Geiger 2013; the numbers of files in data_road.zip.
_TRAINING = {"um": 95, "umm": 96, "uu": 98}
_TESTING = {"um": 96, "umm": 94, "uu": 100}
_ABOUT = {"um": "marked", "umm": "several marked lanes", "uu": "unmarked"}


def kitti_road_findings(dataset: Dataset) -> list[Finding]:
    """Compare a KITTI road data set with the whole benchmark; nothing for other formats."""
    if dataset.format != "kitti-road":
        return []
    training = _images(dataset.root / "training" / "image_2")
    testing = _images(dataset.root / "testing" / "image_2")
    return [
        _completeness("training", training, _TRAINING),
        _completeness("testing", testing, _TESTING),
        *_calibration(dataset.root, "training", training),
        *_calibration(dataset.root, "testing", testing),
    ]


def _images(folder: Path) -> dict[str, Path]:
    return images_in(folder)[0] if folder.is_dir() else {}


def _completeness(part: str, images: dict[str, Path], whole: dict[str, int]) -> Finding:
    there = Counter(name.partition("_")[0] for name in images)
    if there == whole:
        return Finding("note", "kitti-road", f"all {sum(whole.values())} {part} pictures of KITTI road are there")
    counts = ", ".join(f"{group} ({_ABOUT[group]}) {there[group]} of {count}" for group, count in whole.items())
    found = f"{len(images)} of the {sum(whole.values())} {part} pictures of KITTI road are there: {counts}"
    lacking = [group for group in whole if not there[group]]
    remedy = "unpack data_road.zip again if all were meant to be there"
    if part == "training" and lacking:
        remedy = f"scores are not those of the benchmark without {' and '.join(lacking)}; {remedy}"
    return Finding("note", "kitti-road", found, remedy)


def more_ground_truth(dataset: Dataset) -> str:
    """Say where more ground truth is to be had: a sample may hold lanes only; "" for other formats, or all of it."""
    if dataset.format != "kitti-road":
        return ""
    kind = dataset.extras.get("ground_truth", "road")
    other = "lane" if kind == "road" else "road"
    names = _images(dataset.root / "training" / "gt_image_2")
    here, there = (sum(f"_{truth}_" in name for name in names) for truth in (kind, other))
    remedy = "" if here == sum(_TRAINING.values()) else "unpack the whole of data_road.zip"
    if there <= here:
        return remedy
    use = f"use {option('ground_truth', other)}: {count_of(there, 'picture')} here have it, {here} have '{kind}'"
    return f"{remedy}, or {use}" if remedy else use


def _calibration(root: Path, part: str, images: dict[str, Path]) -> list[Finding]:
    """Find pictures without calibration: they cannot be seen from above."""
    if not images:
        return []
    folder = root / part / "calib"
    without = [AffectedFile(path, f"has no {part}/calib/{name}.txt") for name, path in sorted(images.items())
               if not (folder / f"{name}.txt").is_file()]  # fmt: skip
    if not without:
        found = f"all {len(images)} {part} pictures have their calibration"
        return [Finding("note", "calibration", found)]
    found = f"{len(without)} of {count_of(len(images), f'{part} picture')} without calibration ({part}/calib/)"
    remedy = (
        f"unpack data_road.zip again for scores seen from above ({option('birdseye', value=True)}); training needs none"
        if part == "training"
        else "unpack data_road.zip again before you submit results"
    )
    return [about_files("note", "calibration", found, remedy=remedy, files=without)]
