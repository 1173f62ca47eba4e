"""Write videos with PyAV: frames with times of their own, and sound as it was."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atonce.errors import DataError
from atonce.extras import require_extra
from atonce.inference.video.reader import EXACTLY, Video

# Matrices of H.273 that RGB is turned into as well as out of, by the numbers that FFmpeg gives them.
_MATRICES = frozenset({1, 4, 5, 6, 7, 9})
_LIMITED_RANGE = 1

_MILLISECOND = Fraction(1, 1000)
"""Matroska's times are whole milliseconds."""


@dataclass(frozen=True)
class Encoder:
    """An encoder of FFmpeg with its options.

    Attributes:
        name: FFmpeg's name of it.
        pixels: its pixel format.
        largest_denominator: of a time base that it takes.
    """

    name: str
    pixels: str
    options: Mapping[str, str] = field(default_factory=dict)
    largest_denominator: int = 2**31 - 1


# Matroska otherwise gathers a second of video before it writes: with a slow network, a minute to wait.
_AT_ONCE = {"cluster_time_limit": "1", "flush_packets": "1"}

STDOUT = "pipe:1"
"""The target that shows what is written as it comes."""

LABEL_ENCODERS = (Encoder("ffv1", "gray"),)
"""The lossless encoder for label ids."""


def overlay_encoders(size: tuple[int, int], *, live: bool = False) -> tuple[Encoder, ...]:
    """Return the encoders for overlays of (width, height): H.264, then MPEG-4 Part 2, which every FFmpeg has.

    Args:
        live: whether no frame may wait for a later one.
    """
    options = {"preset": "veryfast", "crf": "18", **({"tune": "zerolatency"} if live else {})}
    # Colour at half the resolution is what all players take, but H.264 then has even sizes only.
    odd = size[0] % 2 or size[1] % 2
    quality = {"flags": "+qscale", "global_quality": str(3 * 118)}
    return (
        Encoder("libx264", "yuv444p" if odd else "yuv420p", options),
        Encoder("mpeg4", "yuv420p", quality, 65_535),
    )


class VideoWriter:
    """A video that is being written.

    Args:
        target: a path, or `STDOUT`.
        container: FFmpeg's name of the container.
        encoders: the first that is installed and takes the size is used.
        like: the video that size, times, colours and sound are those of.
        sound: whether to copy it, where the container takes it.
        comment: a text for the metadata.

    Attributes:
        dropped: codecs of the sound that the container does not take.

    Raises:
        DataError: there is no encoder for this size.
        OSError: `target` cannot be written.
    """

    def __init__(
        self,
        target: str,
        container: str,
        encoders: Sequence[Encoder],
        like: Video,
        *,
        sound: bool = False,
        comment: str = "",
    ) -> None:
        self._av = require_extra("av", target, "video")
        self._like: Video = like
        self._last: int | None = None
        copied = [s for s in like.sound if sound and _takes_stream(self._av, container, s)]
        self.dropped = tuple(str(s.codec_context.name) for s in like.sound if sound and s not in copied)
        for encoder in encoders:
            self._container = self._av.open(target, "w", format=container, options=_AT_ONCE if target == STDOUT else {})
            try:
                self._begin(encoder, container, copied, comment)
            except (self._av.FFmpegError, ValueError) as error:
                self._discard()
                if isinstance(error, OSError):
                    raise
            else:
                return
        width, height = like.size
        names = " or ".join(encoder.name for encoder in encoders)
        raise DataError(f"{like.path} has frames of {width}x{height}", f"a size that {names} can encode")

    def _begin(self, encoder: Encoder, container: str, copied: Sequence[Any], comment: str) -> None:
        like = self._like
        stream = self._container.add_stream(encoder.name, rate=like.rate, options=dict(encoder.options))
        stream.width, stream.height = like.size
        stream.pix_fmt, self._pixels = encoder.pixels, encoder.pixels
        base = _MILLISECOND if container == "matroska" else like.time_base
        # 1/60000 holds the frames of 24, 25, 30, 50 and 60 a second exactly, and those of NTSC.
        self._base = base if base.denominator <= encoder.largest_denominator else Fraction(1, 60_000)
        context = stream.codec_context
        stream.time_base = context.time_base = self._base
        if like.aspect != 1:
            context.sample_aspect_ratio = like.aspect
        self._matrix = like.colours[0] if like.colours[0] in _MATRICES and encoder.pixels != "gray" else None
        if self._matrix is not None:
            context.colorspace, context.color_trc, context.color_primaries = like.colours
            context.color_range = _LIMITED_RANGE
        self._stream = stream
        self._sound = {s.index: self._container.add_stream_from_template(s) for s in copied}
        if comment:
            self._container.metadata["comment"] = comment
        self._container.start_encoding()

    def write(self, image: NDArray[np.uint8], time: Fraction) -> None:
        """Write a frame, uint8 (H, W, 3) RGB or label ids (H, W), to be shown at `time` in seconds; times increase."""
        if image.ndim == 2:
            frame = self._av.VideoFrame.from_ndarray(image, format="gray")
        else:
            frame = self._av.VideoFrame.from_ndarray(image, format="rgb24").reformat(
                format=self._pixels,
                dst_colorspace=self._matrix,
                dst_color_range=_LIMITED_RANGE,
                interpolation=EXACTLY,
            )
        # No two frames may have one time, though some files have such.
        ticks = round(time / self._base)
        self._last = ticks if self._last is None else max(ticks, self._last + 1)
        frame.pts, frame.time_base = self._last, self._base
        self._container.mux(self._stream.encode(frame))

    def copy(self, packet: Any) -> None:
        """Copy a packet of sound as `Video` gives it, if it is to be copied."""
        stream = self._sound.get(packet.stream.index)
        if stream is None:
            return
        shift = round(self._like.begin / packet.time_base)
        packet.dts -= shift
        packet.pts = packet.dts if packet.pts is None else packet.pts - shift
        packet.stream = stream
        self._container.mux(packet)

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        """Write what the encoder still holds and the end of the file; after an error, close it as it is."""
        if error is not None:
            self._discard()
            return
        try:
            self._container.mux(self._stream.encode())
        except BaseException:
            self._discard()
            raise
        self._container.close()

    def _discard(self) -> None:
        with suppress(self._av.FFmpegError, OSError):
            self._container.close()


def _takes_stream(av: Any, container: str, stream: Any) -> bool:
    """Tell whether a container takes a stream as it is: tried in memory, since some say so and then do not."""
    try:
        with av.open(io.BytesIO(), "w", format=container) as trial:
            trial.add_stream_from_template(stream)
            trial.start_encoding()
    except (av.FFmpegError, ValueError):
        return False
    return True
