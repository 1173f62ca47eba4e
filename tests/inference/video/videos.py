"""Videos for tests, made with PyAV: a grey ramp over time, with a coloured patch that moves."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

VARIABLE = tuple(np.cumsum([0, *[Fraction(1, 30), Fraction(1, 10), Fraction(13, 90), Fraction(1, 2)] * 3]))
"""Times of frames in seconds."""


def constant(frames: int = 12, rate: Fraction | int = 25) -> tuple[Fraction, ...]:
    return tuple(i / Fraction(rate) for i in range(frames))


def picture(index: int, size: tuple[int, int]) -> np.ndarray:
    """uint8 (H, W, 3) RGB."""
    width, height = size
    image = np.full((height, width, 3), 40 + 5 * index % 160, np.uint8)
    image[: height // 3, : width // 2] = (200, 30, 60)
    image[-height // 4 :, 4 * index % width :] = (20, 60, 180)
    return image


def make(
    path: Path,
    times: Sequence[Fraction] = constant(),
    size: tuple[int, int] = (64, 48),
    ticks: int = 90_000,
    codec: str = "libx264",
    pixels: str = "yuv420p",
    audio: str | None = None,
    matrix: int | None = None,
    spoilt: Sequence[int] = (),
    quality: str = "18",
    **options: str,
) -> Path:
    """Write a video.

    Args:
        times: those of the frames, in seconds.
        ticks: of the time base, in a second.
        pixels: the pixel format.
        audio: codec of a sound beside it.
        matrix: that of the colours (H.273).
        spoilt: the packets that hold rubbish, by number.
        quality: the constant rate factor of H.264.
        options: those of the container.
    """
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream(codec, rate=25, options={"crf": quality} if codec == "libx264" else {})
        stream.width, stream.height = size
        stream.pix_fmt = pixels
        base = Fraction(1, ticks)
        stream.time_base = stream.codec_context.time_base = base
        if matrix:
            stream.codec_context.colorspace, stream.codec_context.color_range = matrix, 1
        sound = container.add_stream(audio, rate=48_000, layout="mono") if audio else None
        for index, time in enumerate(times):
            frame = av.VideoFrame.from_ndarray(picture(index, size), format="rgb24")
            frame = frame.reformat(format=pixels, dst_colorspace=matrix)
            frame.pts, frame.time_base = round(time / base), base
            for packet in stream.encode(frame):
                container.mux(_rubbish(packet) if index in spoilt else packet)
        container.mux(stream.encode())
        if sound:
            write_sound(container, sound, float(times[0]), float(times[-1]))
    return path


def _rubbish(packet: Any) -> Any:
    spoilt = av.Packet(b"\x00" * 40)
    spoilt.pts, spoilt.dts, spoilt.time_base, spoilt.stream = packet.pts, packet.dts, packet.time_base, packet.stream
    return spoilt


def write_sound(container: Any, stream: Any, begin: float, end: float) -> None:
    length = stream.codec_context.frame_size or 1024
    for start in range(int(begin * 48_000), int(end * 48_000), length):
        wave = 0.3 * np.sin(np.arange(start, start + length) / 20)[None]
        frame = av.AudioFrame.from_ndarray(wave.astype(np.float32), format="flt", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 48_000, start, Fraction(1, 48_000)
        container.mux(stream.encode(frame))
    container.mux(stream.encode())


def make_sound(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        write_sound(container, container.add_stream("aac", rate=48_000, layout="mono"), 0.0, 1.0)
    return path


def turned(path: Path, matrix: tuple[int, int, int, int]) -> Path:
    """Write (a, b, c, d) into the display matrix of an MP4 file; each is 0, 1 or -1."""
    data = bytearray(path.read_bytes())
    # The matrix of the first track's header: 40 bytes behind its name, 9 numbers.
    start = data.index(b"tkhd") + 44
    a, b, c, d = (value << 16 for value in matrix)
    data[start : start + 36] = np.array([a, b, 0, c, d, 0, 0, 0, 1 << 30], ">i4").tobytes()
    path.write_bytes(data)
    return path


def cut(path: Path, share: float = 0.6) -> Path:
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    return path


def read(path: Path) -> list[tuple[Fraction, np.ndarray]]:
    """Times in seconds, and uint8 (H, W, 3) RGB as stored, or (H, W) of grey videos."""
    found = []
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            form = "gray" if frame.format.name == "gray" else "rgb24"
            # Bilinear, colour at full resolution, rounded accurately.
            image = frame.to_ndarray(format=form, interpolation=0x42002)
            found.append((frame.pts * frame.time_base, image))
    return found


def times(path: Path) -> list[Fraction]:
    return [time for time, _ in read(path)]


def sound(path: Path) -> list[bytes]:
    """The packets of the first stream of sound; none where there is no sound."""
    with av.open(str(path)) as container:
        if not container.streams.audio:
            return []
        return [bytes(packet) for packet in container.demux(audio=0) if packet.size]


def about(path: Path) -> Any:
    """(codec, pixel format, (width, height), matrix) of the video."""
    with av.open(str(path)) as container:
        context = container.streams.video[0].codec_context
        return context.name, context.pix_fmt, (context.width, context.height), context.colorspace
