"""Video files as containers: open them, read their metadata, and say in one line what is wrong with one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

from atonce.errors import DataError
from atonce.extras import require_extra

INTACT = "an intact video (MP4, MOV, Matroska, WebM, AVI, ...)"

_VIDEOS = (
    "mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "avi", "mpeg", "mpegts", "asf", "asf_o", "flv", "live_flv", "ogg",
    "mxf", "gxf", "wtv", "rm", "nut", "nsv", "nuv", "ivf", "dv", "dhav", "cine", "ser", "gif", "apng", "jpegxl_anim",
    "yuv4mpegpipe", "m4v", "mpegvideo", "mjpeg", "h261", "h263", "h264", "hevc", "vvc", "evc", "vc1", "obu", "av1",
    "dirac", "dnxhd", "cavsvideo", "avs2", "avs3",
)  # fmt: skip
_PICTURES = (
    "bmp_pipe", "exr_pipe", "gif_pipe", "j2k_pipe", "jpeg_pipe", "jpegls_pipe", "jpegxl_pipe", "pgm_pipe", "png_pipe",
    "ppm_pipe", "tiff_pipe", "webp_pipe",
)  # fmt: skip
"""FFmpeg's names of the formats that are opened: a file holds its frames itself in all of them; a picture is refused
with a word of its own.

FFmpeg goes by what is in a file. Others are lists of further files and addresses (concat, hls, dash, sdp): a text with
the name of a video would read what its author names, or keep a program busy for ever.
"""

_OPTIONS = {"format_whitelist": ",".join((*_VIDEOS, *_PICTURES)), "protocol_whitelist": "file"}

# Seconds that a file may be shorter than it says: some count the sound's last packet, or round.
_SLACK = 0.5


def count_frames(path: Path) -> int:
    """Count the frames of a file without decoding it, which takes little time beside segmenting it.

    Raises:
        DataError: not a video, or it breaks off before the end that it states itself.
    """
    av = require_extra("av", str(path), "video")
    count, end, end_of_all = 0, Fraction(0), Fraction(0)
    with open_file(av, path) as container:
        stream = picture_stream(container, path)
        for packet in packets_of(av, container, [stream, *known_sound(container)], path):
            stop = ((packet.pts or 0) + (packet.duration or 0)) * Fraction(packet.time_base)
            end_of_all = max(end_of_all, stop)
            if packet.stream.index == stream.index and packet.size:
                count, end = count + 1, max(end, stop)
        stated, of_stream = _stated_end(container, stream)
        reached = end if of_stream else end_of_all
        complete = 0 < stream.frames <= count
        if stated - reached > max(_SLACK, float(2 / rate_of(stream))) and not complete:
            raise DataError(
                f"{path} breaks off after {float(reached):.1f} of {float(stated):.1f} seconds", INTACT, "copy it again"
            )
    return count


def frames_stated(path: Path) -> int:
    """Return how many frames a file claims to have, at least 1: a guess, for progress bars. Raises DataError."""
    av = require_extra("av", str(path), "video")
    with open_file(av, path) as container:
        stream = picture_stream(container, path)
        return max(1, stream.frames or round(_stated_end(container, stream)[0] * rate_of(stream)))


def comment_of(path: Path) -> str | None:
    """Read the comment in a file's metadata. Raises DataError: not a video."""
    av = require_extra("av", str(path), "video")
    with open_file(av, path) as container:
        # Matroska writes the names of its tags in capitals.
        tags = {key.lower(): str(value) for key, value in container.metadata.items()}
        return tags.get("comment")


def open_file(av: Any, path: Path) -> Any:
    if path.exists() and not path.is_file():
        raise DataError(f"{path} is no ordinary file", INTACT, "copy it to one")
    if path.is_file() and not path.stat().st_size:
        raise DataError(f"{path} is empty (0 bytes)", INTACT)
    with _reading(av, path, "is not a video, or is damaged"):
        # FFmpeg takes "12:30.mp4" for an address; an absolute path it does not.
        return av.open(str(path.absolute()), metadata_errors="replace", options=_OPTIONS)


def picture_stream(container: Any, path: Path) -> Any:
    if container.format.name.endswith("_pipe") or container.format.name == "image2":
        raise DataError(f"{path} is a picture with the name of a video", INTACT, "give it its own suffix")
    # The cover of a piece of music is a stream of one picture.
    streams = [s for s in container.streams.video if not s.disposition & s.disposition.attached_pic]
    if not streams:
        raise DataError(f"{path} holds no pictures, only {_other_streams(container)}", "a video")
    if streams[0].codec_context is None:
        raise DataError(f"{path} is coded in a way that the installed FFmpeg cannot decode", INTACT, "convert it")
    return streams[0]


def known_sound(container: Any) -> list[Any]:
    """List the tracks of sound whose codec FFmpeg knows; of others nothing is known that a container asks for.

    The phones of some makers record spatial sound beside the ordinary one (Apple's apac).
    """
    return [stream for stream in container.streams.audio if stream.codec_context is not None]


def _other_streams(container: Any) -> str:
    return ", ".join(sorted({str(stream.type) for stream in container.streams})) or "nothing"


def packets_of(av: Any, container: Any, streams: list[Any], path: Path) -> Iterator[Any]:
    with _reading(av, path, "cannot be read to its end"):
        yield from container.demux(streams)


@contextmanager
def conversion_errors(av: Any, path: Path) -> Iterator[None]:
    """Turn what FFmpeg says while a video is converted into a DataError, but for what the system says of the output.

    FFmpeg has an error for each thing that it has no code for, or that a stream should not hold; any may come from any
    call.
    """
    try:
        yield
    except av.FFmpegError as error:
        if isinstance(error, OSError):
            raise
        raise DataError(f"{path} cannot be converted ({error.strerror or error})", INTACT, "convert it first") from None


@contextmanager
def _reading(av: Any, path: Path, what: str) -> Iterator[None]:
    try:
        yield
    except (av.FFmpegError, OSError) as error:
        raise DataError(f"{path} {what} ({error.strerror or error})", INTACT) from None


def rate_of(stream: Any) -> Fraction:
    """Return the frames per second; where a file states nothing sensible, 25."""
    rate = stream.average_rate or stream.guessed_rate
    return Fraction(rate).limit_denominator(1001) if rate and Fraction(1, 100) < rate <= 1000 else Fraction(25)


def _stated_end(container: Any, stream: Any) -> tuple[Fraction, bool]:
    """Return the seconds at which a file claims to end, 0 where it does not, and whether its pictures do."""
    start = Fraction(stream.start_time or 0) * Fraction(stream.time_base)
    if stream.duration:
        return start + stream.duration * Fraction(stream.time_base), True
    if stated := _parse_clock(stream.metadata.get("DURATION", "")):
        return stated, True
    # Of other formats, FFmpeg estimates the duration from the file's size.
    sure = "matroska" in container.format.name
    return Fraction(container.duration or 0, 1_000_000) if sure else Fraction(0), False


def _parse_clock(text: str) -> Fraction:
    """Convert Matroska's 01:02:03.450000000 to seconds; 0 where it is something else."""
    try:
        hours, minutes, seconds = text.split(":")
        return 3600 * int(hours) + 60 * int(minutes) + Fraction(seconds)
    except ValueError:
        return Fraction(0)
