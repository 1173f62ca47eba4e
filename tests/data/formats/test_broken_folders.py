"""Broken folders of one's own: one clear message that names the file, what was expected and what to do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from atonce.data.formats import ClassesNeeded, open_dataset
from atonce.errors import DataError
from tests.data import trees
from tests.data.broken import assert_refused, train_on
from tests.data.formats.broken_folders import CASES, cut_short, for_each_mask


@pytest.mark.parametrize("case", CASES)
def test_broken_tree(tmp_path: Path, case: str) -> None:
    assert_refused(tmp_path, CASES[case])


def test_every_problem_is_in_one_message(tmp_path: Path) -> None:
    trees.folder_rgb(tmp_path, count=8)
    cut_short(tmp_path / "images" / "street0.png")
    (tmp_path / "masks" / "street0.png").write_text("no picture")
    trees.save(tmp_path / "masks" / "street1b.png", trees.ids(0, (0, 1)))
    trees.save(tmp_path / "masks" / "street2.png", trees.ids(0, (0, 200)))
    trees.save(tmp_path / "masks" / "street3.png", trees.ids(0, (0, 1), (20, 20)))
    with pytest.raises(DataError) as caught:
        train_on(tmp_path)
    lines = str(caught.value).splitlines()
    assert lines[0] == f"5 problems in {tmp_path}:"
    for name in ("images/street0", "masks/street0", "masks/street1b", "masks/street2", "masks/street3"):
        assert sum(line.startswith(f"  {name}.png ") for line in lines) == 1, name


def test_many_problems_of_a_kind_are_cut_short(tmp_path: Path) -> None:
    trees.folder_rgb(tmp_path, count=30)
    for_each_mask(tmp_path, lambda path: trees.save(path, trees.ids(0, (0, 200))))
    with pytest.raises(DataError) as caught:
        train_on(tmp_path)
    lines = str(caught.value).splitlines()
    assert lines[0].startswith("30 problems") and len(lines) == 8
    assert lines[-2] == "  ... and 25 more of this kind (values)" and lines[-1].startswith(
        "  -> add it to classes.yaml"
    )


PROPOSALS: dict[str, Callable[[Path], Path]] = {
    "RGB": lambda root: trees.folder_rgb(root, classes=None),
    "0 and 255": lambda root: trees.folder(root, values=(0, 255)),
    "grey levels": lambda root: trees.folder(root, values=(0, 50, 100)),
}


@pytest.mark.parametrize("kind", PROPOSALS)
def test_the_proposed_classes_file_makes_the_tree_readable(tmp_path: Path, kind: str) -> None:
    PROPOSALS[kind](tmp_path)
    with pytest.raises(ClassesNeeded) as caught:
        open_dataset(tmp_path)
    (tmp_path / "classes.yaml").write_text(caught.value.proposal)
    train_on(tmp_path)
    assert open_dataset(tmp_path).labels.num_classes >= 2
