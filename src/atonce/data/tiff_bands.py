"""TIFFs that Pillow cannot read, or reads in part without a word: more than three bands, 16 bits or floats in colour.

Satellites and microscopes write them: five bands of 16 bits, three of floats, one page for each moment. Pillow is asked
for the bytes of one page as if they were one wide grey picture, which its decoders of LZW, Deflate or Zstandard all
give; what the bytes are is worked out here (TIFF 6.0, sections 2, 14 and 15; Adobe's TIFF technical note 3 on floats).
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2

_MAGIC = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")

# Tags of TIFF 6.0.
_SUBFILE, _WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 254, 256, 257, 258, 259, 262
_STRIPS, _ORIENTATION, _SAMPLES, _STRIP_ROWS, _STRIP_BYTES, _PLANAR = 273, 274, 277, 278, 279, 284
_PREDICTOR, _TILE_WIDTH, _TILE_HEIGHT, _TILES, _TILE_BYTES, _EXTRA, _FORMAT = 317, 322, 323, 324, 325, 338, 339

_REDUCED_OR_MASK = 1 | 4
"""Bits of NewSubfileType: a thumbnail, or a mask of another page; both are no page of their own."""

_COMPRESSIONS = frozenset({1, 5, 8, 32773, 32946, 34925, 50000})
"""None, LZW, Deflate, PackBits, Deflate's older number, LZMA, Zstandard: those that keep every byte as it was."""

_GREY, _RGB = 1, 2
_MAX_PAGES = 10_000


@dataclass(frozen=True, kw_only=True)
class TiffLayout:
    """The layout of a TIFF's first page.

    Attributes:
        bands: samples of each pixel.
        bits: of each sample; 0 where they differ.
        photometric: 0 and 1 grey, 2 RGB, 3 palette, ...
        fourth_is_alpha: the file calls its fourth band an alpha channel.
        pages: full pages of the file, thumbnails and masks left out.
        tags: the tags of the first page.
        order: "<" or ">", the order of bytes.
    """

    bands: int
    bits: int
    photometric: int
    fourth_is_alpha: bool
    pages: int
    tags: dict[int, Any]
    order: str

    @property
    def floats(self) -> bool:
        """True where the samples are floating point numbers."""
        return _kind(self.tags) == "f"

    @property
    def size(self) -> tuple[int, int]:
        """The (height, width) of the first page."""
        return int(self.tags[_HEIGHT]), int(self.tags[_WIDTH])

    @property
    def pixels(self) -> int:
        """The number of pixels of the first page."""
        return int(self.tags[_WIDTH] * self.tags[_HEIGHT])

    @property
    def needs_bands(self) -> bool:
        """True where Pillow does not read all bands, or none: more than three, or grey ones that are several."""
        if self.photometric not in (_GREY, _RGB) or self.bands < 2:
            return False
        if self.tags.get(_COMPRESSION, 1) not in _COMPRESSIONS or self.bits not in (8, 16, 32, 64):
            return False
        if self.photometric == _GREY:
            return self.bands > 2 or self.bits > 8
        return self.bands > 4 or (self.bands == 4 and not self.fourth_is_alpha) or self.bits > 16


def tiff_layout(path: Path) -> TiffLayout | None:
    """Read the layout of a file; None where it is no TIFF, or too damaged to tell.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(16)
        if head[:4] not in _MAGIC:
            return None
        try:
            header = head[:16] if head[2:3] == b"+" or head[3:4] == b"+" else head[:8]
            first, pages = _first_page(file, header)
        except (SyntaxError, ValueError, LookupError, TypeError, EOFError, OverflowError, struct.error):
            return None
    if not isinstance(first.get(_WIDTH), int) or not isinstance(first.get(_HEIGHT), int):
        return None
    bits = _numbers(first.get(_BITS, 1))
    samples = first.get(_SAMPLES, 1)
    extra = _numbers(first.get(_EXTRA, ()))
    return TiffLayout(
        bands=samples if isinstance(samples, int) else 1,
        bits=bits[0] if len(set(bits)) == 1 else 0,
        photometric=first.get(_PHOTOMETRIC, -1),
        fourth_is_alpha=extra[:1] in ((1,), (2,)),
        pages=pages,
        tags=first,
        order="<" if head[:2] == b"II" else ">",
    )


def _first_page(file: io.BufferedReader, header: bytes) -> tuple[dict[int, Any], int]:
    """Return the tags of the first page, and how many full pages there are."""
    directory = ImageFileDirectory_v2(header)
    first: dict[int, Any] = {}
    pages, seen, offset = 0, set[int](), directory.next
    while offset and offset not in seen and len(seen) < _MAX_PAGES:
        seen.add(offset)
        file.seek(offset)
        directory = ImageFileDirectory_v2(header)
        directory.load(file)
        first = first or dict(directory)
        pages += not (_numbers(directory.get(_SUBFILE, 0)) or (0,))[0] & _REDUCED_OR_MASK
        offset = directory.next
    return first, max(1, pages)


def _numbers(value: object) -> tuple[int, ...]:
    values = value if isinstance(value, tuple) else (value,)
    return tuple(number for number in values if isinstance(number, int))


def read_tiff_bands(path: Path, layout: TiffLayout, bands: Sequence[int]) -> NDArray[np.generic]:
    """Read bands of the first page as they are in the file, (H, W, number of bands), turned upright.

    Args:
        layout: of this file; `needs_bands`, or any other of 8 to 64 bits.
        bands: which, counted from 1.

    Raises:
        OSError, SyntaxError, ValueError, ...: the file is damaged (`images.DAMAGE`).
    """
    tags = layout.tags
    dtype = np.dtype(f"{layout.order}{_kind(tags)}{layout.bits // 8}")
    if tags.get(_PLANAR, 1) == 1:
        pixels = _decode(path, layout, dtype, samples=layout.bands, chunks=slice(None))[
            ..., [band - 1 for band in bands]
        ]
    else:
        key = _TILES if _TILES in tags else _STRIPS
        chunks = len(_numbers(tags[key])) // layout.bands
        parts = [_decode(path, layout, dtype, samples=1, chunks=slice((b - 1) * chunks, b * chunks)) for b in bands]
        pixels = np.concatenate(parts, axis=2)
    return _upright(pixels.astype(dtype.newbyteorder("=")), tags.get(_ORIENTATION, 1))


def _kind(tags: dict[int, Any]) -> str:
    """The letter of numpy for the sample format: unsigned, signed or floating point; undefined counts as unsigned."""
    return {2: "i", 3: "f"}.get((_numbers(tags.get(_FORMAT, 1)) or (1,))[0], "u")


def _decode(
    path: Path, layout: TiffLayout, dtype: np.dtype[Any], *, samples: int, chunks: slice
) -> NDArray[np.generic]:
    """Decode some of the chunks (strips or tiles) of a page, all with `samples` samples a pixel: (H, W, samples)."""
    tags, pixel_bytes = layout.tags, samples * dtype.itemsize
    width, height = tags[_WIDTH], tags[_HEIGHT]
    tiled = _TILES in tags
    where = (_TILES, _TILE_BYTES) if tiled else (_STRIPS, _STRIP_BYTES)
    offsets, counts = (_numbers(tags[tag])[chunks] for tag in where)
    with path.open("rb") as file:
        size = file.seek(0, io.SEEK_END)
        parts = [_read_at(file, offset, count, size) for offset, count in zip(offsets, counts, strict=True)]
    described = {_WIDTH: width * pixel_bytes, _HEIGHT: height, _COMPRESSION: tags.get(_COMPRESSION, 1)}
    if tiled:
        described |= {_TILE_WIDTH: tags[_TILE_WIDTH] * pixel_bytes, _TILE_HEIGHT: tags[_TILE_HEIGHT]}
    else:
        described[_STRIP_ROWS] = min(tags.get(_STRIP_ROWS, height), height)
    with Image.open(io.BytesIO(_grey_tiff(described, parts, tiled=tiled)), formats=("TIFF",)) as grey:
        rows = np.asarray(grey)
    block = tags[_TILE_WIDTH] if tiled else width
    predictor = tags.get(_PREDICTOR, 1)
    pieces = [
        _undo_prediction(rows[:, left * pixel_bytes : (left + block) * pixel_bytes], predictor, dtype, samples)
        for left in range(0, width, block)
    ]
    return np.concatenate(pieces, axis=1)


def _read_at(file: io.BufferedReader, offset: int, count: int, size: int) -> bytes:
    """Read a chunk; never more than the file holds, whatever its tags say."""
    file.seek(min(offset, size))
    return file.read(min(count, size - min(offset, size)))


def _undo_prediction(
    rows: NDArray[np.uint8], predictor: int, dtype: np.dtype[Any], samples: int
) -> NDArray[np.generic]:
    """Return the bytes of rows (H, N) as numbers, (H, W, samples), after taking back what a predictor has done."""
    height = len(rows)
    rows = np.ascontiguousarray(rows)
    if predictor == 3:  # differences of bytes, and the highest bytes of a row first
        summed = rows.reshape(height, -1, samples).cumsum(1, dtype=np.uint8).reshape(height, dtype.itemsize, -1)
        whole = np.ascontiguousarray(summed.transpose(0, 2, 1)).view(dtype.newbyteorder(">"))
        floats: NDArray[np.generic] = whole.reshape(height, -1, samples).astype(dtype)
        return floats
    numbers: NDArray[np.generic] = rows.view(dtype).reshape(height, -1, samples)
    if predictor == 2:
        unsigned = np.dtype(f"u{dtype.itemsize}")
        whole = numbers.astype(dtype.newbyteorder("=")).view(unsigned)
        numbers = whole.cumsum(1, dtype=unsigned).view(dtype.newbyteorder("=")).astype(dtype)
    return numbers


def _grey_tiff(described: dict[int, int], parts: Sequence[bytes], *, tiled: bool) -> bytes:
    """Write a TIFF of one 8-bit grey page around chunks that are compressed already."""
    tags: dict[int, Sequence[int]] = {tag: (value,) for tag, value in described.items()}
    tags |= {_BITS: (8,), _PHOTOMETRIC: (_GREY,), _SAMPLES: (1,)}
    count = len(tags) + 2
    after = 8 + 2 + 12 * count + 4
    data = after + 8 * len(parts)
    tags[_TILES if tiled else _STRIPS] = _starts(data, parts)
    tags[_TILE_BYTES if tiled else _STRIP_BYTES] = [len(part) for part in parts]
    entries, outside = b"", b""
    for tag in sorted(tags):
        values = tags[tag]
        packed = struct.pack(f"<{len(values)}I", *values)
        if len(values) > 1:
            packed, outside = struct.pack("<I", after + len(outside)), outside + packed
        entries += struct.pack("<HHI", tag, 4, len(values)) + packed
    outside = outside.ljust(8 * len(parts), b"\0")
    return b"II*\0" + struct.pack("<IH", 8, count) + entries + struct.pack("<I", 0) + outside + b"".join(parts)


def _starts(first: int, parts: Iterable[bytes]) -> list[int]:
    starts = []
    for part in parts:
        starts.append(first)
        first += len(part)
    return starts


def _upright(pixels: NDArray[np.generic], orientation: object) -> NDArray[np.generic]:
    """Turn (H, W, B) as the tag Orientation says."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return pixels
