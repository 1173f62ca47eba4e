"""CamVid and the piece of KITTI road, as they are distributed (ATONCE_TEST_DATA)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from atonce.data.checks import check
from atonce.data.formats import open_dataset


def test_camvid(real_data: Path) -> None:
    dataset = open_dataset(real_data / "data" / "camvid")
    assert dataset.format == "camvid"
    assert {split: len(items) for split, items in dataset.splits.items()} == {"train": 367, "val": 101}
    report = check(dataset)
    assert report.problems == () and dataset.notes == ()
    counts = report.statistics["train"].pixel_count + report.statistics["val"].pixel_count
    # Counted with numpy alone over all 468 masks.
    assert counts.tolist() == [
        12284387, 19281259, 721848, 25130056, 4366836, 9017887, 899583, 1251792, 4024593, 518916, 571977,
    ]  # fmt: skip
    assert sum(statistics.void_count for statistics in report.statistics.values()) == 2801266


def test_kitti_road(real_data: Path) -> None:
    root = real_data / "data" / "kitti_road_sample"
    road, lane = open_dataset(root), open_dataset(root, ground_truth="lane")
    assert {split: len(items) for split, items in road.splits.items()} == {"train": 1, "val": 1, "test": 9}
    assert {split: len(items) for split, items in lane.splits.items()} == {"train": 9, "val": 2, "test": 9}
    assert any("9 of 11 training pictures have no road ground truth" in note for note in road.notes)
    assert check(road, ("train", "val", "test")).problems == () == check(lane).problems
    um_0 = next(item for split in ("train", "val") for item in road.split(split) if item.name == "um_000000")
    mask = road.load(um_0).mask
    assert mask is not None and np.bincount(mask.ravel(), minlength=256)[[0, 1, 255]].tolist() == [398964, 61316, 5470]
