"""Folders of images/ and masks/, with all kinds of masks."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
from PIL import Image

from atonce.data.formats import open_dataset
from tests.data import trees
from tests.systems import needs_links


def test_split_is_recorded(tmp_path: Path) -> None:
    dataset = open_dataset(trees.folder(tmp_path, count=10), seed=1, val_fraction=0.3)
    assert [len(dataset.splits[s]) for s in ("train", "val")] == [7, 3]
    assert json.loads(dataset.extras["split_val"]) == trees.item_names(dataset, "val")


def test_index_masks_without_names(tmp_path: Path) -> None:
    dataset = open_dataset(trees.folder(tmp_path, values=(0, 1, 4, 255)))
    assert dataset.labels.names == ("class 0", "class 1", "class 2", "class 3", "class 4")
    assert "no classes.yaml: 5 classes, from the values found in 5 of 5 masks" in dataset.notes


def test_palette_lends_its_colours(tmp_path: Path) -> None:
    dataset = open_dataset(trees.folder_palette(tmp_path))
    assert dataset.labels.palette == tuple(trees.COLOURS[i] for i in range(3))


def test_palette_indices_are_kept_beside_names(tmp_path: Path) -> None:
    trees.folder_palette(tmp_path)
    (tmp_path / "classes.yaml").write_text("[sky, road, car]")
    dataset = open_dataset(tmp_path)
    item = dataset.split("train")[0]
    assert item.mask_file is not None
    assert np.array_equal(trees.mask_of(dataset, item), np.asarray(Image.open(item.mask_file)))


def test_palette_of_a_quantised_rgb_mask_is_read_by_colour(tmp_path: Path) -> None:
    trees.folder_rgb(tmp_path)
    before = open_dataset(tmp_path)
    expected = {i.name: trees.mask_of(before, i) for i in before.split("train")}
    for path in (tmp_path / "masks").iterdir():
        Image.open(path).quantize(256).save(path)
    dataset = open_dataset(tmp_path)
    assert any("read by their colours" in note for note in dataset.notes)
    for item in dataset.split("train"):
        assert np.array_equal(trees.mask_of(dataset, item), expected[item.name])


def test_0_and_255_with_values_in_the_classes_file(tmp_path: Path) -> None:
    trees.folder(tmp_path, values=(0, 255))
    (tmp_path / "classes.yaml").write_text("[{name: background, value: 0}, {name: foreground, value: 255}]")
    dataset = open_dataset(tmp_path)
    item = dataset.split("train")[0]
    assert item.mask_file is not None
    assert np.array_equal(trees.mask_of(dataset, item), np.asarray(Image.open(item.mask_file)) // 255)


def test_one_bit_masks_are_0_and_1(tmp_path: Path) -> None:
    trees.folder(tmp_path, values=(0, 1))
    for path in (tmp_path / "masks").iterdir():
        Image.fromarray(np.asarray(Image.open(path)).astype(bool)).save(path)
    dataset = open_dataset(tmp_path)
    assert dataset.labels.names == ("class 0", "class 1")
    assert set(np.unique(trees.mask_of(dataset, dataset.split("train")[0]))) == {0, 1}


def test_endings_of_annotation_tools(tmp_path: Path) -> None:
    for path in (trees.folder(tmp_path) / "masks").iterdir():
        path.rename(path.with_name(f"{path.stem}_mask.png"))
    dataset = open_dataset(tmp_path)
    assert dataset.problems == () and trees.item_names(dataset, "train")[0].startswith("street")


def test_folders_below(tmp_path: Path) -> None:
    for kind in ("images", "masks"):
        (tmp_path / "all" / kind).mkdir(parents=True)
    for drive in ("a", "b"):
        trees.folder(tmp_path / drive)
        for kind in ("images", "masks"):
            (tmp_path / drive / kind).rename(tmp_path / "all" / kind / drive)
    dataset = open_dataset(tmp_path / "all")
    assert dataset.problems == () and len(dataset.split("train")) + len(dataset.split("val")) == 10
    assert trees.item_names(dataset, "train")[0].startswith("a__street")


def test_what_is_no_picture_is_left_alone(tmp_path: Path) -> None:
    trees.folder(tmp_path)
    for name in (".DS_Store", "._street0.jpg", "Thumbs.db", "licence.txt"):
        (tmp_path / "images" / name).write_text("x")
    assert open_dataset(tmp_path).problems == ()


def test_train_without_val_is_split(tmp_path: Path) -> None:
    trees.folder_splits(tmp_path)
    shutil.rmtree(tmp_path / "val")
    dataset = open_dataset(tmp_path)
    assert {k: len(v) for k, v in dataset.splits.items()} == {"train": 3, "val": 1, "test": 2}


def test_accents_in_both_forms(tmp_path: Path) -> None:
    """macOS writes é as e and an accent, others as one character."""
    trees.save(tmp_path / "images" / "caf\u00e9.png", trees.picture(0))
    trees.save(tmp_path / "masks" / "cafe\u0301.png", trees.ids(0, (0, 1)))
    assert open_dataset(tmp_path).problems == ()


@needs_links
def test_links_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    trees.folder(tmp_path / "real")
    (tmp_path / "data").mkdir()
    for kind in ("images", "masks"):
        (tmp_path / "data" / kind).symlink_to(tmp_path / "real" / kind)
        (tmp_path / "real" / kind / "again").symlink_to(tmp_path / "real" / kind)
    dataset = open_dataset(tmp_path / "data")
    assert dataset.problems == () and len(dataset.split("train")) + len(dataset.split("val")) == 5
