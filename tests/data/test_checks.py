"""The check counts exactly, in any number of threads; the fingerprint follows the content, not the place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from atonce.data.checks import check, raise_for_problems
from atonce.data.formats import open_dataset
from tests.data import trees


def _two_pictures(root: Path) -> Path:
    """Class 0 on half of the first picture, class 1 on a quarter of it and on the whole second."""
    first = np.zeros((4, 4), np.uint8)
    first[2] = 1
    first[3] = 255
    for split, mask in (("train", first), ("val", np.ones((2, 8), np.uint8))):
        trees.save(root / split / "images" / "a.png", trees.picture(0, (mask.shape[1], mask.shape[0])))
        trees.save(root / split / "masks" / "a.png", mask)
    return root


def test_statistics_by_hand(tmp_path: Path) -> None:
    report = check(open_dataset(_two_pictures(tmp_path)))
    train, val = report.statistics["train"], report.statistics["val"]
    assert train.pixel_count.tolist() == [8, 4] and train.void_count == 4
    assert train.pixels_of_pictures_with_class.tolist() == [16, 16]
    assert val.pixel_count.tolist() == [0, 16] and val.pixels_of_pictures_with_class.tolist() == [0, 16]
    assert val.pictures_with_class.tolist() == [0, 1] and val.masks == val.pictures == 1
    assert train.sizes == {(4, 4): 1} and val.sizes == {(8, 2): 1}
    assert train.share.tolist() == pytest.approx([2 / 3, 1 / 3]) and train.void_share == 0.25


def test_threads_change_nothing(tmp_path: Path) -> None:
    dataset = open_dataset(trees.kitti_road(tmp_path))
    one, many = check(dataset, workers=1), check(dataset, workers=8)
    for split in ("train", "val"):
        assert np.array_equal(one.statistics[split].pixel_count, many.statistics[split].pixel_count)
    assert one.problems == many.problems


def test_progress_and_splits(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    report = check(open_dataset(trees.camvid(tmp_path)), ("val", "test"), progress=lambda *done: calls.append(done))
    assert calls == [(1, 2), (2, 2)] and list(report.statistics) == ["val"]


def test_a_split_without_masks_is_read_too(tmp_path: Path) -> None:
    trees.kitti_road(tmp_path)
    path = tmp_path / "testing/image_2/umm_000001.png"
    path.write_bytes(path.read_bytes()[:200])
    report = check(open_dataset(tmp_path), ("test",))
    assert [problem.path for problem in report.problems] == [path]
    assert report.statistics["test"].masks == 0 and np.isnan(report.statistics["test"].share).all()
    assert np.isnan(report.statistics["test"].void_share)


def test_a_mask_that_is_all_void_is_a_warning(tmp_path: Path) -> None:
    trees.camvid(tmp_path)
    trees.save(tmp_path / "trainannot" / "train_00000.png", np.full((trees.HEIGHT, trees.WIDTH), 11, np.uint8))
    dataset = open_dataset(tmp_path)
    (problem,) = check(dataset).problems
    assert problem.line(tmp_path).startswith("trainannot/train_00000.png is void everywhere")
    assert problem.severity == "warning"
    raise_for_problems([problem], dataset)


def test_an_error_of_ours_is_not_taken_for_a_problem(tmp_path: Path) -> None:
    """Only FileError is about a file; anything else has to surface with its traceback."""
    from dataclasses import replace

    def broken(path: Path) -> np.ndarray:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        check(replace(open_dataset(trees.folder(tmp_path)), read_mask=broken))
