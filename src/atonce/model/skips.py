"""Skip connections: which pools are scored, by which factor they are scaled, how scores are enlarged."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from atonce.recipes.schema import FCNConfig

AT_ONCE = (0.01, 0.0001)
"""Factors on (pool4, pool3) in the authors' voc-fcn8s-atonce/net.py, made for the original VGG-16 weights."""


def resolve_scales(config: FCNConfig) -> tuple[float, float]:
    """Factors on (pool4, pool3) as numbers; 1 where they are yet to be calibrated."""
    named = {"at-once": AT_ONCE, "unit": (1.0, 1.0), "calibrate": (1.0, 1.0)}
    return named[config.skip_scales] if isinstance(config.skip_scales, str) else config.skip_scales


def bilinear_kernel(factor: int) -> Tensor:
    """Float (2 factor, 2 factor): the weights with which a transposed convolution interpolates bilinearly.

    Source: the upsampling filler of the authors' surgery.py; size 2 f - f mod 2, here for even f.
    """
    size = 2 * factor
    distance = (torch.arange(size, dtype=torch.float64) - (size - 1) / 2).abs() / factor
    ramp = 1 - distance
    return (ramp[:, None] * ramp[None, :]).float()


class FixedUpsample(nn.Module):
    """Bilinear enlargement by an even factor, without parameters and channel by channel.

    Args:
        exact: True extends scores by zeros and keeps the border, (n - 1) * f + 2 f values, as Caffe's
            deconvolution does; False extends them by their border values and gives n * f values.
    """

    def __init__(self, factor: int, exact: bool) -> None:
        super().__init__()
        self.factor, self.exact = factor, exact

    def forward(self, x: Tensor) -> Tensor:
        if not self.exact:
            return F.interpolate(x, scale_factor=self.factor, mode="bilinear", align_corners=False)
        channels = x.shape[1]
        # One channel at a time: a dense C x C kernel would multiply by zeros C - 1 times out of C.
        weight = bilinear_kernel(self.factor).to(x).expand(channels, 1, -1, -1)
        return F.conv_transpose2d(x, weight, stride=self.factor, groups=channels)


class LearnedUpsample(nn.ConvTranspose2d):
    """Transposed convolution over all classes that starts as bilinear interpolation.

    Args:
        exact: True keeps the border, (n - 1) * f + 2 f values; False crops it to n * f values.
    """

    def __init__(self, classes: int, factor: int, exact: bool) -> None:
        padding = 0 if exact else factor // 2
        super().__init__(classes, classes, 2 * factor, stride=factor, padding=padding, bias=False)

    def reset_parameters(self) -> None:
        with torch.no_grad():
            self.weight.zero_()
            for k in range(self.in_channels):
                self.weight[k, k] = bilinear_kernel(self.stride[0])


def upsample(config: FCNConfig, classes: int, factor: int) -> nn.Module:
    """The enlargement that a variant asks for: (N, C, h, w) scores -> about (N, C, f h, f w)."""
    exact = config.alignment == "caffe"
    return LearnedUpsample(classes, factor, exact) if config.upsampling == "learned" else FixedUpsample(factor, exact)
