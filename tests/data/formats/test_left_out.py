"""Pictures that nobody has painted a mask for are left out and counted; names that look mistaken are errors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from atonce.data.checks import check
from atonce.data.formats import open_dataset
from atonce.data.problem_notes import problem_notes
from atonce.errors import DataError
from tests.data import trees
from tests.data.broken import train_on


def _forget(masks: Path, *numbers: int) -> None:
    for path in [sorted(masks.iterdir())[number] for number in numbers]:
        path.unlink()


LAYOUTS: dict[str, tuple[Callable[[Path], Path], str, str]] = {
    "folder": (trees.folder, "masks", "street"),
    "folder with splits": (trees.folder_splits, "train/masks", "00"),
    "camvid": (trees.camvid_folders, "trainannot", "train_0000"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_pictures_without_a_mask_are_left_out_with_their_count_and_names(layout: str, tmp_path: Path) -> None:
    build, masks, name = LAYOUTS[layout]
    build(tmp_path)
    total = sum(map(len, open_dataset(tmp_path).splits.values()))
    _forget(tmp_path / masks, 0, 2)
    dataset = open_dataset(tmp_path)
    assert sum(map(len, dataset.splits.values())) == total - 2
    problems = check(dataset).problems
    assert [(p.kind, p.severity) for p in problems] == [("no-mask", "note")] * 2
    (line,) = problem_notes(problems, dataset.root)
    assert line.startswith("2 pictures have no mask and are left out: ") and f"{name}0." in line and f"{name}2." in line
    train_on(tmp_path)


def test_400_photos_and_40_masks(tmp_path: Path) -> None:
    for i in range(400):
        (tmp_path / "images").mkdir(exist_ok=True)
        (tmp_path / "images" / f"IMG_{i:04}.jpg").write_bytes(b"")
    for i in range(0, 400, 10):
        trees.save(tmp_path / "masks" / f"IMG_{i:04}.png", trees.ids(i, (0, 1)))
    dataset = open_dataset(tmp_path)
    assert sum(map(len, dataset.splits.values())) == 40
    (line,) = problem_notes(dataset.problems, tmp_path)
    assert line == (
        "360 pictures have no mask and are left out: images/IMG_0001.jpg, images/IMG_0002.jpg, images/IMG_0003.jpg, "
        "images/IMG_0004.jpg, images/IMG_0005.jpg and 355 more"
    )


MISTAKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "none pairs": (
        lambda masks: [path.rename(masks / f"{i}{i}x.png") for i, path in enumerate(sorted(masks.iterdir()))],
        "none of 5 pictures and 5 masks pair: give both the same names",
    ),
    "case": (
        lambda masks: (masks / "street1.png").rename(masks / "Street1.png"),
        r"street1\.jpg has no mask; .*differs in upper and lower case only",
    ),
    "nearly the same": (
        lambda masks: (masks / "street1.png").rename(masks / "street_1.png"),
        r"street1\.jpg has no mask",
    ),
    "more masks left over than pair": (
        lambda masks: [
            (masks / f"street{i}.png").rename(masks / f"{word}.png")
            for i, word in enumerate(("lane", "oak", "fern", "moss"))
        ],
        r"(?s)images/street0\.jpg has no mask.*masks/fern\.png has no picture",
    ),
}


@pytest.mark.parametrize("kind", MISTAKEN)
def test_names_that_look_mistaken_stay_errors(kind: str, tmp_path: Path) -> None:
    rename, message = MISTAKEN[kind]
    trees.folder(tmp_path)
    rename(tmp_path / "masks")
    with pytest.raises(DataError, match=message):
        train_on(tmp_path)


def test_a_mask_without_a_picture_stays_an_error_and_other_pictures_are_left_out(tmp_path: Path) -> None:
    trees.folder(tmp_path, count=8)
    (tmp_path / "images" / "street0.jpg").rename(tmp_path / "images" / "harbour.jpg")
    _forget(tmp_path / "masks", 5)
    # street5.jpg might be meant by street0.png, harbour.jpg hardly.
    assert sorted((p.kind, p.path.name) for p in open_dataset(tmp_path).problems) == [
        ("no-mask", "harbour.jpg"),
        ("unpaired", "street0.png"),
        ("unpaired", "street5.jpg"),
    ]
