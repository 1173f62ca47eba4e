"""What every reader of a format promises, on every published layout."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from atonce.data.checks import check, fingerprint, raise_for_problems
from atonce.data.dataset import Dataset
from atonce.data.formats import FORMATS, ClassesNeeded, open_dataset, recognise
from atonce.errors import DataError
from atonce.labels import IGNORE_INDEX
from atonce.recipes import load_recipe
from tests.data import annotation_trees, trees
from tests.data.conftest import Tree


def _names(dataset: Dataset) -> dict[str, list[str]]:
    return {split: [item.name for item in items] for split, items in dataset.splits.items()}


def test_recognises_the_layout(healthy: Tree) -> None:
    assert recognise(healthy.root) == healthy.format
    assert open_dataset(healthy.root).format == healthy.format
    assert open_dataset(str(healthy.root), format=healthy.format).format == healthy.format


@pytest.mark.parametrize("recipe", ["streets", "folder"])
def test_recipes_for_any_data_recognise_the_layout(healthy: Tree, recipe: str) -> None:
    asked = load_recipe(recipe).data.format
    dataset = open_dataset(healthy.root, asked)
    assert dataset.format == healthy.format
    assert all(item.mask is not None for item in dataset.split("train"))


@pytest.mark.parametrize("asked", FORMATS)
def test_a_format_that_does_not_fit_is_answered_with_the_one_that_does(healthy: Tree, asked: str) -> None:
    """Some layouts can be read as another one, too; then there are masks."""
    try:
        splits = open_dataset(healthy.root, asked).splits
    except ClassesNeeded:
        pytest.skip(f"{asked} reads these masks, and asks for their classes")
    except DataError as error:
        assert error.remedy == f"it is {healthy.format}: format='{healthy.format}'"
    else:
        assert any(item.mask is not None for items in splits.values() for item in items)


def test_healthy_tree_has_no_problem(healthy: Tree) -> None:
    dataset = open_dataset(healthy.root)
    report = check(dataset, ("train", "val", "test"))
    assert report.problems == ()
    raise_for_problems(report.problems, dataset)


def test_nothing_is_dropped_and_splits_are_disjoint(healthy: Tree) -> None:
    dataset = open_dataset(healthy.root)
    items = [item for split in dataset.splits.values() for item in split]
    assert len(items) == healthy.pictures
    assert len({item.image for item in items}) == len(items)
    assert dataset.splits["train"] and dataset.splits["val"]
    for names in _names(dataset).values():
        assert names == sorted(set(names))
        assert all(Path(name).name == name for name in names), "a name must do as a file stem"


def test_every_item_loads_with_valid_ids(healthy: Tree) -> None:
    dataset = open_dataset(healthy.root)
    known = {*range(dataset.labels.num_classes), IGNORE_INDEX}
    for split, items in dataset.splits.items():
        for item in items:
            sample = dataset.load(item)
            assert sample.image.dtype == np.uint8 and sample.image.shape == (trees.HEIGHT, trees.WIDTH, 3)
            assert (sample.mask is None) == (split == "test" and not healthy.tests_have_masks)
            if sample.mask is not None:
                assert sample.mask.dtype == np.uint8 and sample.mask.shape == sample.image.shape[:2]
                assert set(np.unique(sample.mask)) <= known


def raw_values(path: Path) -> NDArray[np.int64]:
    """A mask as its file holds it, int64 (H, W); a colour as red + 256 green + 65536 blue."""
    raw = np.asarray(Image.open(path)).astype(np.int64)
    return raw if raw.ndim == 2 else raw @ np.array([1, 256, 65536])


def test_masks_are_translated_pixel_by_pixel(healthy: Tree) -> None:
    """Blocks of the file stay blocks: one value in the file gives one id, nothing in between appears."""
    dataset = open_dataset(healthy.root)
    for item in dataset.splits["train"]:
        if not isinstance(item.mask, Path):
            continue
        raw = raw_values(item.mask)
        mask = dataset.read_mask(item.mask).astype(np.int64)
        assert len(np.unique(raw * 1000 + mask)) == len(np.unique(raw)), "a value in the file became two ids"
        assert np.array_equal(mask[::2, ::2].repeat(2, 0).repeat(2, 1), mask)


def void_values(root: Path, format: str) -> tuple[int, ...]:
    """What stands for void in the files of a tree; a colour as red + 256 green + 65536 blue."""
    if format == "cityscapes":
        scored = {7, 8, 11, 12, 13, 17, *range(19, 29), 31, 32, 33}
        return (255,) if any(root.rglob("*_labelTrainIds.png")) else tuple({*range(34)} - scored)
    return {"camvid": (11,), "kitti-road": (0,), "voc": (255,), "folder": (255,)}[format]


def test_void_of_each_convention_is_255_and_nothing_else_is(healthy: Tree) -> None:
    dataset = open_dataset(healthy.root)
    if healthy.name in annotation_trees.TREES:
        for item in dataset.splits["train"]:
            assert (trees.mask_of(dataset, item) == IGNORE_INDEX).any() == healthy.has_void
        return
    of_colours = healthy.format == "folder" and (healthy.root / "classes.yaml").exists()
    void = (0,) if of_colours else void_values(healthy.root, healthy.format)
    seen = 0
    for item in dataset.splits["train"]:
        assert isinstance(item.mask, Path)
        expected = np.isin(raw_values(item.mask), void)
        assert np.array_equal(trees.mask_of(dataset, item) == IGNORE_INDEX, expected)
        seen += int(expected.sum())
    # The trees whose classes are named in a CSV file are labelled everywhere.
    assert (seen == 0) == (healthy.root / "classes.csv").exists()


def test_annotations_become_the_pixels_that_were_drawn(healthy: Tree) -> None:
    """Whatever a tool calls a region and in whatever order: smaller over larger, background where nothing is drawn."""
    if not healthy.is_scene:
        return
    dataset = open_dataset(healthy.root)
    class_of = np.array([dataset.labels.names.index(name) for name in annotation_trees.NAMES])
    for items in dataset.splits.values():
        for item in items:
            assert np.array_equal(trees.mask_of(dataset, item), class_of[annotation_trees.scene()])


def test_all_classes_arrive(healthy: Tree) -> None:
    dataset = open_dataset(healthy.root)
    assert (check(dataset).statistics["train"].pixel_count > 0).all()


def test_opening_twice_gives_the_same(healthy: Tree) -> None:
    one, two = open_dataset(healthy.root), open_dataset(healthy.root)
    assert _names(one) == _names(two)
    assert fingerprint(one) == fingerprint(two)


def test_dataset_can_be_pickled_for_worker_processes(healthy: Tree) -> None:
    dataset = open_dataset(healthy.root)
    again = pickle.loads(pickle.dumps(replace(dataset, splits=dict(dataset.splits))))
    item = dataset.splits["train"][0]
    assert np.array_equal(trees.mask_of(again, item), trees.mask_of(dataset, item))


def test_every_format_is_covered() -> None:
    covered = [*trees.HEALTHY.values(), *annotation_trees.TREES.values()]
    assert {format for format, _, _ in covered} == set(FORMATS)
