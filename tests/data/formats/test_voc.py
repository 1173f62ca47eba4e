"""Pascal VOC: the palette, the lists, SBD's masks beside them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from atonce.data.formats import open_dataset, voc
from tests.data import trees


class TestVoc:
    def test_palette(self) -> None:
        """Against the colours of the devkit."""
        assert [voc.voc_colour(i) for i in (0, 1, 2, 15, 20, 255)] == [
            (0, 0, 0), (128, 0, 0), (0, 128, 0), (192, 128, 128), (0, 64, 128), (224, 224, 192),
        ]  # fmt: skip

    @pytest.mark.parametrize("below", ["", "VOCdevkit", "VOCdevkit/VOC2012"])
    def test_root_at_any_level(self, tmp_path: Path, below: str) -> None:
        dataset = open_dataset(trees.voc2012(tmp_path) / below)
        assert dataset.format == "voc" and trees.item_names(dataset, "val") == ["2008_000000", "2008_000001"]

    def test_sbd_and_the_authors_validation_list(self, tmp_path: Path) -> None:
        dataset = open_dataset(trees.voc_with_sbd(tmp_path))
        assert trees.item_names(dataset, "val") == ["2008_000001"]
        masks = {item.name: item.mask_file.parent.name for item in dataset.split("train") if item.mask_file}
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
        assert len(dataset.split("train")) == 8 and trees.item_names(dataset, "val") == ["2008_000000", "2008_000001"]

    def test_masks_that_were_turned_into_rgb(self, tmp_path: Path) -> None:
        dataset = open_dataset(trees.voc2012(tmp_path))
        item = dataset.split("train")[0]
        before = trees.mask_of(dataset, item)
        assert item.mask_file is not None
        Image.open(item.mask_file).convert("RGB").save(item.mask_file)
        assert np.array_equal(trees.mask_of(dataset, item), before)
