"""The trunk: VGG-16's five convolution blocks, and its fully connected layers made convolutional."""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from atonce.model.activation_checkpointing import recomputed

BLOCKS = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
"""(channels, convolutions) of each block: configuration D of Simonyan and Zisserman, ICLR 2015."""

TRUNK_LAYERS = tuple(f"conv{b}_{c}" for b, (_, count) in enumerate(BLOCKS, 1) for c in range(1, count + 1))
"""conv1_1 ... conv5_3: the names of the paper and of Caffe, and of the keys in a model file."""


class Trunk(nn.Module):
    """Blocks of 3x3 convolutions and ReLU, each followed by 2x2 max pooling.

    Args:
        width: factor on every channel count, each rounded to at least 8 and a multiple of 8.
        first_padding: zeros around the picture before conv1_1 (1, or 100 in the published nets).
        ceil_pooling: Caffe rounds pooled sizes up; with sizes that are multiples of 32 there is no difference.
    """

    def __init__(self, width: float = 1.0, first_padding: int = 1, ceil_pooling: bool = False) -> None:
        super().__init__()
        self.channels = tuple(max(8, 8 * round(channels * width / 8)) for channels, _ in BLOCKS)
        self.ceil_pooling = ceil_pooling
        self.recompute = False
        inputs = 3
        for block, (channels, (_, count)) in enumerate(zip(self.channels, BLOCKS, strict=True), 1):
            for index in range(1, count + 1):
                padding = first_padding if (block, index) == (1, 1) else 1
                self.add_module(f"conv{block}_{index}", nn.Conv2d(inputs, channels, 3, padding=padding))
                inputs = channels

    def forward(self, x: Tensor) -> dict[int, Tensor]:
        """(N, 3, H, W) normalised -> {1: pool1, ..., 5: pool5}, pool k at stride 2**k."""
        pools: dict[int, Tensor] = {}
        for block, (_, count) in enumerate(BLOCKS, 1):
            x = pools[block] = recomputed(partial(self._block, block, count), x, self.recompute)
        return pools

    def _block(self, block: int, count: int, x: Tensor) -> Tensor:
        for index in range(1, count + 1):
            x = F.relu(self.get_submodule(f"conv{block}_{index}")(x), inplace=True)
        return F.max_pool2d(x, 2, 2, ceil_mode=self.ceil_pooling)


class Head(nn.Module):
    """fc6 (7x7) and fc7 (1x1) as convolutions, ReLU and dropout after each.

    Args:
        padding: 3 keeps the size of pool5; 0 is the published geometry.
    """

    def __init__(self, inputs: int, width: int, dropout: float, padding: int) -> None:
        super().__init__()
        # The padding is applied apart from the convolution: on CPUs the backward pass of
        # Conv2d(512, 4096, 7, padding=3) takes 30 times longer than that of the unpadded one.
        self.padding = padding
        self.fc6 = nn.Conv2d(inputs, width, 7)
        self.drop6 = SampleDropout(dropout, stream=6)
        self.fc7 = nn.Conv2d(width, width, 1)
        self.drop7 = SampleDropout(dropout, stream=7)

    def forward(self, pool5: Tensor) -> Tensor:
        x = F.pad(pool5, (self.padding,) * 4) if self.padding else pool5
        x = by_windows(self.fc6, x) if prefers_windows(self.fc6, x) else self.fc6(x)
        x = self.drop6(F.relu(x, inplace=True))
        scored: Tensor = self.drop7(F.relu(self.fc7(x), inplace=True))
        return scored


def prefers_windows(layer: nn.Conv2d, x: Tensor) -> bool:
    """Whether `by_windows` is the faster way for an unpadded layer: on CPUs, few positions under a wide kernel.

    Then half the time, and the windows take no more memory than the kernel does (docs/performance.md, ideas).
    """
    side = layer.kernel_size[0]
    positions = len(x) * (x.shape[2] - side + 1) * (x.shape[3] - side + 1)
    fitting = layer.weight.is_contiguous(memory_format=torch.channels_last)
    return x.device.type == "cpu" and fitting and side > 1 and positions <= layer.out_channels


def by_windows(layer: nn.Conv2d, x: Tensor) -> Tensor:
    """layer(x) of an unpadded layer of stride 1 as one matrix product, a row for each window of x.

    (N, C, h, w) -> (N, D, h - k + 1, w - k + 1), both channels-last, as is the kernel.
    """
    side = layer.kernel_size[0]
    windows = x.permute(0, 2, 3, 1).unfold(1, side, 1).unfold(2, side, 1).permute(0, 1, 2, 4, 5, 3)
    kernel = layer.weight.permute(0, 2, 3, 1).flatten(1)
    return F.linear(windows.flatten(3), kernel, layer.bias).permute(0, 3, 1, 2)


class SampleDropout(nn.Module):
    """Dropout whose mask belongs to the sample, whichever process and part of the batch it is in.

    Training sets `seeds`, one per sample of the batch; the same global batch then meets the same masks
    on one process or many, and after a resume. Without seeds it is ordinary dropout.
    """

    def __init__(self, p: float, stream: int) -> None:
        super().__init__()
        self.p, self.stream = p, stream
        self.seeds: list[int] | None = None

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return x
        if self.seeds is None:
            return F.dropout(x, self.p)
        if len(self.seeds) != len(x):
            raise ValueError(f"{len(self.seeds)} dropout seeds for a batch of {len(x)}")
        keep = torch.empty(x.shape, device=x.device)
        generator = torch.Generator(x.device)
        for row, seed in zip(keep, self.seeds, strict=True):
            row.uniform_(generator=generator.manual_seed(seed * 16 + self.stream))
        return x * ((keep >= self.p).to(x.dtype) / (1 - self.p))
