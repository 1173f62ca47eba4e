"""CamVid as the SegNet tutorial has it: lists under any prefix, 11 and 255 for void."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from atonce.data.dataset import Dataset
from atonce.data.formats import open_dataset
from atonce.labels import CAMVID
from tests.data import trees

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
        assert (trees.mask_of(dataset, dataset.splits["train"][0]) == 255).all()

    def test_test_pictures_without_ground_truth(self, tmp_path: Path) -> None:
        trees.save(trees.camvid(tmp_path) / "test" / "a.png", trees.picture(0))
        assert [item.mask for item in open_dataset(tmp_path).splits["test"]] == [None]
