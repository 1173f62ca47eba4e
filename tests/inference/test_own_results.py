"""What was written here is no input, a data set's masks are none either, and nobody's files are overwritten."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from PIL import Image

import atonce as package
from atonce.errors import DataError, UserError
from atonce.inference import Predictor, Result, folders, load
from atonce.inference.folders import OutputOptions, predict_files
from atonce.inference.inputs import find_jobs, find_pictures
from atonce.inference.own_results import png_texts
from tests.commands import Command
from tests.data import trees
from tests.inference.video import videos
from tests.systems import needs_links, needs_pipes
from tests.tiny import streets


@pytest.fixture(scope="module")
def segment(tiny_model: Path) -> Predictor:
    return load(tiny_model)


@pytest.fixture
def pics(tmp_path: Path) -> Path:
    for name in ("a.png", "b.jpg", "sub/c.png", "2024.05.01 d.png"):
        trees.save(tmp_path / "pics" / name, trees.picture(0, (30, 20)))
    return tmp_path / "pics"


def files_below(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_three_times_on_the_present_folder_gives_the_same_number(
    atonce: Command, tiny_model: Path, pics: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(pics)
    videos.make(pics / "drive.mp4")
    words = ("predict", tiny_model, ".", "--maps", "--probabilities", "--label-video", "--write", "coco")
    first = atonce(*words)
    assert first.out.startswith("5 of 5 pictures and videos segmented"), first.err
    before = files_below(pics)
    for _ in range(2):
        again = atonce(*words)
        assert (again.code, again.out) == (
            0,
            "0 of 5 pictures and videos segmented, 5 skipped that were done already (--overwrite does them once more): out\n"
            "coco     out/coco.json\n",
        )
        assert files_below(pics) == before


@pytest.mark.parametrize("out", ["out", "sub/results", "."])
def test_results_among_the_inputs_are_no_inputs(tiny_model: Path, pics: Path, out: str) -> None:
    for done, skipped in ((4, 0), (0, 4), (0, 4)):
        summary = package.predict(tiny_model, pics, out=pics / out)
        assert (summary.done, summary.skipped, summary.broken) == (done, skipped, [])


def test_results_of_other_calls_are_no_inputs_either(
    tiny_model: Path, segment: Predictor, pics: Path, tmp_path: Path
) -> None:
    videos.make(pics / "drive.mp4")
    package.predict(tiny_model, pics, out=pics / "first", maps=True, labels="grey")
    package.predict(segment, pics, out=pics / "of a predictor", overlays="png", labels="colours")
    summary = package.predict(tiny_model, pics, out=tmp_path / "third")
    assert (summary.done, len(summary.jobs)) == (5, 5)


def test_results_of_the_first_edition_are_no_inputs(tiny_model: Path, pics: Path) -> None:
    package.predict(tiny_model, pics, out=pics / "out")
    for path in (pics / "out" / "overlays").rglob("*.jpg"):
        with Image.open(path) as picture:
            pixels = np.array(picture)
        Image.fromarray(pixels).save(path)  # it left no mark on overlays
    assert len(find_jobs([pics])) == 4


def test_what_a_killed_process_left_of_a_result_is_no_input(tiny_model: Path, pics: Path) -> None:
    trees.save(pics / "out" / "overlays" / "e.png", trees.picture(0, (30, 20)))
    assert len(package.predict(tiny_model, pics, out=pics / "out").jobs) == 4


def test_pictures_of_the_user_in_folders_of_these_names_are_inputs(tiny_model: Path, tmp_path: Path) -> None:
    for name in ("labels/a.png", "overlays/b.jpg", "maps/c.png"):
        trees.save(tmp_path / "in" / name, trees.picture(0, (30, 20)))
    assert len(find_jobs([tmp_path / "in"], out=tmp_path / "out")) == 3


def test_results_that_are_named_themselves_are_taken(tiny_model: Path, pics: Path) -> None:
    package.predict(tiny_model, pics, out=pics / "out")
    overlays = pics / "out" / "overlays"
    assert len(find_pictures([overlays])) == 4
    assert len(find_pictures([overlays / "a.jpg"])) == 1


def test_the_masks_of_a_data_set_are_no_inputs(atonce: Command, tiny_model: Path, tmp_path: Path) -> None:
    data = streets(tmp_path / "data")
    done = atonce("predict", tiny_model, data, "--out", tmp_path / "out")
    assert done.out.startswith("9 of 9 pictures segmented"), done.err
    assert f"{data} is a data set: 9 masks left out" in done.err
    assert all("/images/" in name for name in files_below(tmp_path / "out"))


DATA_SETS = {
    "kitti-road": (trees.kitti_road, "/image_2/"),
    "camvid": (trees.camvid, ""),
    "voc": (trees.voc2012, "JPEGImages/"),
    "cityscapes": (trees.cityscapes_tree, "leftImg8bit/"),
}


@pytest.mark.parametrize(("make", "within"), DATA_SETS.values(), ids=DATA_SETS)
def test_so_it_is_with_every_layout(tmp_path: Path, make: Callable[[Path], Path], within: str) -> None:
    make(tmp_path / "data")
    names = [job.name for job in find_pictures([tmp_path / "data"])]
    assert names
    assert all(within in name and "annot" not in name for name in names)


def test_a_data_set_that_cannot_be_opened_is_one_all_the_same(tmp_path: Path) -> None:
    for index in range(3):
        trees.save(tmp_path / "images" / f"{index}.png", trees.picture(index, (30, 20)))
        trees.save(tmp_path / "masks" / f"{index}.png", trees.picture(index, (30, 20)))
    assert {job.source.parent.name for job in find_pictures([tmp_path])} == {"images"}


def test_masks_alone_and_masks_that_are_named_are_taken(tmp_path: Path) -> None:
    data = streets(tmp_path / "data")
    assert len(find_pictures([data / "val" / "masks"])) == 3
    assert len(find_pictures([min((data / "val" / "masks").iterdir())])) == 1


FOREIGN = ("overlays/a.jpg", "labels/a.png", "overlays/a.png", "probabilities/a.npy", "maps/Sky/a.png")


@pytest.mark.parametrize("name", FOREIGN)
@pytest.mark.parametrize("by", ["file", "predictor"])
def test_a_file_that_is_there_and_not_ours_is_not_overwritten(
    segment: Predictor, tiny_model: Path, pics: Path, tmp_path: Path, name: str, by: str
) -> None:
    path = tmp_path / "out" / name
    if path.suffix == ".npy":
        path.parent.mkdir(parents=True)
        np.save(path, np.zeros(3))
    else:
        trees.save(path, trees.picture(5, (30, 20)))
    before = path.read_bytes()
    model = tiny_model if by == "file" else segment
    options: dict[str, Any] = {
        "maps": True,
        "probabilities": True,
        "overlays": "png" if name.endswith("s/a.png") else "jpg",
    }
    with pytest.raises(UserError, match=r"a\.\w+ (is there already and was not written by atonce|was made by another)"):
        package.predict(model, pics, out=tmp_path / "out", **options)
    assert path.read_bytes() == before
    assert files_below(tmp_path / "out") == [name], "nothing was done"
    assert package.predict(model, pics, out=tmp_path / "out", overwrite=True, **options).done == 4
    assert path.read_bytes() != before


ONTO_ITSELF: dict[str, tuple[str, dict[str, Any]]] = {
    "overlay": ("overlays/p.jpg", {}),
    "overlay as PNG": ("overlays/p.png", {}),
    "label picture": ("labels/p.png", {}),
    "map": ("maps/Sky/p.png", {"maps": True}),
    "video": ("overlays/p.mp4", {}),
    "label video": ("labels/p.mkv", {"label_video": True}),
    "annotations of one": ("json/p.json", {"write": "json"}),
    "annotations of all": ("coco.json", {"write": "coco"}),
}


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize(("name", "options"), ONTO_ITSELF.values(), ids=ONTO_ITSELF)
def test_an_input_is_never_replaced_by_its_result(
    tiny_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    options: dict[str, Any],
    overwrite: bool,
) -> None:
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix in (".mp4", ".mkv"):
        videos.make(path)
    else:
        kind = "JPEG" if path.suffix == ".jpg" else "PNG"
        marks: dict[str, Any] = {"comment": b"atonce"} if kind == "JPEG" else {"pnginfo": png_texts()}
        Image.new("RGB", (30, 20), "brown").save(path, kind, **marks)
    other = trees.save(tmp_path / "in" / "first.png", trees.picture(0, (30, 20)))
    before = path.read_bytes()
    monkeypatch.chdir(tmp_path)
    there = files_below(tmp_path)
    with pytest.raises(DataError, match=rf"{name} is to be written, and is an input itself; .*choose another `out`"):
        package.predict(tiny_model, [other, name], out=".", overwrite=overwrite, **options)
    assert path.read_bytes() == before
    assert files_below(tmp_path) == there, "nothing was done"


@needs_links
@pytest.mark.parametrize("link", ["folder", "file", "hard link"])
def test_nor_is_it_by_way_of_a_link(tiny_model: Path, tmp_path: Path, link: str) -> None:
    (tmp_path / "in").mkdir()
    source = videos.make(tmp_path / "in" / "a.mp4")
    before, target = source.read_bytes(), tmp_path / "out" / "overlays" / "a.mp4"
    if link == "folder":
        target.parent.parent.mkdir()
        target.parent.symlink_to(source.parent)
    else:
        target.parent.mkdir(parents=True)
        target.symlink_to(source) if link == "file" else target.hardlink_to(source)
    with pytest.raises(DataError, match=r"out/overlays/a\.mp4 is to be written, and is an input itself, .*in/a\.mp4;"):
        package.predict(tiny_model, source, out=tmp_path / "out", overwrite=True)
    assert source.read_bytes() == before


def test_nor_is_it_in_python(segment: Predictor, tmp_path: Path) -> None:
    video, photo = videos.make(tmp_path / "a.mp4"), trees.save(tmp_path / "a.jpg", trees.picture(0, (30, 20)))
    before = video.read_bytes(), photo.read_bytes()
    with pytest.raises(DataError, match="is an input itself"):
        segment.video(video, video)
    with pytest.raises(DataError, match=r"is an input itself; .*save it under another name"):
        segment(photo).save(photo)
    assert (video.read_bytes(), photo.read_bytes()) == before


def test_what_a_kill_left_behind_is_done_again_without_asking(tiny_model: Path, pics: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    package.predict(tiny_model, pics, out=out, probabilities=True)
    (out / "labels" / "a.png").unlink()
    summary = package.predict(tiny_model, pics, out=out, probabilities=True)
    assert (summary.done, summary.skipped) == (1, 3)


def test_a_predictor_replaces_its_own_results(segment: Predictor, pics: Path, tmp_path: Path) -> None:
    jobs = find_jobs([pics])
    for _ in range(2):
        assert predict_files(segment, jobs, tmp_path / "out", OutputOptions(labels="grey")).done == 4


@needs_links
def test_linked_folders_are_followed_and_circles_are_not(pics: Path, tmp_path: Path) -> None:
    shutil.copytree(pics, tmp_path / "elsewhere")
    (pics / "linked").symlink_to(tmp_path / "elsewhere")
    (pics / "circle").symlink_to(pics)
    assert len(find_pictures([pics])) == 8


@needs_pipes
def test_a_pipe_does_not_wait_and_an_address_is_told(tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(DataError, match=r"pipe\.png is no ordinary file"):
        find_pictures([tmp_path / "pipe.png"])
    with pytest.raises(DataError, match=r"is an address, not a file; .*download it first"):
        find_pictures([Path("https://example.org/a.png")])


@pytest.mark.parametrize("overlays", ["jpg", "none"])
def test_an_array_that_a_kill_left_alone_is_ours(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, overlays: Literal["jpg", "none"]
) -> None:
    """Arrays bear no mark; a command that ended right after one goes on all the same."""
    source, out = tmp_path / "in" / "a.png", tmp_path / "out"
    trees.save(source, trees.picture(0))
    write_array = folders._write_probabilities

    def and_die(result: Result, predictor: Predictor, path: Path) -> None:
        write_array(result, predictor, path)
        path.rename(out / "probabilities" / "a.npy")
        raise KeyboardInterrupt

    monkeypatch.setattr(folders, "_write_probabilities", and_die)
    with pytest.raises(KeyboardInterrupt):
        package.predict(tiny_model, source.parent, out=out, probabilities=True, overlays=overlays)
    assert (out / "probabilities" / "a.npy").is_file()
    monkeypatch.undo()
    package.predict(tiny_model, source.parent, out=out, probabilities=True, overlays=overlays)
    assert np.load(out / "probabilities" / "a.npy").ndim == 3
