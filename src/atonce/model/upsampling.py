"""Bilinear upsampling of scores, fixed, or learned as a transposed convolution (deconvolution)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from atonce.recipes.schema import FCNConfig


def bilinear_kernel(factor: int) -> Tensor:
    """Compute the weights with which a transposed convolution interpolates bilinearly, float (2 factor, 2 factor).

    Source: the upsampling filler of the authors' surgery.py; size 2 f - f mod 2, here for even f.
    """
    size = 2 * factor
    distance = (torch.arange(size, dtype=torch.float64) - (size - 1) / 2).abs() / factor
    ramp = 1 - distance
    return (ramp[:, None] * ramp[None, :]).float()


class FixedUpsample(nn.Module):
    """Bilinear upsampling by an even factor f, without parameters and channel by channel.

    (N, C, h, w) -> (N, C, f h, f w), or with `keep_border` (N, C, f h + f, f w + f).

    >>> FixedUpsample(2, keep_border=False)(torch.zeros(1, 21, 10, 15)).shape
    torch.Size([1, 21, 20, 30])

    Args:
        keep_border: True for Caffe's geometry (`FCNConfig.caffe_geometry`): scores are extended by zeros, and the f / 2
            values that this gives beyond each border are kept, (n - 1) f + 2 f in all, as Caffe's deconvolution does;
            the network crops them later. False extends scores by their border values and gives n f values.
    """

    def __init__(self, factor: int, *, keep_border: bool) -> None:
        super().__init__()
        self.factor, self.keep_border = factor, keep_border

    def forward(self, x: Tensor) -> Tensor:
        """Upsample scores (N, C, h, w); the result has their dtype."""
        if not self.keep_border:
            return F.interpolate(x, scale_factor=self.factor, mode="bilinear", align_corners=False)
        channels = x.shape[1]
        # One channel at a time: a dense C x C kernel would multiply by zeros C - 1 times out of C.
        weight = bilinear_kernel(self.factor).to(x).expand(channels, 1, -1, -1)
        return F.conv_transpose2d(x, weight, stride=self.factor, groups=channels)


class LearnedUpsample(nn.ConvTranspose2d):
    """Transposed convolution over all classes that is built as bilinear interpolation by an even factor f.

    (N, C, h, w) -> (N, C, f h, f w), or with `keep_border` (N, C, f h + f, f w + f). Its kernel (C, C, 2 f, 2 f) begins
    with the bilinear weights from each class to itself and zeros between classes; `initialise` may give it others.

    Args:
        keep_border: as in FixedUpsample: True for Caffe's geometry, (n - 1) f + 2 f values; False crops them to n f.
    """

    def __init__(self, num_classes: int, factor: int, *, keep_border: bool) -> None:
        padding = 0 if keep_border else factor // 2
        super().__init__(num_classes, num_classes, 2 * factor, stride=factor, padding=padding, bias=False)

    def reset_parameters(self) -> None:
        """Start as bilinear interpolation; torch calls this when the layer is built."""
        with torch.no_grad():
            self.weight.zero_()
            for k in range(self.in_channels):
                self.weight[k, k] = bilinear_kernel(self.stride[0])


def upsampling_layer(config: FCNConfig, num_classes: int, factor: int) -> nn.Module:
    """Build the layer that upsamples scores by `factor` in this variant."""
    if config.upsampling == "learned":
        return LearnedUpsample(num_classes, factor, keep_border=config.caffe_geometry)
    return FixedUpsample(factor, keep_border=config.caffe_geometry)
