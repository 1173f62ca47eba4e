"""Videos in, overlay videos out."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from atonce.errors import DataError, StorageError, UserError
from atonce.extras import how_to_install
from atonce.inference import Predictor, load
from atonce.inference.inputs import find_jobs
from atonce.inference.result import blend
from atonce.inference.video import overlay as overlay_module
from atonce.inference.video import writer
from atonce.inference.video.container import comment_of, count_frames
from atonce.inference.video.overlay import predict_video
from atonce.inference.video.reader import Video
from atonce.inference.video.writer import VideoWriter
from tests.inference.video import videos
from tests.systems import needs_linux_memory
from tests.tiny import ENVIRONMENT

KINDS = {
    "constant": ("a.mp4", {}),
    "NTSC": ("a.mp4", {"times": videos.constant(rate=Fraction(30_000, 1001)), "ticks": 30_000}),
    "variable": ("a.mp4", {"times": videos.VARIABLE, "audio": "aac"}),
    "variable in Matroska": ("a.mkv", {"times": videos.VARIABLE, "ticks": 1000, "audio": "libopus"}),
    "MOV": ("a.mov", {"times": videos.VARIABLE, "audio": "aac"}),
    "AVI": ("a.avi", {"codec": "mpeg4", "ticks": 25}),
    "odd size": ("a.mp4", {"size": (65, 49), "pixels": "yuv444p"}),
    "odd height": ("a.mp4", {"size": (64, 33), "codec": "mpeg4", "ticks": 1000}),
    "BT.709": ("a.mp4", {"matrix": 1}),
    "10 bit": ("a.mkv", {"pixels": "yuv420p10le", "codec": "ffv1", "ticks": 1000}),
    "one frame": ("a.mp4", {"times": videos.constant(1)}),
}


@pytest.fixture(scope="module")
def segment(tiny_model: Path) -> Predictor:
    return load(tiny_model)


def is_close(image: np.ndarray, other: np.ndarray) -> bool:
    """Up to lossy compression, and colour at half the resolution."""
    return bool(np.abs(image.astype(int) - other).mean() < 8)


@pytest.mark.parametrize(("name", "options"), KINDS.values(), ids=KINDS)
def test_frames_keep_their_times_their_size_and_what_is_on_them(
    segment: Predictor, tmp_path: Path, name: str, options: dict[str, Any]
) -> None:
    source = videos.make(tmp_path / name, **options)
    out = tmp_path / "out" / Path(name).with_suffix(overlay_module.overlay_suffix(source))
    seen: list[tuple[int, int]] = []
    report = predict_video(
        segment, source, out, opacity=0.4, labels=tmp_path / "ids.mkv", progress=lambda *now: seen.append(now)
    )
    before, after, ids = videos.read(source), videos.read(out), videos.read(tmp_path / "ids.mkv")
    assert len(before) == report.frames
    assert seen[-1] == (report.frames, report.frames)
    assert not report.notes
    assert report.frames_per_second > 0
    assert [time for time, _ in after] == [time for time, _ in before]
    assert [time for time, _ in ids] == [Fraction(round(1000 * time), 1000) for time, _ in before]
    for (_, image), (_, overlay), (_, labels) in zip(before, after, ids, strict=True):
        assert labels.dtype == np.uint8
        assert (labels == segment(image).labels).mean() > 0.999
        assert overlay.shape == image.shape
        assert is_close(overlay, blend(image, segment.labels.colour(labels), 0.4))
    assert videos.about(out)[0] == "h264"
    assert videos.sound(out) == videos.sound(source)
    assert bool(videos.sound(out)) == ("audio" in options)


def test_recordings_whose_clock_does_not_begin_at_zero_begin_at_zero(segment: Predictor, tmp_path: Path) -> None:
    hour = Fraction(3600)
    source = videos.make(tmp_path / "a.ts", [hour + time for time in videos.VARIABLE], audio="aac")
    segment.video(source, tmp_path / "out.mp4")
    found = videos.times(tmp_path / "out.mp4")
    assert found[0] < 1
    np.testing.assert_allclose(np.diff(np.array(found, float)), np.diff(np.array(videos.VARIABLE, float)), atol=1e-9)
    assert videos.sound(tmp_path / "out.mp4")


def test_sound_is_left_out_where_that_is_asked_for_or_the_container_does_not_take_it(
    segment: Predictor, tmp_path: Path
) -> None:
    source = videos.make(tmp_path / "a.mkv", ticks=1000, audio="libopus")
    assert not segment.video(source, tmp_path / "quiet.mp4", audio=False).notes
    assert not videos.sound(tmp_path / "quiet.mp4")
    (note,) = segment.video(source, tmp_path / "out.mov").notes
    assert note == f"{source}: sound left out, opus does not go into this container"
    assert len(videos.times(tmp_path / "out.mov")) == 12
    assert not videos.sound(tmp_path / "out.mov")


def test_sound_of_a_kind_that_nobody_knows_is_left_out_with_a_note(segment: Predictor, tmp_path: Path) -> None:
    # Phones record spatial sound (apac) beside or instead of the ordinary one.
    source = videos.make(tmp_path / "phone.mov", audio="pcm_s16le")
    source.write_bytes(source.read_bytes().replace(b"sowt", b"apac"))
    with av.open(str(source)) as container:
        assert container.streams.audio[0].codec_context is None
    out = tmp_path / "out.mov"
    report = segment.video(source, out)
    assert report.frames == 12
    assert report.notes == (f"{source}: 1 track of sound left out, of a kind that the installed FFmpeg does not know",)
    assert not videos.sound(out)
    assert not segment.video(source, out, audio=False).notes


@pytest.mark.parametrize("kind", ["PatchWelcomeError", "BugError", "InvalidDataError", "ExternalError"])
@pytest.mark.parametrize("where", ["write", "copy"])
def test_any_error_of_ffmpeg_is_one_line(
    segment: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, where: str
) -> None:
    def fail(*_: object) -> None:
        raise getattr(av.error, kind)(1, "Not yet implemented in FFmpeg, patches welcome")

    source = videos.make(tmp_path / "a.mp4", audio="aac")
    monkeypatch.setattr(VideoWriter, where, fail)
    with pytest.raises(DataError, match=r"a\.mp4 cannot be converted \(Not yet implemented"):
        segment.video(source, tmp_path / "out.mp4")
    assert list(tmp_path.iterdir()) == [source]


def test_without_h264_there_is_mpeg4(segment: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def without(size: tuple[int, int]) -> tuple[writer.Encoder, ...]:
        return (writer.Encoder("h264_of_nobody", "yuv420p"), *writer.overlay_encoders(size)[1:])

    monkeypatch.setattr(overlay_module, "overlay_encoders", without)
    source = videos.make(tmp_path / "a.mp4", videos.VARIABLE, (65, 49), pixels="yuv444p", audio="aac")
    segment.video(source, tmp_path / "out.mp4", opacity=0)
    assert videos.about(tmp_path / "out.mp4")[:3] == ("mpeg4", "yuv420p", (65, 49))
    for (time, image), (expected, before) in zip(videos.read(tmp_path / "out.mp4"), videos.read(source), strict=True):
        assert abs(time - expected) <= Fraction(1, 120_000)
        assert is_close(image, before)
    assert videos.sound(tmp_path / "out.mp4") == videos.sound(source)


def test_colours_come_out_as_they_went_in(segment: Predictor, tmp_path: Path) -> None:
    source = videos.make(tmp_path / "a.mp4", matrix=1, quality="1")
    segment.video(source, tmp_path / "out.mp4", opacity=0)
    assert videos.about(tmp_path / "out.mp4")[3] == videos.about(source)[3] == 1
    for (_, before), (_, after) in zip(videos.read(source), videos.read(tmp_path / "out.mp4"), strict=True):
        np.testing.assert_allclose(after[2:12, 2:26].mean((0, 1)), before[2:12, 2:26].mean((0, 1)), atol=2)


TURNS = {
    "a quarter to the right": ((0, 1, -1, 0), lambda image: np.rot90(image, -1)),
    "a quarter to the left": ((0, -1, 1, 0), np.rot90),
    "a half": ((-1, 0, 0, -1), lambda image: np.rot90(image, 2)),
    "mirrored": ((-1, 0, 0, 1), np.fliplr),
    "transposed": ((0, 1, 1, 0), lambda image: image.transpose(1, 0, 2)),
}


@pytest.mark.parametrize(("matrix", "turn"), TURNS.values(), ids=TURNS)
def test_what_lies_on_its_side_is_seen_and_written_upright(
    segment: Predictor, tmp_path: Path, matrix: tuple[int, int, int, int], turn: Callable[[np.ndarray], np.ndarray]
) -> None:
    source = videos.turned(videos.make(tmp_path / "a.mp4"), matrix)
    seen = list(segment.frames(source))
    segment.video(source, tmp_path / "out.mp4", opacity=0)
    stored, out = videos.read(source), videos.read(tmp_path / "out.mp4")
    assert [round(time, 6) for time, _ in seen] == [float(time) for time, _ in stored]
    for (_, result), (_, image), (_, written) in zip(seen, stored, out, strict=True):
        np.testing.assert_array_equal(result.image, turn(image))
        assert result.labels.shape == result.image.shape[:2]
        assert is_close(written, turn(image))


def no_index(tmp_path: Path) -> Path:
    return videos.cut(videos.make(tmp_path / "a.mp4"))


def text(tmp_path: Path) -> Path:
    (tmp_path / "a.mp4").write_text("not a video\n" * 100)
    return tmp_path / "a.mp4"


def empty(tmp_path: Path) -> Path:
    (tmp_path / "a.mp4").touch()
    return tmp_path / "a.mp4"


def still(tmp_path: Path) -> Path:
    from PIL import Image

    Image.new("RGB", (40, 30)).save(tmp_path / "a.png")
    return (tmp_path / "a.png").rename(tmp_path / "a.mp4")


def all_rubbish(tmp_path: Path) -> Path:
    return videos.make(tmp_path / "a.mkv", codec="mjpeg", pixels="yuvj420p", ticks=1000, spoilt=range(12))


LONG = videos.constant(100)

BROKEN = {
    "truncated MP4": (
        lambda tmp: videos.cut(videos.make(tmp / "a.mp4", LONG, movflags="faststart", audio="aac")),
        r"a\.mp4 breaks off after \d\.\d of 4\.\d seconds; expected an intact video .*; copy it again",
    ),
    "truncated Matroska": (
        lambda tmp: videos.cut(videos.make(tmp / "a.mkv", LONG, ticks=1000)),
        r"a\.mkv breaks off after \d\.\d of 4\.\d seconds",
    ),
    "truncated AVI": (
        lambda tmp: videos.cut(videos.make(tmp / "a.avi", LONG, codec="mpeg4", ticks=25)),
        r"a\.avi breaks off after",
    ),
    "MP4 without its index": (no_index, r"a\.mp4 is not a video, or is damaged \(.*\); expected an intact video"),
    "text": (text, r"a\.mp4 is not a video, or is damaged"),
    "empty": (empty, r"a\.mp4 is empty \(0 bytes\); expected an intact video"),
    "picture": (still, r"a\.mp4 is a picture with the name of a video"),
    "sound": (lambda tmp: videos.make_sound(tmp / "a.mp4"), r"a\.mp4 holds no pictures, only audio; expected a video"),
    "rubbish": (all_rubbish, r"a\.mkv holds no frame that can be decoded"),
    "nothing": (lambda tmp: tmp / "a.mp4", r"a\.mp4 is not a video, or is damaged \(No such file or directory\)"),
}


@pytest.mark.parametrize(("build", "message"), BROKEN.values(), ids=BROKEN)
def test_broken_files_are_told_in_one_line_and_leave_nothing(
    segment: Predictor, tmp_path: Path, build: Callable[[Path], Path], message: str
) -> None:
    source = build(tmp_path)
    with pytest.raises(DataError, match=message) as told:
        predict_video(segment, source, tmp_path / "out" / "out.mp4", labels=tmp_path / "out" / "ids.mkv")
    assert "\n" not in str(told.value)
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


LISTS = {
    "concat": "ffconcat version 1.0\nfile real.mkv\n",
    "HLS": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nreal.ts\n#EXT-X-ENDLIST\n",
    "DASH": '<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" profiles="urn:mpeg:dash:profile:isoff-main:2011"'
    ' type="static" mediaPresentationDuration="PT0.48S"><Period><AdaptationSet mimeType="video/x-matroska">'
    '<Representation id="1" bandwidth="1"><BaseURL>real.mkv</BaseURL></Representation></AdaptationSet></Period></MPD>\n',
    "SDP": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n"
    "a=rtpmap:96 H264/90000\n",
}


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts"])
@pytest.mark.parametrize("content", LISTS.values(), ids=LISTS)
def test_a_list_of_other_files_is_no_video_and_none_of_them_is_read(tmp_path: Path, content: str, name: str) -> None:
    videos.make(tmp_path / "real.mkv", ticks=1000)
    videos.make(tmp_path / "real.ts")
    source = tmp_path / name
    source.write_text(content)
    with pytest.raises(
        DataError, match=rf"{re.escape(name)} is not a video, or is damaged .*; expected an intact video"
    ):
        count_frames(source)
    with pytest.raises(DataError, match="is not a video, or is damaged"):
        Video(source)
    with pytest.raises(DataError, match="is not a video, or is damaged"):
        comment_of(source)


@pytest.mark.parametrize(
    ("name", "codec"),
    [(f"a.{suffix}", "mpeg4") for suffix in ("m4v", "mov", "3gp", "avi", "mkv", "nut")]
    + [(f"a.{suffix}", "mpeg2video") for suffix in ("mpg", "ts", "m2ts", "mxf", "gxf", "m2v")]
    + [("a.webm", "libvpx"), ("a.ivf", "libvpx"), ("a.wmv", "wmv2"), ("a.flv", "flv"), ("a.ogg", "libvpx")]
    + [("a.gif", "gif"), ("a.mjpeg", "mjpeg"), ("a.h264", "libx264"), ("a.y4m", "rawvideo")],
)
def test_videos_of_every_container_are_opened(tmp_path: Path, name: str, codec: str) -> None:
    pixels = {"gif": "rgb8", "mjpeg": "yuvj420p"}.get(codec, "yuv420p")
    size = (720, 576) if name.endswith("gxf") else (64, 48)
    source = videos.make(tmp_path / name, codec=codec, pixels=pixels, ticks=25, size=size)
    named = source.rename(tmp_path / "any.mp4")
    with Video(named) as video:
        assert len(list(video.frames())) == 12


def test_damaged_packets_are_left_out_and_counted(segment: Predictor, tmp_path: Path) -> None:
    source = videos.make(tmp_path / "a.mkv", codec="mjpeg", pixels="yuvj420p", ticks=1000, spoilt=(4, 5))
    report = segment.video(source, tmp_path / "out.mkv")
    assert report.notes == (f"{source}: 2 damaged packets left out",)
    kept = [time for index, time in enumerate(videos.constant()) if index not in (4, 5)]
    assert videos.times(tmp_path / "out.mkv") == kept


def test_a_failure_in_the_middle_leaves_what_was_there_before(
    segment: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, out = videos.make(tmp_path / "a.mp4", LONG), tmp_path / "out"
    out.mkdir()
    (out / "a.mp4").write_text("from before")
    calls = iter(range(100))

    def fail(images: np.ndarray) -> np.ndarray:
        if next(calls) == 5:
            raise RuntimeError("the device has gone")
        return np.zeros(images.shape[:3], np.uint8)

    monkeypatch.setattr(segment, "predict_labels", fail)
    with pytest.raises(RuntimeError, match="the device has gone"):
        predict_video(segment, source, out / "a.mp4", labels=out / "ids.mkv")
    assert (out / "a.mp4").read_text() == "from before"
    assert [path.name for path in out.iterdir()] == ["a.mp4"]


def test_where_nothing_can_be_written_that_is_told(segment: Predictor, tmp_path: Path) -> None:
    source = videos.make(tmp_path / "a.mp4")
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"cannot write .*file"):
        segment.video(source, tmp_path / "file" / "out.mp4")
    with pytest.raises(DataError, match=r"out\.webm as a video to be written; expected one of \.mp4"):
        segment.video(source, tmp_path / "out.webm")


def test_a_name_that_looks_like_an_address_is_a_name(
    segment: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    videos.make(tmp_path / "a.mp4").rename(tmp_path / "12:30.mp4")
    monkeypatch.chdir(tmp_path)
    assert segment.video("12:30.mp4", "pipe:9.mp4").frames == 12
    assert (tmp_path / "pipe:9.mp4").stat().st_size > 0


def test_progress_moves_with_each_frame(segment: Predictor, tmp_path: Path) -> None:
    """Frames are segmented several at a time, and written one by one."""
    told: list[int] = []
    source = videos.make(tmp_path / "clip.mp4", times=videos.constant(10))
    predict_video(segment, source, tmp_path / "out.mp4", progress=lambda done, total: told.append(done))
    assert told == list(range(1, told[-1] + 1)) and len(told) > 2


def test_without_pyav_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    videos.make(tmp_path / "a.mp4")
    monkeypatch.setitem(sys.modules, "av", None)
    told = f"a.mp4 needs the package av, which is not installed; {how_to_install('video')}"
    with pytest.raises(UserError, match=re.escape(told)):
        find_jobs([tmp_path])


@pytest.mark.parametrize("engine", ["torch", "onnxruntime", "openvino"])
def test_frames_together_are_segmented_as_one_by_one(tiny_model: Path, engine: str) -> None:
    predictor = load(tiny_model, device="cpu", engine=engine)
    images = np.stack([videos.picture(index, (75, 50)) for index in range(5)])
    together = predictor.predict_labels(images)
    assert together.dtype == np.uint8
    for image, labels in zip(images, together, strict=True):
        assert (predictor(image).labels == labels).mean() > 0.999


def test_as_many_frames_go_together_as_memory_for_one_large_picture_allows(segment: Predictor) -> None:
    assert [segment.batch_size_for(size) for size in ((48, 64), (720, 1280), (1080, 1920), (2160, 3840))] == [
        8,
        4,
        1,
        1,
    ]


MEMORY = """
import resource, sys
from pathlib import Path
from typing import Any

import av
import numpy as np
import atonce
from atonce.inference.video.overlay import predict_video
from atonce.inference.video.reader import Video
from atonce.inference.video.writer import VideoWriter

segment = atonce.load(sys.argv[1], device="cpu")
segment.predict_labels = lambda images: np.zeros(images.shape[:3], np.uint8)
peaks = []
for name in sys.argv[2:]:
    predict_video(segment, Path(name), Path(name).with_suffix(".out.mkv"), labels=Path(name).with_suffix(".ids.mkv"))
    peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
print((peaks[1] - peaks[0]) // 1024)
"""


@needs_linux_memory
def test_memory_does_not_grow_with_the_length(tiny_model: Path, tmp_path: Path) -> None:
    short, long = (
        videos.make(tmp_path / f"{n}.mkv", videos.constant(n), (320, 240), 1000, audio="libopus") for n in (100, 1000)
    )
    command = [sys.executable, "-c", MEMORY, str(tiny_model), str(short), str(long)]
    done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, timeout=300)
    assert done.returncode == 0, done.stderr
    # Its frames are 207 MiB.
    assert int(done.stdout) < 40
