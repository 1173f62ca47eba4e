"""What each published layout has of its own."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from atonce.data.dataset import Dataset
from atonce.data.formats import cityscapes, open_dataset, voc
from atonce.data.formats.kitti_road import read_ground_truth
from atonce.labels import CAMVID, KITTI_ROAD
from tests.data import trees


def _names(dataset: Dataset, split: str) -> list[str]:
    return [item.name for item in dataset.split(split)]


_ASSUMED = "the class names of CamVid are assumed"


def _other_notes(dataset: Dataset) -> list[str]:
    return [note for note in dataset.notes if _ASSUMED not in note]


class TestCamVid:
    def test_lists_under_any_prefix(self, tmp_path: Path) -> None:
        trees.camvid(tmp_path)
        for split in ("train", "val"):
            path = tmp_path / f"{split}.txt"
            path.write_text(
                path.read_text().replace("/SegNet/CamVid/", "C:\\data\\").replace("/", "\\").replace("\n", "\r\n")
            )
        dataset = open_dataset(tmp_path)
        assert [len(dataset.splits[s]) for s in ("train", "val")] == [4, 2]
        assert dataset.labels == CAMVID and dataset.problems == () and _other_notes(dataset) == []

    def test_pictures_not_listed_are_noted(self, tmp_path: Path) -> None:
        trees.camvid(tmp_path)
        trees.save(tmp_path / "train" / "extra.png", trees.picture(0))
        dataset = open_dataset(tmp_path)
        assert _other_notes(dataset) == ["train/ holds 1 that train.txt does not list, left out: extra"]

    def test_a_picture_without_its_mask_is_missing_not_unlisted(self, tmp_path: Path) -> None:
        (trees.camvid(tmp_path) / "trainannot" / "train_00000.png").unlink()
        dataset = open_dataset(tmp_path)
        assert [problem.kind for problem in dataset.problems] == ["missing"] and _other_notes(dataset) == []

    def test_its_names_are_assumed_and_said_unless_the_pictures_are_called_as_its_own(self, tmp_path: Path) -> None:
        trees.camvid(tmp_path, lists=False)
        assert any(_ASSUMED in note for note in open_dataset(tmp_path).notes)
        for path in [*tmp_path.glob("*/*.png")]:
            path.rename(path.with_name(f"0001TP_{path.stem[-6:].replace('_', '0')}.png"))
        dataset = open_dataset(tmp_path)
        assert dataset.format == "camvid" and dataset.labels == CAMVID and dataset.notes == ()

    def test_without_validation_a_split_is_made(self, tmp_path: Path) -> None:
        trees.camvid(tmp_path, train=10)
        for name in ("val", "valannot"):
            shutil.rmtree(tmp_path / name)
        (tmp_path / "val.txt").unlink()
        dataset = open_dataset(tmp_path, seed=3)
        assert [len(dataset.splits[s]) for s in ("train", "val")] == [8, 2]
        assert dataset.extras["split_seed"] == "3"

    def test_255_is_void_too(self, tmp_path: Path) -> None:
        trees.camvid(tmp_path)
        trees.save(tmp_path / "trainannot" / "train_00000.png", np.full((trees.HEIGHT, trees.WIDTH), 255, np.uint8))
        dataset = open_dataset(tmp_path)
        assert (dataset.load(dataset.splits["train"][0]).mask == 255).all()

    def test_test_pictures_without_ground_truth(self, tmp_path: Path) -> None:
        trees.save(trees.camvid(tmp_path) / "test" / "a.png", trees.picture(0))
        assert [item.mask for item in open_dataset(tmp_path).splits["test"]] == [None]


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
        assert json.loads(dataset.extras["split_val"]) == _names(dataset, "val")
        assert any("seed 7, stratified over um, umm, uu: 21 train, 9 val" in note for note in dataset.notes)

    def test_lane_is_there_for_um_only(self, tmp_path: Path) -> None:
        dataset = open_dataset(trees.kitti_road(tmp_path), ground_truth="lane")
        assert len(dataset.split("train")) + len(dataset.split("val")) == 5
        assert all("_lane_" in item.mask.name for item in dataset.split("train") if item.mask)
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


class TestCityscapes:
    def test_label_ids_become_train_ids(self, tmp_path: Path) -> None:
        """Against the published table: 7 road, 8 sidewalk, 11 building, ... 33 bicycle."""
        label_ids = np.arange(34, dtype=np.uint8)[None]
        path = trees.save(tmp_path / "a_gtFine_labelIds.png", label_ids)
        expected = {7: 0, 8: 1, 11: 2, 12: 3, 13: 4, 17: 5, 19: 6, 20: 7, 21: 8, 22: 9, 23: 10}
        expected |= {24: 11, 25: 12, 26: 13, 27: 14, 28: 15, 31: 16, 32: 17, 33: 18}
        assert cityscapes.read_mask(path)[0].tolist() == [expected.get(i, 255) for i in range(34)]

    def test_train_ids_are_preferred_and_stay(self, tmp_path: Path) -> None:
        dataset = open_dataset(trees.cityscapes_tree(tmp_path, train_ids=True))
        item = dataset.split("train")[0]
        assert item.mask is not None and item.mask.name == "aachen_000000_000019_gtFine_labelTrainIds.png"
        assert np.array_equal(dataset.read_mask(item.mask), np.asarray(Image.open(item.mask)))

    def test_names_and_groups(self, tmp_path: Path) -> None:
        dataset = open_dataset(trees.cityscapes_tree(tmp_path))
        assert [(i.name, i.group) for i in dataset.split("val")] == [
            ("lindau_000000_000019", "lindau"),
            ("lindau_000001_000019", "lindau"),
        ]
        assert dataset.labels.num_classes == 19 and dataset.labels.names[18] == "bicycle"


class TestVoc:
    def test_palette(self) -> None:
        """Against the colours of the devkit."""
        assert [voc.voc_colour(i) for i in (0, 1, 2, 15, 20, 255)] == [
            (0, 0, 0), (128, 0, 0), (0, 128, 0), (192, 128, 128), (0, 64, 128), (224, 224, 192),
        ]  # fmt: skip

    @pytest.mark.parametrize("below", ["", "VOCdevkit", "VOCdevkit/VOC2012"])
    def test_root_at_any_level(self, tmp_path: Path, below: str) -> None:
        dataset = open_dataset(trees.voc2012(tmp_path) / below)
        assert dataset.format == "voc" and _names(dataset, "val") == ["2008_000000", "2008_000001"]

    def test_sbd_and_the_authors_validation_list(self, tmp_path: Path) -> None:
        dataset = open_dataset(trees.voc_with_sbd(tmp_path))
        assert _names(dataset, "val") == ["2008_000001"]
        masks = {item.name: item.mask.parent.name for item in dataset.split("train") if item.mask}
        assert masks["2007_000000"] == "SegmentationClass" and masks["2009_000003"] == "SegmentationClassAug"
        assert "2008_000001" not in masks
        assert any("1 validation pictures were in the training list" in note for note in dataset.notes)

    def test_trainval_alone_is_split(self, tmp_path: Path) -> None:
        base = trees.voc2012(tmp_path, train=8) / "VOCdevkit/VOC2012/ImageSets/Segmentation"
        (base / "train.txt").unlink()
        (base / "val.txt").unlink()
        dataset = open_dataset(tmp_path)
        assert [len(dataset.splits[s]) for s in ("train", "val")] == [8, 2]

    def test_trainval_beside_val_trains_on_the_rest(self, tmp_path: Path) -> None:
        base = trees.voc2012(tmp_path, train=8) / "VOCdevkit/VOC2012/ImageSets/Segmentation"
        (base / "train.txt").unlink()
        dataset = open_dataset(tmp_path)
        assert len(dataset.split("train")) == 8 and _names(dataset, "val") == ["2008_000000", "2008_000001"]

    def test_masks_that_were_turned_into_rgb(self, tmp_path: Path) -> None:
        dataset = open_dataset(trees.voc2012(tmp_path))
        item = dataset.split("train")[0]
        before = dataset.load(item).mask
        assert item.mask is not None
        Image.open(item.mask).convert("RGB").save(item.mask)
        assert np.array_equal(dataset.load(item).mask, before)
