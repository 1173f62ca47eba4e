"""TIFFs such as scientific programs write: any number of bands and pages, any depth, planes, tiles, compression."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray


def write_tiff(
    path: Path,
    pages: Sequence[NDArray[Any]] | NDArray[Any],
    *,
    rgb: bool = True,
    planes: bool = False,
    tile: int = 0,
    deflate: bool = False,
    predictor: int = 1,
    order: Literal["<", ">"] = "<",
    extra: Sequence[int] | None = None,
    orientation: int = 1,
    thumbnails: int = 0,
) -> Path:
    """Write pages (H, W, B) of one dtype.

    Args:
        rgb: the first three bands are red, green and blue; else all are grey.
        planes: one band after the other, instead of one pixel after the other.
        tile: the side of square tiles; 0 writes strips of seven rows.
        deflate: compressed, after `predictor` (1 none, 2 differences).
        extra: the tag ExtraSamples; None: unspecified.
        thumbnails: so many of the last pages are marked as reduced pictures of another page.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    data = bytearray((b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 0))
    link = 4
    for number, page in enumerate(pages):
        height, width, bands = page.shape
        chunks = []
        for part in np.split(page, bands, axis=2) if planes else [page]:
            for block in _blocks(part, tile):
                coded = _predict(block, predictor).astype(page.dtype.newbyteorder(order)).tobytes()
                chunks.append(zlib.compress(coded) if deflate else coded)
        offsets = []
        for chunk in chunks:
            offsets.append(len(data))
            data += chunk + b"\0" * (len(chunk) % 2)
        others = list(extra) if extra is not None else [0] * (bands - (3 if rgb else 1))
        tags: dict[int, list[int]] = {
            254: [int(number >= len(pages) - thumbnails)],
            256: [width],
            257: [height],
            258: [8 * page.dtype.itemsize] * bands,
            259: [8 if deflate else 1],
            262: [2 if rgb else 1],
            274: [orientation],
            277: [bands],
            284: [2 if planes else 1],
            317: [predictor],
            339: [{"u": 1, "i": 2, "f": 3}[page.dtype.kind]] * bands,
        }
        if others:
            tags[338] = others
        tags |= {322: [tile], 323: [tile]} if tile else {278: [7]}
        tags[324 if tile else 273], tags[325 if tile else 279] = offsets, [len(chunk) for chunk in chunks]
        entries = b""
        for tag in sorted(tags):
            values = struct.pack(f"{order}{len(tags[tag])}I", *tags[tag])
            if len(values) > 4:
                data += values
                values = struct.pack(order + "I", len(data) - len(values))
            entries += struct.pack(order + "HHI", tag, 4, len(tags[tag])) + values
        struct.pack_into(order + "I", data, link, len(data))
        data += struct.pack(order + "H", len(tags)) + entries
        link = len(data)
        data += struct.pack(order + "I", 0)
    path.write_bytes(bytes(data))
    return path


def _blocks(part: NDArray[Any], tile: int) -> list[NDArray[Any]]:
    height, width = part.shape[:2]
    if not tile:
        return [part[top : top + 7] for top in range(0, height, 7)]
    padded = np.pad(part, ((0, -height % tile), (0, -width % tile), (0, 0)))
    return [
        padded[top : top + tile, left : left + tile] for top in range(0, height, tile) for left in range(0, width, tile)
    ]


def _predict(block: NDArray[Any], predictor: int) -> NDArray[Any]:
    if predictor == 1:
        return block
    return np.diff(block, axis=1, prepend=np.zeros_like(block[:, :1]))
