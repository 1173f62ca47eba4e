"""`write_masks`: what was understood of any layout, as images/, masks/ and classes.yaml."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from atonce.data.dataset import Dataset
from atonce.data.formats import open_dataset
from atonce.doctor import examine, write_masks
from atonce.errors import DataError
from tests.data import annotation_trees, trees

TREES = {**trees.HEALTHY, **annotation_trees.TREES}


def _names(dataset: Dataset) -> dict[str, list[str]]:
    return {split: [item.name for item in items] for split, items in dataset.splits.items() if items}


@pytest.mark.parametrize("name", sorted(TREES))
def test_it_opens_again_with_the_same_classes_ids_and_splits(tmp_path: Path, name: str) -> None:
    examination = examine(TREES[name][1](tmp_path / "data"))
    before = examination.dataset
    assert before is not None
    written = write_masks(examination, tmp_path / "out")
    after = open_dataset(tmp_path / "out")
    assert after.format == "folder" and after.labels == before.labels and after.problems == ()
    assert _names(after) == _names(before) and written.broken == ()
    assert written.pictures == TREES[name][2]
    for split, items in before.splits.items():
        for one, other in zip(items, after.splits.get(split, ()), strict=True):
            expected, found = before.load(one), after.load(other)
            assert np.array_equal(expected.image, found.image)
            assert (expected.mask is None) == (found.mask is None)
            if expected.mask is not None and found.mask is not None:
                assert np.array_equal(expected.mask, found.mask)


def test_the_files_are_such_as_other_programs_read(tmp_path: Path) -> None:
    written = write_masks(examine(annotation_trees.cvat_coco(tmp_path / "data")), tmp_path / "out")
    assert (written.pictures, written.masks) == (5, 5)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["classes.yaml", "images", "masks"]
    mask = Image.open(sorted((tmp_path / "out/masks").rglob("*.png"))[0])
    assert mask.mode == "P" and np.array_equal(np.asarray(mask), annotation_trees.scene())
    assert "{name: road, colour: [" in (tmp_path / "out/classes.yaml").read_text()


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "out/masks").mkdir(parents=True)
    with pytest.raises(DataError, match="is there already"):
        write_masks(examine(trees.folder(tmp_path / "data")), tmp_path / "out")


def test_what_cannot_be_read_is_told_and_not_written(tmp_path: Path) -> None:
    (trees.folder(tmp_path / "data") / "masks/street0.png").write_bytes(b"no picture")
    written = write_masks(examine(tmp_path / "data"), tmp_path / "out")
    assert (
        written.pictures == 4 and len(written.broken) == 1 and "street0.png is not a picture" in str(written.broken[0])
    )
    assert not list((tmp_path / "out/images").rglob("street0.*"))


def test_of_what_is_no_data_set_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "data/stuff").mkdir(parents=True)
    with pytest.raises(DataError, match="could not be opened"):
        write_masks(examine(tmp_path / "data"), tmp_path / "out")


def test_fix_classes_proposes_labels_of_annotations(tmp_path: Path) -> None:
    from atonce.doctor import write_classes_file

    root = annotation_trees.labelme_splits(tmp_path)
    examination = write_classes_file(root, root / "classes.yaml")
    text = (root / "classes.yaml").read_text()
    assert "name: background" in text and "name: road" in text and not examination.wrong
    again = open_dataset(root)
    assert again.labels.names == ("background", "car", "road")


def test_fix_classes_names_labels_that_are_not_listed(tmp_path: Path) -> None:
    root = annotation_trees.labelme_splits(tmp_path / "data")
    (root / "classes.yaml").write_text("[background, road]")
    examination = examine(root)
    assert examination.wrong and "name: car" in examination.classes_yaml
    (root / "classes.yaml").write_text(examination.classes_yaml)
    assert open_dataset(root).labels.names == ("background", "road", "car") and not examine(root).wrong


def test_fix_classes_keeps_what_is_merged(tmp_path: Path) -> None:
    root = annotation_trees.image_label(tmp_path / "data")
    for text in ("[{name: rest, value: [0, 2]}, {name: road, value: 1}]", "[rest, road, rest]"):
        (root / "classes.yaml").write_text(text)
        (root / "classes.yaml").write_text(examine(root).classes_yaml)
        assert open_dataset(root).labels.names == ("rest", "road") and not examine(root).wrong
    root = annotation_trees.cvat_coco(tmp_path / "coco")
    (root / "classes.yaml").write_text("[{name: background, value: 0}, {name: thing, value: [1, 2]}]")
    (root / "classes.yaml").write_text(examine(root).classes_yaml)
    assert open_dataset(root).labels.names == ("background", "thing") and not examine(root).wrong
