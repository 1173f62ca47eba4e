"""Going on with a folder of results: what is done is skipped, what is not certainly the same is not touched."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from atonce.errors import UserError
from atonce.inference import Predictor, finished_results, load
from atonce.inference.finished_results import content_digest, model_fingerprint, read_tag
from atonce.inference.folders import OutputOptions, Summary, predict_files
from atonce.inference.inputs import find_jobs
from atonce.inference.own_results import PNG_KEY
from tests.data import trees
from tests.inference.video import videos

MODEL = "0123456789abcdef"


class Folder:
    """Pictures and a video that go in, and the folder that results go to."""

    def __init__(self, root: Path, predictor: Predictor) -> None:
        self.inputs, self.out, self.predictor = root / "in", root / "out", predictor
        for index in range(4):
            trees.save(self.inputs / f"{index}.png", trees.picture(index, (30, 20)))

    def predict(self, options: OutputOptions | None = None, model: str = MODEL, *, overwrite: bool = False) -> Summary:
        return predict_files(
            self.predictor, find_jobs([self.inputs]), self.out, options, fingerprint=model, overwrite=overwrite
        )

    def with_video(self) -> Path:
        videos.make(self.inputs / "drive.mp4", audio="aac")
        return self.out / "overlays" / "drive.mp4"

    def written(self) -> dict[str, tuple[int, int]]:
        """Of every file what is another when it has been written anew."""
        files = sorted(path for path in self.out.rglob("*") if path.is_file())
        return {path.relative_to(self.out).as_posix(): (path.stat().st_ino, path.stat().st_mtime_ns) for path in files}


@pytest.fixture(scope="module")
def segment(tiny_model: Path) -> Predictor:
    return load(tiny_model)


@pytest.fixture
def folder(tmp_path: Path, segment: Predictor) -> Folder:
    return Folder(tmp_path, segment)


def test_what_is_done_is_skipped(folder: Folder) -> None:
    folder.with_video()
    first = folder.predict()
    assert (first.done, first.skipped, len(first.videos)) == (5, 0, 1)
    before = folder.written()
    assert len(before) == 9
    again = folder.predict()
    assert (again.done, again.skipped, again.videos, again.broken) == (0, 5, [], [])
    assert folder.written() == before


def test_what_is_missing_is_done(folder: Folder) -> None:
    options = OutputOptions(probabilities=True, label_video=True)
    folder.with_video()
    folder.predict(options)
    for name in ("labels/0.png", "overlays/1.jpg", "probabilities/2.npy", "labels/drive.mkv"):
        before = folder.written()
        (folder.out / name).unlink()
        summary = folder.predict(options)
        assert (summary.done, summary.skipped) == (1, 4)
        after = folder.written()
        assert after.keys() == before.keys()
        stem = Path(name).stem
        assert {name for name in after if after[name] != before[name]} <= {n for n in after if Path(n).stem == stem}


def test_a_picture_or_video_that_has_changed_is_done_again(folder: Folder) -> None:
    overlay = folder.with_video()
    folder.predict()
    trees.save(folder.inputs / "2.png", trees.picture(9, (44, 33)))
    videos.make(folder.inputs / "drive.mp4", videos.constant(5))
    summary = folder.predict()
    assert (summary.done, summary.skipped) == (2, 3)
    with Image.open(folder.out / "labels" / "2.png") as labels:
        assert labels.size == (44, 33)
    assert len(videos.times(overlay)) == 5


def test_new_pictures_are_done_beside_the_old(folder: Folder) -> None:
    folder.predict()
    trees.save(folder.inputs / "sub" / "new.png", trees.picture(5, (30, 20)))
    summary = folder.predict()
    assert (summary.done, summary.skipped) == (1, 4)
    assert (folder.out / "labels" / "sub" / "new.png").is_file()


def test_pictures_of_one_name_size_and_time_do_not_share_labels(folder: Folder, tmp_path: Path) -> None:
    first = folder.inputs / "0.png"
    state = first.stat()
    folder.predict()
    other = trees.save(tmp_path / "other" / "0.png", trees.picture(7, (30, 20)))
    # As two cameras or two drives leave them: bytes appended to a PNG change its size and nothing else.
    size = max(state.st_size, other.stat().st_size)
    for path in (first, other):
        path.write_bytes(path.read_bytes().ljust(size, b"\0"))
        os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    folder.predict(overwrite=True)
    before = folder.written()
    folder.inputs = other.parent
    with pytest.raises(UserError, match=r"labels/0\.png is the result of another file of that name; .*choose another"):
        folder.predict()
    assert folder.written() == before
    assert folder.predict(overwrite=True).done == 1
    # In the same place it is a picture that has changed.
    first.write_bytes(trees.save(tmp_path / "x.png", trees.picture(8, (30, 20))).read_bytes().ljust(size, b"\0"))
    os.utime(first, ns=(state.st_atime_ns, state.st_mtime_ns))
    folder.inputs = first.parent
    folder.predict(overwrite=True)
    first.write_bytes(trees.save(tmp_path / "x.png", trees.picture(9, (30, 20))).read_bytes().ljust(size, b"\0"))
    os.utime(first, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert (folder.predict().done, folder.predict().skipped) == (1, 4)


def test_a_second_drive_does_not_overwrite_the_first_ones_results(folder: Folder, tmp_path: Path) -> None:
    folder.with_video()
    folder.predict()
    before = folder.written()
    drive, folder.inputs = folder.inputs, tmp_path / "second"
    videos.make(trees.save(folder.inputs / "a.png", trees.picture(1)).with_name("drive.mp4"), videos.constant(5))
    with pytest.raises(UserError, match=r"overlays/drive\.mp4 is the result of another file"):
        folder.predict()
    assert folder.written() == before
    # The same files elsewhere, copied with other times, are the same pictures.
    folder.inputs = tmp_path / "moved"
    shutil.copytree(drive, folder.inputs, copy_function=shutil.copyfile)
    assert (folder.predict().done, folder.predict().skipped) == (0, 5)


def test_results_of_earlier_versions_are_known_by_size_and_time(folder: Folder) -> None:
    folder.predict()
    for index in range(4):
        path = folder.out / "labels" / f"{index}.png"
        mark = read_tag(path)
        assert mark is not None
        with Image.open(path) as labels:
            labels.load()
        text = PngInfo()
        text.add_text(PNG_KEY, json.dumps({"model": mark.model, "options": mark.options, "source": mark.source}))
        labels.save(path, pnginfo=text)
    assert folder.predict().skipped == 4
    trees.save(folder.inputs / "2.png", trees.picture(9, (44, 33)))
    assert folder.predict().done == 1


def test_a_digest_is_of_content_and_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finished_results, "_WHOLE_BYTES", 6400)
    path = tmp_path / "a.bin"
    found = set()
    for size, at in (
        (100, None),
        (101, None),
        (100, 50),
        (6400, 3333),
        (100_000, None),
        (100_000, 0),
        (100_000, 99_999),
    ):
        data = bytearray(size)
        if at is not None:
            data[at] = 1
        path.write_bytes(data)
        found.add(content_digest(path))
    assert len(found) == 7


OTHERS = {
    "model": (None, "fedcba9876543210"),
    "opacity": (OutputOptions(opacity=0.2), MODEL),
    "probabilities": (OutputOptions(probabilities=True), MODEL),
}


@pytest.mark.parametrize(("options", "model"), OTHERS.values(), ids=OTHERS)
def test_results_of_another_model_or_options_are_not_touched(
    folder: Folder, options: OutputOptions | None, model: str
) -> None:
    folder.predict()
    before = folder.written()
    message = r"labels/0\.png was made by another model or with other options; .*choose another `out`.*overwrite=True"
    with pytest.raises(UserError, match=message):
        folder.predict(options, model)
    assert folder.written() == before
    assert folder.predict(options, model, overwrite=True).done == 4
    after = folder.written()
    assert before.keys() <= after.keys()
    assert all(after[name] != state for name, state in before.items())
    assert folder.predict(options, model).skipped == 4


def test_results_of_rounded_weights_are_those_of_another_model(folder: Folder, tiny_model: Path) -> None:
    folder.predict()
    folder.predictor = load(tiny_model, device="cpu", engine="torch-bf16")
    with pytest.raises(UserError, match="was made by another model"):
        folder.predict()
    assert folder.predict(overwrite=True).done == 4
    assert folder.predict().skipped == 4


@pytest.mark.parametrize(
    "options", [OutputOptions(audio=False), OutputOptions(label_video=True), OutputOptions(opacity=0.2)]
)
def test_videos_of_other_options_are_not_touched(folder: Folder, options: OutputOptions) -> None:
    overlay = folder.with_video()
    for picture in folder.inputs.glob("*.png"):
        picture.unlink()
    folder.predict()
    before = overlay.read_bytes()
    with pytest.raises(UserError, match=r"overlays/drive\.mp4 was made by another model or with other options"):
        folder.predict(options)
    assert overlay.read_bytes() == before
    assert folder.predict(options, overwrite=True).done == 1
    assert bool(videos.sound(overlay)) == options.audio


@pytest.mark.parametrize("name", ["labels/1.png", "overlays/drive.mp4"])
def test_files_of_nobody_knows_whom_are_not_touched(folder: Folder, name: str) -> None:
    folder.with_video()
    path = folder.out / name
    path.parent.mkdir(parents=True)
    path.write_text("mine")
    with pytest.raises(UserError, match=name.replace(".", r"\.")):
        folder.predict()
    assert path.read_text() == "mine"
    assert list(folder.written()) == [name]


def test_without_a_fingerprint_everything_is_done_and_nothing_is_marked(folder: Folder) -> None:
    folder.predict()
    assert folder.predict(model="").done == 4
    assert read_tag(folder.out / "labels" / "0.png") is None


def test_the_mark_of_matroska_is_found(folder: Folder) -> None:
    videos.make(folder.inputs / "a.mkv", ticks=1000)
    folder.predict()
    mark = read_tag(folder.out / "overlays" / "a.mkv")
    assert mark is not None
    assert (mark.model, mark.source[0]) == (MODEL, (folder.inputs / "a.mkv").stat().st_size)
    assert folder.predict().skipped == 5


def test_what_a_killed_process_left_is_removed_and_what_others_write_is_not(folder: Folder) -> None:
    folder.with_video()
    for name in (
        "overlays/.drive.77.tmp.mp4",
        "labels/.1.77.tmp.png",
        "labels/.other.77.tmp.png",
        "labels/sub/.1.7.tmp.png",
    ):
        (folder.out / name).parent.mkdir(parents=True, exist_ok=True)
        (folder.out / name).write_text("half")
    folder.predict()
    assert sorted(path for path in folder.written() if ".tmp." in path) == [
        "labels/.other.77.tmp.png",
        "labels/sub/.1.7.tmp.png",
    ]


def test_broken_files_are_named_and_the_rest_is_done_once(folder: Folder) -> None:
    folder.with_video()
    videos.cut(videos.make(folder.inputs / "cut.mp4"))
    videos.cut(videos.make(folder.inputs / "half.mkv", videos.constant(100), ticks=1000))
    (folder.inputs / "1.png").write_text("not a picture")
    for done, skipped in ((4, 0), (0, 4)):
        summary = folder.predict()
        assert (summary.done, summary.skipped) == (done, skipped)
        told = " ".join(map(str, summary.broken))
        assert len(summary.broken) == 3
        assert all(f"in/{name} " in told for name in ("1.png", "cut.mp4", "half.mkv"))
    assert not [name for name in folder.written() if "cut" in name or "half" in name or "tmp" in name]


def test_progress_counts_pictures_and_frames(folder: Folder) -> None:
    folder.with_video()
    videos.make(folder.inputs / "b.mkv", videos.constant(30), ticks=1000)
    (folder.inputs / "1.png").write_text("not a picture")
    seen: list[tuple[int, int]] = []
    predict_files(folder.predictor, find_jobs([folder.inputs]), folder.out, progress=lambda *now: seen.append(now))
    assert seen[-1] == (4 + 12 + 30, 4 + 12 + 30)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert all(done <= total for done, total in seen)


def test_a_model_is_known_by_what_is_in_it(tiny_model: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copy(tiny_model, tmp_path / "copy.safetensors"))
    assert model_fingerprint(copy) == model_fingerprint(tiny_model)
    with copy.open("r+b") as file:
        file.seek(-4, 2)
        file.write(np.float32(1.5).tobytes())
    assert model_fingerprint(copy) != model_fingerprint(tiny_model)
    # OpenVINO's weights stand in a file of their own.
    (tmp_path / "m.xml").write_text("graph")
    (tmp_path / "m.bin").write_text("weights")
    before = model_fingerprint(tmp_path / "m.xml")
    (tmp_path / "m.bin").write_text("others")
    assert model_fingerprint(tmp_path / "m.xml") != before
