"""Masks as a paint program leaves them: flat shapes with soft borders."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from tests.data import trees

COLOURS = (
    (0, 0, 0), (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0),
    (255, 0, 255), (0, 255, 255), (128, 128, 128), (128, 64, 0), (0, 128, 64),
)  # fmt: skip
GREYS = tuple(range(0, 250, 25))
SIZE = (160, 120)
_SCALE = 4


def paint(seed: int, count: int = 10, *, colour: bool = True, how: Image.Resampling | None) -> NDArray[np.uint8]:
    """Paint ellipses and rectangles, four times as large, and scale them down.

    Args:
        count: classes, background included.
        how: the filter; None gives ids (H, W) without soft borders.
    """
    rng = np.random.default_rng(seed)
    values = COLOURS if colour and how is not None else GREYS if how is not None else tuple(range(10))
    big = Image.new("RGB" if colour and how is not None else "L", (SIZE[0] * _SCALE, SIZE[1] * _SCALE), values[0])
    draw = ImageDraw.Draw(big)
    for i in range(1, count):
        x, y = (rng.integers(0, side * _SCALE * 4 // 5) for side in SIZE)
        width, height = rng.integers(15 * _SCALE, 40 * _SCALE, 2)
        shape = draw.ellipse if i % 2 else draw.rectangle
        shape((int(x), int(y), int(x + width), int(y + height)), fill=values[i])
    return np.asarray(big.resize(SIZE, how if how is not None else Image.Resampling.NEAREST))


def painted_folder(
    root: Path, pictures: int = 8, count: int = 10, *, colour: bool = True, how: Image.Resampling = Image.Resampling.BOX
) -> Path:
    """images/ and masks/ with soft borders and no classes file."""
    for i in range(pictures):
        trees.save(root / "images" / f"{i}.jpg", trees.picture(i, SIZE))
        trees.save(root / "masks" / f"{i}.png", paint(i, count, colour=colour, how=how))
    return root
