"""Pictures for any test that needs one, the same for the same seed."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def noise(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    """Independent values: uint8 (H, W, 3)."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def blocks(height: int, width: int, seed: int = 0, cell: int = 20) -> NDArray[np.uint8]:
    """Noise over cells of one colour each, so that all classes of a random network appear: uint8 (H, W, 3)."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (height // cell + 1, width // cell + 1, 3))
    coarse = coarse.repeat(cell, 0).repeat(cell, 1)[:height, :width]
    return np.clip(coarse + rng.integers(-60, 61, (height, width, 3)), 0, 255).astype(np.uint8)


def encoded(picture: Image.Image | NDArray[Any], kind: str = "PNG", **options: Any) -> bytes:
    """The bytes of a file of this kind; `options` are those of Pillow's writer."""
    file = BytesIO()
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    image.save(file, kind, **options)
    return file.getvalue()
