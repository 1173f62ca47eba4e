"""Folders that are no data set, and options that do not fit one."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from atonce.data.formats import open_dataset
from atonce.errors import DataError
from tests.data import trees
from tests.data.broken import Break

ROOTS: dict[str, tuple[Break, str]] = {
    "missing": (lambda root: None, r"does not exist; expected a folder with a data set"),
    "file": (lambda root: root.write_bytes(b"PK"), r"is a file; expected a folder.*unpack it"),
    "empty": (lambda root: root.mkdir(), r"(?s)is empty; .*\n  camvid +train/ trainannot/"),
    "unknown": (
        lambda root: (root / "stuff").mkdir(parents=True),
        r"(?s)holds stuff/, which is no layout known; expected one of these layouts:\n  cityscapes +leftImg8bit.*\n  folder ",
    ),
    "one level up": (
        lambda root: trees.camvid(root / "unpacked"),
        r"which is no layout known.*did you mean .*data/unpacked",
    ),
    "two levels up": (
        lambda root: trees.camvid(root / "unpacked" / "again"),
        r"which is no layout known; did you mean .*data/unpacked/again\?",
    ),
    "two data sets below": (
        lambda root: [trees.camvid(root / name) for name in ("b", "a")],
        r"which is no layout known; did you mean .*data/a or .*data/b\?",
    ),
    "an archive": (
        lambda root: (root.mkdir(), (root / "data_road.zip").write_bytes(b"PK")),
        r"which is no layout known; unpack data_road\.zip first",
    ),
    "KITTI road without ground truth": (
        lambda root: (root / "data_road" / "training" / "image_2").mkdir(parents=True),
        r"; it is kitti-road without training/gt_image_2/ \(in data_road/\): unpack data_road\.zip again",
    ),
    "KITTI road's testing pictures": (
        lambda root: (root / "testing" / "image_2").mkdir(parents=True),
        r"; it is kitti-road without training/: there is no ground truth but that of training",
    ),
    "masks in a folder of another name": (
        lambda root: [(root / name).mkdir(parents=True) for name in ("images", "gt_color")],
        r"; images/ is there without masks/: rename gt_color/ to masks/, or put the masks there",
    ),
    "Cityscapes' pictures alone": (
        lambda root: (root / "leftImg8bit").mkdir(parents=True),
        r"; it is cityscapes without gtFine/: unpack gtFine_trainvaltest\.zip beside it",
    ),
    "pictures only": (
        lambda root: trees.save(root / "a.png", trees.picture(0)),
        r"holds a\.png, which is no layout known; it holds pictures and no masks: .*`atonce predict MODEL ",
    ),
}


@pytest.mark.parametrize("kind", ROOTS)
def test_roots_that_are_no_data_set(tmp_path: Path, kind: str) -> None:
    make, message = ROOTS[kind]
    make(tmp_path / "data")
    with pytest.raises(DataError, match=message) as caught:
        open_dataset(tmp_path / "data")
    assert str(tmp_path / "data") in str(caught.value)
    assert ("\n" in str(caught.value)) == (kind in ("empty", "unknown")), "layouts are listed where nothing is near"


@pytest.mark.parametrize(("below", "way"), [("training", "one folder up"), ("training/image_2", "two folders up")])
def test_inside_of_a_data_set_one_is_sent_up(
    tmp_path: Path, below: str, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = trees.kitti_road(tmp_path / "data_road")
    with pytest.raises(DataError, match=f"you are inside a kitti-road data set: go {way}, to {root}"):
        open_dataset(root / below)
    monkeypatch.chdir(root / below)
    with pytest.raises(DataError, match=f"go {way}, to {root}"):
        open_dataset(".")


@pytest.mark.parametrize("sibling", ["copy", "deep/copy"])
def test_a_data_set_that_lies_beside_a_folder_is_not_around_it(tmp_path: Path, sibling: str) -> None:
    """Whoever keeps data_road in the folder of work has other folders there, too."""
    trees.kitti_road(tmp_path / "data_road")
    root = trees.kitti_road(tmp_path / sibling)
    shutil.rmtree(root / "training" / "gt_image_2")
    with pytest.raises(DataError, match="it is kitti-road without training/gt_image_2/") as caught:
        open_dataset(root)
    assert "you are inside" not in str(caught.value)


OPTIONS: dict[str, tuple[dict[str, object], str]] = {
    "format unknown": ({"format": "camvd"}, "there is no format 'camvd'; expected one of .*did you mean 'camvid'"),
    "format of another layout": ({"format": "voc"}, "JPEGImages/.* for format='voc'"),
    "ground truth": ({"ground_truth": "road"}, "ground_truth was given for a data set of format 'camvid'"),
    "fraction": ({"val_fraction": 1.0}, "val_fraction is 1.0; expected a share above 0 and below 1"),
}


@pytest.mark.parametrize("kind", OPTIONS)
def test_options_that_do_not_fit(tmp_path: Path, kind: str) -> None:
    options, message = OPTIONS[kind]
    with pytest.raises(DataError, match=message):
        open_dataset(trees.camvid(tmp_path), **options)  # type: ignore[arg-type]


def test_ground_truth_must_be_one_of_two(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="ground_truth is 'street'; expected 'road' or 'lane'"):
        open_dataset(trees.kitti_road(tmp_path), ground_truth="street")  # type: ignore[arg-type]


def test_a_folder_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rights cannot be taken from root, who runs tests in containers: the refusal is played."""
    trees.folder(tmp_path)
    scandir = os.scandir

    def refuse(path: str | Path) -> object:
        if Path(path).name == "images":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(DataError, match=r"images cannot be listed \(Permission denied\)"):
        open_dataset(tmp_path)


def test_a_run_is_no_data_set(tiny_run: Path, street_data: Path, tmp_path: Path) -> None:
    """Its pictures and labels were taken for one, and its folder was proposed as one."""
    run = Path(shutil.copytree(tiny_run, tmp_path / "runs" / "demo"))
    with pytest.raises(DataError, match=r"demo is a training run; expected a folder of data; `format` opens"):
        open_dataset(run)
    shutil.copytree(street_data, run / "data")
    for folder in (tmp_path, tmp_path / "runs", run):
        with pytest.raises(DataError, match=r"did you mean \S+demo/data\?"):
            open_dataset(folder)


def test_a_split_that_is_opened_alone_says_what_lies_around_it(tmp_path: Path) -> None:
    root = trees.folder_splits(tmp_path / "data")
    (note,) = [note for note in open_dataset(root / "train").notes if "inside" in note]
    assert note.startswith(f"you are inside a data set: go one folder up, to {root}; its other parts")
    assert not [note for note in open_dataset(root).notes if "inside" in note]
