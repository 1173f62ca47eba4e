"""Upsampling, fixed and learned, is bilinear interpolation to begin with."""

from __future__ import annotations

import itertools

import pytest
import torch
import torch.nn.functional as F

from atonce.model.upsampling import FixedUpsample, LearnedUpsample, bilinear_kernel


@pytest.mark.parametrize("factor", [2, 8, 16, 32])
def test_fixed_kernel_is_bilinear_interpolation(factor: int) -> None:
    x = torch.rand(1, 3, 6, 9)
    ours = FixedUpsample(factor, keep_border=True)(x)
    half = factor // 2
    cropped = ours[..., half : half + 6 * factor, half : half + 9 * factor]
    torch_ = F.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)
    inner = slice(half, -half)
    torch.testing.assert_close(cropped[..., inner, inner], torch_[..., inner, inner])
    torch.testing.assert_close(FixedUpsample(factor, keep_border=False)(x), torch_)


@pytest.mark.parametrize("keep_border", [True, False])
def test_learned_upsampling_starts_as_the_fixed_one(keep_border: bool) -> None:
    x = torch.rand(1, 3, 6, 9)
    learned, fixed = LearnedUpsample(3, 4, keep_border=keep_border)(x), FixedUpsample(4, keep_border=keep_border)(x)
    inner = slice(4, -4)
    assert learned.shape == fixed.shape
    torch.testing.assert_close(learned[..., inner, inner], fixed[..., inner, inner])


def test_bilinear_kernel_sums_to_one_per_output() -> None:
    kernel = bilinear_kernel(4)
    assert kernel.shape == (8, 8)
    # Each output pixel receives every fourth weight of the kernel in both directions.
    for row, column in itertools.product(range(4), range(4)):
        assert float(kernel[row::4, column::4].sum()) == pytest.approx(1.0)
