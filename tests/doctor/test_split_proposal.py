"""A split that is proposed: near copies stay together, and what is written can be opened."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from atonce.data.dataset import Item
from atonce.data.formats import open_dataset
from atonce.data.open_options import OpenOptions
from atonce.data.splits import split_items
from atonce.doctor import examine, write_split
from atonce.doctor.duplicate_findings import ReadableImage, SimilarImages
from atonce.doctor.observations import ImageObservation
from atonce.doctor.split_proposal import propose_split
from atonce.errors import DataError
from tests.commands import Command
from tests.data import trees
from tests.doctor.scenes import regions, scenes, smooth


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

    @pytest.mark.parametrize("groups", [("",), ("um", "uu"), ("um", "umm", "uu", "x", "y", "z", "u", "v")])
    @pytest.mark.parametrize("seed", [0, 3])
    def test_pictures_that_do_not_resemble_each_other_are_split_as_by_training(
        self, tmp_path: Path, groups: tuple[str, ...], seed: int
    ) -> None:
        items = [
            Item(f"{i:03}", tmp_path / f"{i:03}.png", tmp_path / "mask.png", groups[i % len(groups)]) for i in range(8)
        ]
        observed = [
            ImageObservation(digest=bytes([i]), hash=b"", contrast=b"", mode="RGB", exif_rotation="", blank="")
            for i in range(8)
        ]
        readable = tuple(ReadableImage("train", *pair, None) for pair in zip(items, observed, strict=True))
        similar = SimilarImages(readable, np.zeros((0, 2), np.int64), np.zeros(0, np.int64))
        expected, _, _ = split_items(items, OpenOptions(seed=seed, val_fraction=0.3))
        found = propose_split(tmp_path, similar, val_fraction=0.3, seed=seed, anew=False)
        assert {name: tuple(side) for name, side in found.items()} == expected

    def test_what_is_written_is_what_training_takes(self, tmp_path: Path, atonce: Command) -> None:
        """And so what the doctor prints of it is true of what it writes, whatever the seed."""
        root = tmp_path / "data"
        for i in range(10):
            trees.save(root / "images" / f"street{i}.png", smooth(i))
            trees.save(root / "masks" / f"street{i}.png", regions(i) // 3)
        for seed in (0, 2):
            lists = tmp_path / f"lists{seed}"
            done = atonce("doctor", root, "--write-split", lists, "--seed", seed)
            assert done.code == 0
            assert f"split made here with seed {seed}: 8 train, 2 val" in " ".join(done.out.split())
            assert f"takes this split without the lists, by --set data.split_seed={seed}" in done.err
            trained = open_dataset(root, seed=seed)
            for name in ("train", "val"):
                written = [line.split()[0] for line in (lists / f"{name}.txt").read_text().splitlines()]
                assert written == [str(item.image.relative_to(root)) for item in trained.split(name)]

    def test_what_a_written_split_never_shows_is_said(self, tmp_path: Path, atonce: Command) -> None:
        root = tmp_path / "data"
        for i in range(10):
            # Two scenes alike, so that it is not the split of a training.
            trees.save(root / "images" / f"street{i}.png", smooth(max(1, i)))
            trees.save(root / "masks" / f"street{i}.png", _mask(i))
        val = {
            seed: {item.name for item in write_split(examine(root), tmp_path / f"{seed}", seed=seed)["val"]}
            for seed in range(5)
        }
        assert any("street4" in names for names in val.values())
        for seed, names in val.items():
            done = atonce("doctor", root, "--write-split", tmp_path / f"by command {seed}", "--seed", seed)
            missing = "train" if "street4" in names else "val"
            assert f"warning: {missing}.txt never shows class 2; another --seed gives another split" in done.err
            assert "train/images/ and train/masks/" in done.err or "takes this split" in done.err


def _mask(i: int) -> np.ndarray:
    """The values 0 and 1, and in the fifth picture 2."""
    cells = regions(i)
    return np.where(cells > 3, np.uint8(2 if i == 4 else 0), cells // np.uint8(3))
