"""Interpolated masks are told by the ramps along their borders."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from atonce.doctor.interpolation import border_statistics
from tests.doctor.scenes import BIG, regions


@pytest.mark.parametrize("scale", [0.4, 0.7, 1.5, 3.0])
@pytest.mark.parametrize("how", [Image.Resampling.BILINEAR, Image.Resampling.BICUBIC])
def test_smooth_scaling_leaves_ramps_along_borders(scale: float, how: Image.Resampling, tmp_path: Path) -> None:
    mask = Image.fromarray(regions(0) * 20)
    size = (round(BIG[0] * scale), round(BIG[1] * scale))
    assert border_statistics(tmp_path, mask.resize(size, how)).suspicious
    assert not border_statistics(tmp_path, mask.resize(size, Image.Resampling.NEAREST)).suspicious
    colour = mask.convert("RGB")
    assert border_statistics(tmp_path, colour.resize(size, how)).suspicious
    assert not border_statistics(tmp_path, colour.resize(size, Image.Resampling.NEAREST)).suspicious


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (3, 3)])
def test_masks_too_small_for_borders(shape: tuple[int, int], tmp_path: Path) -> None:
    assert not border_statistics(
        tmp_path, Image.fromarray(np.random.default_rng(0).integers(0, 9, shape, np.uint8))
    ).suspicious
