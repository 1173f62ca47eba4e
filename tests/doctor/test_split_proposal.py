"""A split that is proposed: near copies stay together, and what is written can be opened."""

from __future__ import annotations

from pathlib import Path

import pytest

from atonce.data.formats import open_dataset
from atonce.doctor import examine, write_split
from atonce.doctor.split_proposal import propose_split
from atonce.errors import DataError
from tests.data import trees
from tests.doctor.scenes import scenes, smooth


class TestSplit:
    def test_copies_stay_together(self, tmp_path: Path) -> None:
        scenes(tmp_path, train=12, val=4)
        for i in range(4):
            (tmp_path / f"val/images/{i:03}.png").write_bytes((tmp_path / f"train/images/{i:03}.png").read_bytes())
        examination = examine(tmp_path)
        assert examination.similar_images is not None
        for seed in range(5):
            split = propose_split(tmp_path, examination.similar_images, val_fraction=0.25, seed=seed)
            contents = {name: {item.image.read_bytes() for item in items} for name, items in split.items()}
            assert not contents["train"] & contents["val"]
            assert len(split["train"]) + len(split["val"]) == 16 and 2 <= len(split["val"]) <= 4

    def test_lists_are_those_that_camvid_reads(self, tmp_path: Path) -> None:
        root = trees.camvid(tmp_path / "data", train=6, val=0)
        for i in range(6):
            trees.save(root / "train" / f"train_{i:05}.png", smooth(i))
        (root / "val.txt").unlink()
        examination = examine(root)
        (root / "train.txt").unlink()
        write_split(examination, root, val_fraction=0.34)
        again = open_dataset(root)
        assert {name: len(items) for name, items in again.splits.items()} == {"train": 4, "val": 2}

    def test_nothing_is_overwritten(self, tmp_path: Path) -> None:
        examination = examine(trees.folder(tmp_path))
        (tmp_path / "val.txt").write_text("mine")
        with pytest.raises(DataError, match=r"val\.txt is there already"):
            write_split(examination, tmp_path)
        assert (tmp_path / "val.txt").read_text() == "mine" and not (tmp_path / "train.txt").exists()

    def test_one_scene_cannot_be_split(self, tmp_path: Path) -> None:
        scenes(tmp_path, train=3, val=1)
        for path in sorted(tmp_path.glob("*/images/*.png")):
            trees.save(path, smooth(0))
        examination = examine(tmp_path)
        with pytest.raises(DataError, match="resemble each other"):
            write_split(examination, tmp_path / "lists")
        assert not (tmp_path / "lists").exists()
