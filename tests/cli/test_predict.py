"""`atonce predict` on videos and mixed folders: what it says, how it ends, what a kill leaves."""

from __future__ import annotations

import io
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import pytest

from atonce.cli.predict import summary_line
from atonce.extras import how_to_install
from atonce.inference.folders import Summary
from atonce.inference.inputs import Job
from tests.commands import Command
from tests.data import trees
from tests.inference.video import videos
from tests.systems import needs_signals
from tests.tiny import ENVIRONMENT


def test_pictures_and_videos_in_overlays_out(atonce: Command, tiny_model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (tmp_path / "in").mkdir()
    videos.make(tmp_path / "in" / "drive.mp4")
    picture = trees.save(tmp_path / "street.png", trees.picture(0, (30, 20)))
    words = ("predict", tiny_model, picture, tmp_path / "in", "--out", out)
    done = atonce(*words, "--label-video")
    assert done.code == 0, done.err
    assert re.fullmatch(
        rf"2 of 2 pictures and videos segmented, [\d.]+ pictures/s, 12 frames at [\d.]+ frames/s: {re.escape(str(out))}\n",
        done.out,
    )
    assert {path.relative_to(out).as_posix() for path in out.rglob("*.*")} == {
        "overlays/street.jpg", "labels/street.png", "overlays/drive.mp4", "labels/drive.mkv"
    }  # fmt: skip
    again = atonce(*words, "--label-video")
    assert (again.code, again.out) == (
        0,
        f"0 of 2 pictures and videos segmented, 2 skipped that were done already (--overwrite does them once more): {out}\n",
    )
    told = atonce(*words).mistake
    assert "drive.mp4 was made by another model or with other options" in told
    assert "choose another --out, or replace them with --overwrite" in told
    redone = atonce(*words, "--overwrite")
    assert redone.out.startswith("2 of 2 ")


def test_broken_ones_are_named_at_the_end(atonce: Command, tiny_model: Path, tmp_path: Path) -> None:
    good, bad = videos.make(tmp_path / "good.mkv", ticks=1000, audio="libopus"), tmp_path / "bad.mp4"
    bad.touch()
    done = atonce("predict", tiny_model, bad, good, "--out", tmp_path / "out", "--no-audio")
    assert (
        done.mistake
        == f"atonce: {bad} is empty (0 bytes); expected an intact video (MP4, MOV, Matroska, WebM, AVI, ...)"
    )
    assert done.out.startswith("1 of 2 videos segmented, 12 frames at ")
    assert not videos.sound(tmp_path / "out" / "overlays" / "good.mkv")


def test_sound_that_does_not_fit_is_noted(atonce: Command, tiny_model: Path, tmp_path: Path) -> None:
    # PCM of AVI that MP4 does not know.
    source = videos.make(tmp_path / "a.avi", codec="mpeg4", ticks=25, audio="adpcm_ms")
    done = atonce("predict", tiny_model, source, "--out", tmp_path / "out")
    assert done.code == 0
    assert f"{source}: sound left out, adpcm_ms does not go into this container" in done.err


def process(*words: str | Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "atonce", *map(str, words)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT)


@needs_signals
def test_a_kill_leaves_no_half_video_and_the_next_run_finishes(
    atonce: Command, tiny_model: Path, tmp_path: Path
) -> None:
    source, out = videos.make(tmp_path / "drive.mp4", videos.constant(1500)), tmp_path / "out"
    words = ("predict", tiny_model, source, "--out", out, "--label-video")
    running = process(*words)
    deadline = time.monotonic() + 120
    while not list(out.glob("overlays/.drive.*.tmp.mp4")):
        assert running.poll() is None, running.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    running.send_signal(signal.SIGKILL)
    running.communicate()
    left = {path.name for path in out.rglob("*") if path.is_file()}
    assert left
    assert not left & {"drive.mp4", "drive.mkv"}
    done = atonce(*words)
    assert done.out.startswith("1 of 1 video segmented, 1500 frames"), done.err
    assert {path.name for path in out.rglob("*") if path.is_file()} == {"drive.mp4", "drive.mkv"}
    assert len(videos.times(out / "overlays" / "drive.mp4")) == 1500


def test_a_live_overlay_comes_out_of_stdout(tiny_model: Path, tmp_path: Path) -> None:
    source = videos.make(tmp_path / "a.mp4", videos.VARIABLE, audio="aac")
    out, said = process("predict", tiny_model, source, "--out", "-").communicate(timeout=120)
    assert re.search(rb"13 frames at \d+\.\d frames/s\n$", said)
    with av.open(io.BytesIO(out)) as container:
        times = [float(frame.time) for frame in container.decode(video=0)]
        assert container.format.name.startswith("matroska")
    shown = [time - times[0] for time in times]
    assert shown == pytest.approx([float(time) for time in videos.VARIABLE], abs=0.0011)
    assert not (tmp_path / "-").exists()


def test_a_player_that_is_closed_ends_it(tiny_model: Path, tmp_path: Path) -> None:
    running = process("predict", tiny_model, videos.make(tmp_path / "a.mp4", videos.constant(1500)), "--out", "-")
    assert running.stdout
    assert running.stderr
    assert running.stdout.read(1000)
    running.stdout.close()
    said = running.stderr.read().decode()
    assert running.wait(timeout=120) == 0
    frames = re.fullmatch(r"(\d+) frames at .* frames/s\n", said)
    assert frames, said
    assert int(frames[1]) < 1500
    running.stderr.close()


def test_a_live_overlay_is_of_one_video(atonce: Command, tiny_model: Path, tmp_path: Path) -> None:
    first = videos.make(tmp_path / "a.mp4")
    picture = trees.save(tmp_path / "a.png", trees.picture(0, (30, 20)))
    assert (
        "--out - with 2 files; expected one video"
        in atonce("predict", tiny_model, first, picture, "--out", "-").mistake
    )
    assert f"--out - with {picture}; expected one video" in atonce("predict", tiny_model, picture, "--out", "-").mistake


def test_without_pyav_the_extra_is_named(
    atonce: Command, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = videos.make(tmp_path / "a.mp4")
    monkeypatch.setitem(sys.modules, "av", None)
    told = atonce("predict", tiny_model, source, "--out", tmp_path / "out").mistake
    assert told == f"atonce: {source} needs the package av, which is not installed; {how_to_install('video')}"


def test_a_broken_picture_is_told_and_the_rest_is_segmented(atonce: Command, tiny_model: Path, tmp_path: Path) -> None:
    trees.save(tmp_path / "in" / "good.png", trees.picture(0))
    (tmp_path / "in" / "bad.png").write_text("not a picture")
    outcome = atonce("predict", tiny_model, tmp_path / "in", "--out", tmp_path / "out")
    assert "bad.png is not a picture" in outcome.mistake
    assert "1 of 2 pictures segmented" in outcome.out
    assert [path.name for path in (tmp_path / "out" / "labels").iterdir()] == ["good.png"]


@pytest.mark.parametrize(("seconds", "rate"), [(1.0, "1,230"), (1230 / 999.7, "1,000"), (100, "12.3"), (1e5, "0.0123")])
def test_the_rate_is_written_as_people_write_numbers(seconds: float, rate: str) -> None:
    summary = Summary(out=Path("out"), jobs=[Job(Path(f"{n}.png"), Path(str(n))) for n in range(1230)])
    summary.done, summary.seconds = 1230, seconds
    assert summary_line(summary) == f"1230 of 1230 pictures segmented, {rate} pictures/s: out"


def test_annotations_that_were_written_are_named(atonce: Command, tiny_model: Path, tmp_path: Path) -> None:
    picture, out = trees.save(tmp_path / "a.png", trees.picture(0, (30, 20))), tmp_path / "out"
    done = atonce("predict", tiny_model, picture, "--out", out, "--write", "cvat", "--write", "labelme")
    assert done.code == 0, done.err
    assert done.out.splitlines()[1:] == [f"cvat     {out}/cvat.zip", f"labelme  {out}/labelme/"]
    assert (out / "cvat.zip").is_file() and (out / "labelme").is_dir()
