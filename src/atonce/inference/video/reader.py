"""Reading videos with PyAV: frames upright as RGB, with their own times."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atonce.errors import DataError
from atonce.extras import require_extra
from atonce.inference.video.container import INTACT, known_sound, open_file, packets_of, picture_stream, rate_of

EXACTLY = 0x2 | 0x2000 | 0x40000
"""Flags for libswscale's conversion of colours: SWS_BILINEAR, SWS_FULL_CHR_H_INT, SWS_ACCURATE_RND.

Left to itself it makes all pictures darker, by up to three levels of 255 each way.
"""


@dataclass(frozen=True)
class Frame:
    """One frame of a video.

    Attributes:
        image: uint8 (H, W, 3) RGB, upright.
        time: in seconds, from the beginning of the file.
    """

    image: NDArray[np.uint8]
    time: Fraction


class Video:
    """An open video. Iterating gives `Frame`s of one size and, between them, packets of its sound (PyAV's own).

    Attributes:
        size: (width, height) of the frames, in pixels, upright.
        rate: frames per second, on average.
        time_base: seconds; the times of the frames are multiples of it.
        aspect: of a pixel, width over height.
        colours: matrix, transfer and primaries, as numbers of H.273 (2: not specified).
        sound: streams of sound.
        unknown_sound: how many more there are, of codecs that FFmpeg does not know.
        damaged: packets that could not be decoded so far, and were left out.

    Raises:
        DataError: not a video, or broken.
        UserError: the extra `video` is not installed.
    """

    def __init__(self, path: Path) -> None:
        self._av = require_extra("av", str(path), "video")
        self.path, self.damaged = path, 0
        self._container = open_file(self._av, path)
        try:
            self._stream = picture_stream(self._container, path)
            self._stream.thread_type = "AUTO"
            self.sound = known_sound(self._container)
            self.unknown_sound = len(self._container.streams.audio) - len(self.sound)
            self.time_base = Fraction(self._stream.time_base)
            self.rate = rate_of(self._stream)
            # Only frames say how they are to be turned.
            self._read_ahead: list[Any] = []
            self._packets = self._read()
            first = self._first()
        except BaseException:
            self._container.close()
            raise
        context = self._stream.codec_context
        self.colours = (int(context.colorspace), int(context.color_trc), int(context.color_primaries))
        self._rotate = _rotation(first)
        self._stored = (first.width, first.height)
        self.size = self._stored[::-1] if self._rotate[0] else self._stored
        aspect = Fraction(self._stream.sample_aspect_ratio or 1)
        self.aspect = 1 / aspect if self._rotate[0] else aspect

    def __enter__(self) -> Video:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._container.close()

    def frames(self) -> Iterator[Frame]:
        """Yield the frames, without the sound."""
        return (item for item in self if isinstance(item, Frame))

    def __iter__(self) -> Iterator[Any]:
        last = None
        for item in self._decoded():
            if not isinstance(item, self._av.VideoFrame):
                yield item
                continue
            # Some files give no times; a frame then follows the one before at the average distance.
            follows = Fraction(0) if last is None else last + 1 / self.rate
            last = follows if item.pts is None else item.pts * Fraction(item.time_base) - self.begin
            yield Frame(self._upright(item), last)

    @property
    def begin(self) -> Fraction:
        """The seconds at which the file's own clock starts: hours, in a recorded broadcast."""
        start = self._container.start_time
        return Fraction(max(start or 0, 0), 1_000_000)

    def _decoded(self) -> Iterator[Any]:
        while self._read_ahead:
            yield self._read_ahead.pop(0)
        yield from self._packets

    def _first(self) -> Any:
        for item in self._packets:
            self._read_ahead.append(item)
            if isinstance(item, self._av.VideoFrame):
                return item
        raise DataError(f"{self.path} holds no frame that can be decoded", INTACT)

    def _read(self) -> Iterator[Any]:
        """Yield frames as FFmpeg decodes them, packets of sound as they are."""
        for packet in packets_of(self._av, self._container, [self._stream, *self.sound], self.path):
            if packet.stream.type == "audio":
                if packet.dts is not None:
                    yield packet
                continue
            try:
                frames = packet.decode()
            except self._av.FFmpegError:
                self.damaged += 1
                continue
            yield from frames

    def _upright(self, frame: Any) -> NDArray[np.uint8]:
        # The size may change in the middle of a broadcast; a video file that is written has one.
        width, height = self._stored
        image: NDArray[np.uint8] = frame.to_ndarray(format="rgb24", width=width, height=height, interpolation=EXACTLY)
        transposed, flip_x, flip_y = self._rotate
        image = image.transpose(1, 0, 2) if transposed else image
        return np.ascontiguousarray(image[:: -1 if flip_y else 1, :: -1 if flip_x else 1])


def _rotation(frame: Any) -> tuple[bool, bool, bool]:
    """Return what makes a frame upright: transpose, then mirror along x, along y; from its display matrix.

    Turns by other angles than a quarter are left alone.
    """
    side_data = next((data for data in frame.side_data if data.type.name == "DISPLAYMATRIX"), None)
    if side_data is None:
        return False, False, False
    # x' = a x + c y, y' = b x + d y, in rows of (a, b, u), (c, d, v), (x, y, w).
    a, b, _, c, d = (int(value) for value in np.frombuffer(bytes(side_data), np.int32)[:5])
    if a and d and not b and not c:
        return False, a < 0, d < 0
    if b and c and not a and not d:
        return True, c < 0, b < 0
    return False, False, False
