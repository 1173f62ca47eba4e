"""KITTI road: three categories, ground truth in colours, a split that is stratified and recorded."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from atonce.data.formats import open_dataset
from atonce.data.formats.kitti_road import read_ground_truth
from atonce.labels import KITTI_ROAD
from tests.data import trees


class TestKittiRoad:
    def test_ground_truth_colours(self, tmp_path: Path) -> None:
        colours = [(0, 0, 0), (255, 0, 0), (255, 0, 255), (0, 0, 255), (1, 0, 1)]
        trees.save(tmp_path / "um_road_000000.png", np.array([colours], np.uint8))
        assert read_ground_truth(tmp_path / "um_road_000000.png").tolist() == [[255, 0, 1, 255, 1]]

    @pytest.mark.parametrize("below", ["", "data_road"])
    def test_root_or_its_parent(self, tmp_path: Path, below: str) -> None:
        trees.kitti_road(tmp_path / below)
        dataset = open_dataset(tmp_path)
        assert dataset.format == "kitti-road" and dataset.root == tmp_path / below and dataset.labels == KITTI_ROAD

    def test_split_is_stratified_and_recorded(self, tmp_path: Path) -> None:
        dataset = open_dataset(trees.kitti_road(tmp_path, um=10, umm=10, uu=10), seed=7, val_fraction=0.3)
        assert sorted(item.group for item in dataset.split("val")) == ["um"] * 3 + ["umm"] * 3 + ["uu"] * 3
        assert dataset.extras["split_seed"] == "7" and dataset.extras["split_val_fraction"] == "0.3"
        assert json.loads(dataset.extras["split_val"]) == trees.item_names(dataset, "val")
        assert any("seed 7, stratified over um, umm, uu: 21 train, 9 val" in note for note in dataset.notes)

    def test_lane_is_there_for_um_only(self, tmp_path: Path) -> None:
        dataset = open_dataset(trees.kitti_road(tmp_path), ground_truth="lane")
        assert len(dataset.split("train")) + len(dataset.split("val")) == 5
        assert all(item.mask and "_lane_" in item.mask.name for item in dataset.split("train"))
        assert any("10 of 15 training pictures have no lane ground truth" in note for note in dataset.notes)
        assert dataset.problems == () and dataset.extras["ground_truth"] == "lane"

    def test_two_pictures_with_road_give_one_and_one(self, tmp_path: Path) -> None:
        trees.kitti_road(tmp_path, um=11, umm=0, uu=0)
        for path in sorted(tmp_path.glob("training/gt_image_2/um_road_*"))[2:]:
            path.unlink()
        dataset = open_dataset(tmp_path)
        assert len(dataset.split("train")) == len(dataset.split("val")) == 1
        assert "9 of 11 training pictures have no road ground truth and are left out: um_000002" in dataset.notes[1]

    def test_testing_has_no_masks(self, tmp_path: Path) -> None:
        dataset = open_dataset(trees.kitti_road(tmp_path))
        assert [(i.name, i.mask, i.group) for i in dataset.split("test")] == [
            ("umm_000000", None, "umm"),
            ("umm_000001", None, "umm"),
        ]
