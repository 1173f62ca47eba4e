"""Masks as people paint them: soft borders are snapped to the classes beside them, and to no other."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from atonce.data.classes_file import read_border_rule
from atonce.data.formats import ClassesNeeded, open_dataset
from atonce.data.images import FileError
from atonce.data.masks import ClassMask
from atonce.data.soft_borders import BorderRule, in_regions, on_segments
from atonce.errors import DataError
from tests.data import trees
from tests.data.broken import train_on
from tests.data.painted import COLOURS, GREYS, paint, painted_folder

NAMED = "classes:\n" + "".join(f"  - {{name: c{i}, colour: {list(c)}}}\n" for i, c in enumerate(COLOURS))
NUMBERED = "classes:\n" + "".join(f"  - {{name: c{i}, value: {v}}}\n" for i, v in enumerate(GREYS))


@pytest.mark.parametrize("how", [Image.Resampling.BOX, Image.Resampling.BILINEAR, Image.Resampling.LANCZOS])
@pytest.mark.parametrize("colour", [True, False])
def test_ten_shapes_have_ten_classes(colour: bool, how: Image.Resampling, tmp_path: Path) -> None:
    painted_folder(tmp_path, colour=colour, how=how)
    with pytest.raises(
        ClassesNeeded, match=r"10 (colours|values) that fill regions .* that lie along borders only"
    ) as e:
        open_dataset(tmp_path)
    assert e.value.proposal.count("name:") == 10 and "borders: nearest" in e.value.proposal
    (tmp_path / "classes.yaml").write_text(e.value.proposal)
    train_on(tmp_path)
    assert open_dataset(tmp_path).labels.num_classes == 10


def test_grey_levels_as_low_as_ids_are_seen_through(tmp_path: Path) -> None:
    """0 and 25 with all that lies between: 26 ids without a gap, of which two fill regions."""
    painted_folder(tmp_path, count=2, colour=False)
    with pytest.raises(ClassesNeeded, match=r"2 values that fill regions \(0, 25\)"):
        open_dataset(tmp_path)


def test_masks_through_jpeg_have_ten_classes_too(tmp_path: Path) -> None:
    for path in sorted((painted_folder(tmp_path) / "masks").iterdir()):
        stream = io.BytesIO()
        Image.open(path).save(stream, "JPEG", quality=85)
        Image.open(stream).save(path)
    with pytest.raises(ClassesNeeded) as caught:
        open_dataset(tmp_path)
    assert caught.value.proposal.count("name:") == 10
    (tmp_path / "classes.yaml").write_text(caught.value.proposal)
    train_on(tmp_path)


def test_every_pixel_gets_a_class_that_is_beside_it(tmp_path: Path) -> None:
    painted_folder(tmp_path)
    (tmp_path / "classes.yaml").write_text(f"borders: nearest\n{NAMED}")
    dataset = open_dataset(tmp_path)
    wrong = 0
    for i, path in enumerate(sorted((tmp_path / "masks").iterdir())):
        snapped, hard = dataset.read_mask(path), paint(i, how=None)
        assert np.isin(snapped, range(10)).all()
        beside = np.pad(hard, 1, mode="edge")
        near = [beside[y : y + len(hard), x : x + hard.shape[1]] == snapped for y in range(3) for x in range(3)]
        wrong += int((~np.any(near, axis=0)).sum())
    assert wrong == 0


def test_halfway_between_two_greys_is_no_third_class(tmp_path: Path) -> None:
    """Grey levels at equal distances: every mixture by halves has the number of a class."""
    painted_folder(tmp_path, colour=False)
    (tmp_path / "classes.yaml").write_text(f"borders: nearest\n{NUMBERED}")
    dataset = open_dataset(tmp_path)
    wrong = total = 0
    for i, path in enumerate(sorted((tmp_path / "masks").iterdir())):
        snapped, hard = dataset.read_mask(path), paint(i, how=None)
        beside = np.pad(hard, 1, mode="edge")
        near = [beside[y : y + len(hard), x : x + hard.shape[1]] == snapped for y in range(3) for x in range(3)]
        wrong, total = wrong + int((~np.any(near, axis=0)).sum()), total + hard.size
    assert wrong < 0.002 * total, "without a look at the neighbours it is 1.2 %"


def test_borders_can_become_void(tmp_path: Path) -> None:
    painted_folder(tmp_path)
    (tmp_path / "classes.yaml").write_text(f"borders: void\n{NAMED}")
    dataset = open_dataset(tmp_path)
    mask = dataset.read_mask(tmp_path / "masks" / "0.png")
    hard = paint(0, how=None)
    assert 0.01 < (mask == 255).mean() < 0.1
    assert (mask == hard)[mask != 255].mean() > 0.999
    assert "pixels of no class within 3 pixels of one count as void (`borders` in classes.yaml)" in dataset.notes


def test_what_lies_farther_than_the_width_is_an_error(tmp_path: Path) -> None:
    """A forgotten class is no border, however thin the rule is."""
    mask = np.zeros((40, 60, 3), np.uint8)
    mask[10:30, 10:30] = COLOURS[1]
    mask[10:30, 40:55] = (9, 99, 199)
    reader = ClassMask(((0, 0),), ((COLOURS[0], 0), (COLOURS[1], 1)), borders=BorderRule("nearest", 3))
    path = trees.save(tmp_path / "x.png", mask)
    with pytest.raises(
        FileError, match=r"holds \(9, 99, 199\) \(126 pixels, 5.2 %\), more than 3 pixels away from every"
    ):
        reader(path)
    mask[10:30, 43:] = 0
    assert set(np.unique(reader(trees.save(tmp_path / "x.png", mask)))) == {0, 1}


def test_clean_masks_are_read_as_without_the_rule(tmp_path: Path) -> None:
    trees.folder_rgb(tmp_path)
    before = open_dataset(tmp_path)
    (tmp_path / "classes.yaml").write_text("borders: nearest\nborder_width: 9\n" + trees.CLASSES_YAML)
    after = open_dataset(tmp_path)
    for item in after.splits["train"]:
        assert item.mask is not None
        assert np.array_equal(before.read_mask(item.mask), after.read_mask(item.mask))


def test_a_thin_class_is_kept(tmp_path: Path) -> None:
    """A line of one pixel whose colour lies between those on both sides, but which runs into a region of its own."""
    mask = np.zeros((40, 60), np.uint8)
    mask[20:] = 200
    mask[20, :30], mask[15:25, 30:40] = 100, 100
    mask[19, 5] = 50
    values = ((0, 0), (100, 1), (200, 2))
    ids = ClassMask(values, borders=BorderRule())(trees.save(tmp_path / "x.png", mask))
    assert (ids[20, 29], ids[18, 35], ids[30, 50], ids[5, 5]) == (1, 1, 2, 0)


WRONG_RULES = {
    "borders: near\nclasses: [a, b]": "borders is 'near'; expected `borders: nearest` or `borders: void`",
    "border_width: 2\nclasses: [a, b]": "holds border_width without borders",
    "borders: void\nborder_width: 0\nclasses: [a, b]": "border_width has the value 0; expected a whole number from 1 to 32",
}


@pytest.mark.parametrize("text", WRONG_RULES)
def test_rules_that_are_none(text: str, tmp_path: Path) -> None:
    trees.folder(tmp_path)
    (tmp_path / "classes.yaml").write_text(text)
    with pytest.raises(DataError, match=WRONG_RULES[text]):
        open_dataset(tmp_path)


def test_files_without_the_rule_have_none(tmp_path: Path) -> None:
    for name, text in (("classes.yaml", "[a, b]"), ("classes.csv", "name\na\nb\n")):
        (tmp_path / name).write_text(text)
        assert read_border_rule(tmp_path / name) is None


def test_regions_are_of_three_by_three_pixels() -> None:
    values = np.zeros((5, 7), int)
    values[:3, 4:] = 1
    assert in_regions(values).sum() == 5 * 4 + 9
    assert not in_regions(np.zeros((2, 9), int)).any()


def test_mixtures_lie_on_lines() -> None:
    ends = np.array([(0, 0, 0), (200, 100, 0), (0, 0, 255)])
    points = np.array([(100, 50, 0), (100, 50, 9), (0, 0, 128), (100, 50, 128)])
    assert on_segments(points, ends).tolist() == [True, False, True, True]
