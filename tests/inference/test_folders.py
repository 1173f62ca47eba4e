"""Files and folders of pictures."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import atonce
from atonce.errors import DataError
from atonce.inference import Predictor, load
from atonce.inference.folders import OutputOptions, predict_files
from atonce.inference.inputs import find_jobs, find_pictures
from atonce.labels import LabelSpec
from tests.data import trees
from tests.inference.video import videos
from tests.networks import save_model
from tests.systems import needs_links, needs_pipes


@pytest.fixture(scope="module")
def segment(tiny_model: Path) -> Predictor:
    return load(tiny_model)


def picture(path: Path, size: tuple[int, int] = (30, 20)) -> Path:
    return trees.save(path, trees.picture(0, size))


def targets(*inputs: Path) -> dict[str, str]:
    return {str(job.target): job.source.name for job in find_pictures(inputs)}


def files_below(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_folders_are_searched_to_the_bottom_in_order(tmp_path: Path) -> None:
    for name in ("b.png", "a.JPG", "sub/c.tiff", "sub/deep/d.webp", "notes.txt", ".hidden.png", "sub/._c.png"):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    assert targets(tmp_path / "in") == {"a": "a.JPG", "b": "b.png", "sub/c": "c.tiff", "sub/deep/d": "d.webp"}


def test_a_file_is_taken_whatever_its_name(segment: Predictor, tmp_path: Path) -> None:
    path = picture(tmp_path / "x.png").rename(tmp_path / "upload.tmp")
    assert not predict_files(segment, find_pictures([path]), tmp_path / "out").broken
    assert files_below(tmp_path / "out") == ["labels/upload.png", "overlays/upload.jpg"]


def test_no_two_results_share_a_path(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    for name in ("a.png", "a.jpg", "a_jpg.png"):
        picture(one / name)
    picture(other / "a.png")
    jobs = find_pictures([one, other, one / "a.png", one])
    assert len(jobs) == 8
    assert len({str(job.target) for job in jobs}) == 8


def test_names_as_long_as_file_systems_allow_leave_room_for_every_result(segment: Predictor, tmp_path: Path) -> None:
    stems = ["a", "b" * 251, "b" * 250 + "c", "ä" * 125 + "x", "d"]
    for stem in stems:
        picture(tmp_path / "in" / f"{stem}.png")
    shutil.copy(tmp_path / "in" / f"{stems[1]}.png", tmp_path / "in" / f"{stems[1]}.jpg")
    options = OutputOptions(write=("labelme", "json", "csv"), probabilities=True, maps=True)
    for _ in range(2):
        summary = predict_files(segment, find_jobs([tmp_path / "in"]), tmp_path / "out", options)
        assert (summary.done, summary.broken) == (6, [])
    for kind in ("labels", "overlays", "json", "labelme", "probabilities"):
        made = [path.stem for path in (tmp_path / "out" / kind).iterdir()]
        assert len(made) == 6 and {"a", "d"} < set(made)
    listed = (tmp_path / "out" / "areas.csv").read_text("utf-8")
    assert all(f"\n{stem}.png," in listed for stem in stems), "pictures keep their names where there is room"


def test_dots_in_names_stay(tmp_path: Path) -> None:
    assert targets(picture(tmp_path / "2024.05.01 street.png")) == {"2024.05.01 street": "2024.05.01 street.png"}


@needs_links
def test_linked_folders_are_followed_and_each_is_read_once(tmp_path: Path) -> None:
    root = tmp_path / "in"
    picture(root / "a.png")
    picture(tmp_path / "disk" / "b.png")
    (root / "linked").symlink_to(tmp_path / "disk")
    (root / "again").symlink_to(root)
    (tmp_path / "disk" / "back").symlink_to(root)
    assert targets(root) == {"a": "a.png", "linked/b": "b.png"}


def test_what_cannot_be_entered_is_told_and_the_rest_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "in"
    picture(root / "a.png")
    (root / "locked").mkdir()
    iterdir = Path.iterdir

    def refuse(path: Path) -> object:
        if path.name == "locked":
            raise PermissionError(13, "Permission denied", str(path))
        return iterdir(path)

    monkeypatch.setattr(Path, "iterdir", refuse)  # root may enter everything
    with pytest.raises(DataError, match=r"in/locked cannot be entered \(Permission denied\)"):
        find_pictures([root])
    problems: list[DataError] = []
    assert [job.source.name for job in find_pictures([root], on_problem=problems.append)] == ["a.png"]
    assert len(problems) == 1


@needs_pipes
@needs_links
@pytest.mark.parametrize("name", ["pipe.png", "pipe.mp4"])
def test_a_pipe_is_told_and_does_not_hang(tiny_model: Path, tmp_path: Path, name: str) -> None:
    picture(tmp_path / "in" / "a.png")
    os.mkfifo(tmp_path / "in" / name)
    (tmp_path / "in" / "broken.png").symlink_to("nowhere.png")
    summary = atonce.predict(tiny_model, tmp_path / "in", out=tmp_path / "out")
    told = " ".join(map(str, summary.broken))
    assert (summary.done, len(summary.broken)) == (1, 2)
    assert f"{name} is no ordinary file" in told
    assert "broken.png" in told
    with pytest.raises(DataError, match="is no ordinary file"):
        raise predict_files(load(tiny_model), find_jobs([tmp_path / "in" / name]), tmp_path / "out").broken[0]


def test_a_thin_picture_is_bounded_by_what_the_network_computes(tiny_model: Path, tmp_path: Path) -> None:
    trees.save(tmp_path / "in" / "thin.png", np.zeros((1, 60_000, 3), np.uint8))
    picture(tmp_path / "in" / "a.png")
    summary = atonce.predict(tiny_model, tmp_path / "in", out=tmp_path / "out", max_megapixels=0.5)
    assert summary.done == 1
    assert "thin.png: the picture has 60000x1 pixels, of which the network makes 1.9 megapixels" in str(
        summary.broken[0]
    )
    (tmp_path / "film").mkdir()
    videos.make(tmp_path / "film" / "drive.mp4", size=(320, 200))
    summary = atonce.predict(tiny_model, tmp_path / "film", out=tmp_path / "out", max_megapixels=0.05)
    assert "drive.mp4: the picture has 320x200 pixels" in str(summary.broken[0])


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (["empty"], r"no pictures in .*empty"),
        (["nowhere"], r"nowhere does not exist"),
        (["picture.png", "nowhere"], r"nowhere does not exist"),
    ],
)
def test_nothing_to_do_and_nothing_there_are_told(tmp_path: Path, inputs: list[str], message: str) -> None:
    (tmp_path / "empty").mkdir()
    picture(tmp_path / "picture.png")
    with pytest.raises(DataError, match=message):
        find_pictures([tmp_path / name for name in inputs])


def test_everything_is_written_at_the_size_of_the_picture(segment: Predictor, tmp_path: Path) -> None:
    picture(tmp_path / "in" / "sub" / "street.png", (45, 31))
    seen: list[tuple[int, int]] = []
    summary = predict_files(
        segment,
        find_pictures([tmp_path / "in"]),
        tmp_path / "out",
        OutputOptions(opacity=0.3, probabilities=True),
        progress=lambda *done: seen.append(done),
    )
    assert not summary.broken
    assert seen[-1] == (1, 1)
    out = tmp_path / "out"
    assert files_below(out) == ["labels/sub/street.png", "overlays/sub/street.jpg", "probabilities/sub/street.npy"]
    values = np.load(out / "probabilities/sub/street.npy")
    assert (values.shape, values.dtype) == ((11, 31, 45), np.float32)
    with Image.open(out / "labels/sub/street.png") as labels, Image.open(out / "overlays/sub/street.jpg") as overlay:
        np.testing.assert_array_equal(np.asarray(labels), values.argmax(0))
        assert labels.size == overlay.size == (45, 31)


def test_a_broken_picture_is_told_and_the_rest_goes_on(segment: Predictor, tmp_path: Path) -> None:
    for name in ("a.png", "c.png"):
        picture(tmp_path / "in" / name)
    (tmp_path / "in" / "b.png").write_text("not a picture")
    (tmp_path / "in" / "d.png").write_bytes((tmp_path / "in" / "a.png").read_bytes()[:-300])
    broken = predict_files(segment, find_pictures([tmp_path / "in"]), tmp_path / "out").broken
    assert len(broken) == 2
    assert "b.png is not a picture" in str(broken[0])
    assert "d.png" in str(broken[1])
    assert files_below(tmp_path / "out" / "labels") == ["a.png", "c.png"]


def test_predicting_again_replaces_what_was_there(segment: Predictor, tmp_path: Path) -> None:
    path = picture(tmp_path / "a.png")
    predict_files(segment, find_pictures([path]), tmp_path / "out")
    picture(path, (50, 40))
    predict_files(segment, find_pictures([path]), tmp_path / "out")
    with Image.open(tmp_path / "out" / "labels" / "a.png") as labels:
        assert labels.size == (50, 40)
    assert len(files_below(tmp_path / "out")) == 2


def test_a_picture_longer_than_jpeg_knows_is_segmented(segment: Predictor, tmp_path: Path) -> None:
    path = trees.save(tmp_path / "scan.png", np.zeros((1, 66_000, 3), np.uint8))
    assert not predict_files(segment, find_pictures([path]), tmp_path / "out").broken
    assert files_below(tmp_path / "out") == ["labels/scan.png", "overlays/scan.png"]


def test_each_class_has_a_map_whatever_classes_are_called(tmp_path: Path) -> None:
    names = ("x/", "x_", "x__0", "X_")
    model = save_model(tmp_path / "model.safetensors", LabelSpec.from_names(names))
    trees.save(tmp_path / "pics" / "a.png", trees.picture(0, (32, 32)))
    atonce.predict(model, tmp_path / "pics", out=tmp_path / "out", maps=True)
    maps = {path.parent.name.casefold(): np.asarray(Image.open(path)) for path in (tmp_path / "out").rglob("maps/*/*")}
    assert len(maps) == len(names)
    assert np.abs(sum(found.astype(int) for found in maps.values()) - 255).max() <= 2, "they are all classes' maps"
