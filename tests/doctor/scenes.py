"""Data sets that the doctor finds nothing wrong with: smooth pictures, masks of a few regions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from tests.data import trees

BIG = (120, 90)


def scenes(root: Path, train: int = 6, val: int = 3) -> Path:
    """train/ and val/ of smooth pictures and masks of regions (0, 3, 6, 9), with a classes file of ten names."""
    for split, count, start in (("train", train, 0), ("val", val, 100)):
        for i in range(count):
            trees.save(root / split / "images" / f"{i:03}.png", smooth(start + i))
            trees.save(root / split / "masks" / f"{i:03}.png", regions(start + i))
    (root / "classes.yaml").write_text(f"[{', '.join(f'c{i}' for i in range(10))}]")
    return root


def smooth(seed: int) -> np.ndarray:
    """uint8 (90, 120, 3) that survives scaling, as photographs do."""
    small = np.random.default_rng(seed).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(small).resize(BIG, Image.Resampling.BICUBIC))


def regions(seed: int) -> np.ndarray:
    """uint8 (90, 120): blocks of 15 pixels."""
    cells = np.random.default_rng(seed).choice(np.array([0, 3, 6, 9], np.uint8), (6, 8))
    return cells.repeat(15, axis=0).repeat(15, axis=1)
