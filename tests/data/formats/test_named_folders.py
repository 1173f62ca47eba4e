"""`--images A --masks B`: folders of pictures and masks whose layout is none that is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from atonce.data.formats import open_dataset
from atonce.doctor import examine
from atonce.errors import DataError
from tests.data.annotation_trees import cvat_coco
from tests.data.trees import ids, mask_of, picture, save


def _odd(root: Path, images: str = "pics/2024", masks: str = "done/by anna", count: int = 6) -> Path:
    for i in range(count):
        save(root / images / f"{i}.jpg", picture(i))
        save(root / masks / f"{i}_ok.png", ids(i, (0, 1, 2)))
    (root / "classes.yaml").write_text("[background, road, car]")
    return root


def _count(**folders: str | Path) -> int:
    dataset = open_dataset(**folders)  # type: ignore[arg-type]
    assert dataset.format == "folder" and dataset.labels.names == ("background", "road", "car")
    assert any("NAME_ok" in note for note in dataset.notes) and dataset.problems == ()
    return sum(len(items) for items in dataset.splits.values())


def test_folders_in_the_data_set(tmp_path: Path) -> None:
    with pytest.raises(DataError):
        open_dataset(_odd(tmp_path))
    assert _count(root=tmp_path, images="pics/2024", masks="done/by anna") == 6


def test_folders_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _odd(tmp_path / "data", masks="../labels")
    monkeypatch.chdir(tmp_path)
    assert _count(root="data", images="data/pics/2024", masks="labels") == 6
    assert _count(root="data", images=tmp_path / "data/pics/2024", masks=tmp_path / "labels") == 6


def test_folders_with_splits(tmp_path: Path) -> None:
    for split, count in (("train", 4), ("val", 2)):
        _odd(tmp_path, f"pics/{split}", f"done/{split}", count)
    dataset = open_dataset(tmp_path, images="pics", masks="done")
    assert {split: len(items) for split, items in dataset.splits.items()} == {"train": 4, "val": 2}
    assert "split_seed" not in dataset.extras


def test_they_count_more_than_what_is_recognised(tmp_path: Path) -> None:
    cvat_coco(_odd(tmp_path))
    assert open_dataset(tmp_path).format == "coco"
    assert _count(root=tmp_path, images="pics/2024", masks="done/by anna") == 6


WRONG: dict[str, tuple[dict[str, str], str]] = {
    "one of them": ({"images": "pics"}, "`images` without `masks`; expected both"),
    "the other": ({"masks": "done"}, "`masks` without `images`"),
    "no such folder": ({"images": "pict", "masks": "done"}, r"images='pict' is no folder.*there are done, pics"),
    "another format": ({"images": "pics", "masks": "done", "format": "coco"}, "given for a data set of format 'coco'"),
}


@pytest.mark.parametrize("case", WRONG)
def test_folders_that_are_none(tmp_path: Path, case: str) -> None:
    options, message = WRONG[case]
    with pytest.raises(DataError, match=message):
        open_dataset(_odd(tmp_path), **options)  # type: ignore[arg-type]


def test_the_doctor_takes_them(tmp_path: Path) -> None:
    examination = examine(_odd(tmp_path), images="pics/2024", masks="done/by anna")
    assert examination.dataset is not None and not examination.wrong


def test_masks_are_read(tmp_path: Path) -> None:
    dataset = open_dataset(_odd(tmp_path), images="pics/2024", masks="done/by anna")
    for items in dataset.splits.values():
        for item in items:
            assert np.array_equal(mask_of(dataset, item), ids(int(item.name), (0, 1, 2)))
