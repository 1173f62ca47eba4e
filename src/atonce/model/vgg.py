"""The trunk (backbone, encoder): VGG-16's five convolution blocks, and its fully connected layers as convolutions."""

from __future__ import annotations

from functools import partial
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from atonce.model.activation_checkpointing import checkpointed

BLOCKS = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
"""(channels, convolutions) of each block: configuration D of Simonyan and Zisserman, ICLR 2015."""

BLOCK_LAYERS = tuple(tuple(f"conv{b}_{c}" for c in range(1, count + 1)) for b, (_, count) in enumerate(BLOCKS, 1))
"""((conv1_1, conv1_2), ... (conv5_1, conv5_2, conv5_3)): the names of the paper and of Caffe, and of the keys in a
model file."""

TRUNK_LAYERS = tuple(name for names in BLOCK_LAYERS for name in names)
"""conv1_1 ... conv5_3, in the order in which they are computed."""

_OUTPUTS = tuple(channels for channels, count in BLOCKS for _ in range(count))

VGG16_CHANNELS = dict(zip(TRUNK_LAYERS, zip(_OUTPUTS, (3, *_OUTPUTS[:-1]), strict=True), strict=True))
"""(output channels, input channels) of each convolution of VGG-16; a Trunk of another width has others."""


class Trunk(nn.Module):
    """VGG-16 up to pool5: five blocks of 3x3 convolutions and ReLU, each followed by 2x2 max pooling.

    Block k halves the size, so pool k has stride 2**k. Of images (N, 3, H, W) whose sides are multiples of 32:

    | block | layers             | channels | its pool              |
    |-------|--------------------|----------|-----------------------|
    | 1     | conv1_1, conv1_2   | 64       | (N, 64, H/2, W/2)     |
    | 2     | conv2_1, conv2_2   | 128      | (N, 128, H/4, W/4)    |
    | 3     | conv3_1 .. conv3_3 | 256      | (N, 256, H/8, W/8)    |
    | 4     | conv4_1 .. conv4_3 | 512      | (N, 512, H/16, W/16)  |
    | 5     | conv5_1 .. conv5_3 | 512      | (N, 512, H/32, W/32)  |

    >>> pools = Trunk(width=0.125)(torch.zeros(1, 3, 64, 96))
    >>> pools[3].shape, pools[5].shape
    (torch.Size([1, 32, 8, 12]), torch.Size([1, 64, 2, 3]))

    Args:
        width: factor on every channel count, each rounded to a multiple of 8 and at least 8.
        caffe_geometry: as in the published nets, conv1_1 pads by 100 instead of 1, and pooling rounds sizes up.

    Attributes:
        channels: output channels of the five blocks.
        activation_checkpointing: compute the blocks again in the backward pass instead of keeping their activations.
    """

    def __init__(self, width: float = 1.0, *, caffe_geometry: bool = False) -> None:
        super().__init__()
        self.channels = tuple(max(8, 8 * round(channels * width / 8)) for channels, _ in BLOCKS)
        self.ceil_pooling = caffe_geometry
        self.activation_checkpointing = False
        inputs = 3
        for names, channels in zip(BLOCK_LAYERS, self.channels, strict=True):
            for name in names:
                padding = 100 if caffe_geometry and name == TRUNK_LAYERS[0] else 1
                self.add_module(name, nn.Conv2d(inputs, channels, 3, padding=padding))
                inputs = channels

    def convolutions(self) -> list[dict[str, nn.Conv2d]]:
        """The convolutions by name, a dict for each block, in the order in which they are computed."""
        return [{name: cast("nn.Conv2d", self.get_submodule(name)) for name in names} for names in BLOCK_LAYERS]

    def forward(self, x: Tensor) -> dict[int, Tensor]:
        """Compute {1: pool1, ..., 5: pool5} of normalised images (N, 3, H, W)."""
        pools: dict[int, Tensor] = {}
        for number, layers in enumerate(self.convolutions(), 1):
            block = partial(self._block, list(layers.values()))
            x = pools[number] = checkpointed(block, x, enabled=self.activation_checkpointing)
        return pools

    def _block(self, layers: list[nn.Conv2d], x: Tensor) -> Tensor:
        for layer in layers:
            x = F.relu(layer(x), inplace=True)
        return F.max_pool2d(x, 2, 2, ceil_mode=self.ceil_pooling)


class Head(nn.Module):
    """VGG-16's fully connected layers made convolutional: fc6 (7x7) and fc7 (1x1), ReLU and dropout after each.

    pool5 (N, C, h, w) -> (N, width, h, w); in Caffe's geometry (N, width, h - 6, w - 6).

    Args:
        in_channels: C, those of pool5.
        width: output channels of fc6 and of fc7, 4096 in VGG-16.
        dropout: probability that a value is dropped while training.
        caffe_geometry: fc6 is not padded, as in the published nets; otherwise it is padded by 3 and keeps the size.
    """

    def __init__(self, in_channels: int, width: int, *, dropout: float, caffe_geometry: bool = False) -> None:
        super().__init__()
        # The padding is applied apart from the convolution: on CPUs the backward pass of
        # Conv2d(512, 4096, 7, padding=3) takes 30 times longer than that of the unpadded one.
        self.padding = 0 if caffe_geometry else 3
        self.fc6 = nn.Conv2d(in_channels, width, 7)
        self.drop6 = SampleDropout(dropout, stream=6)
        self.fc7 = nn.Conv2d(width, width, 1)
        self.drop7 = SampleDropout(dropout, stream=7)

    def forward(self, pool5: Tensor) -> Tensor:
        """Compute fc7's activations of pool5, which has been scaled already."""
        x = F.pad(pool5, (self.padding,) * 4) if self.padding else pool5
        x = im2col_conv2d(self.fc6, x) if im2col_is_faster(self.fc6, x) else self.fc6(x)
        x = self.drop6(F.relu(x, inplace=True))
        scored: Tensor = self.drop7(F.relu(self.fc7(x), inplace=True))
        return scored


def im2col_is_faster(layer: nn.Conv2d, x: Tensor) -> bool:
    """Tell whether `im2col_conv2d` is the faster way for an unpadded layer: on CPUs, few positions, a wide kernel.

    Then it takes half the time, and the windows take no more memory than the kernel does (page "Performance log").
    """
    side = layer.kernel_size[0]
    positions = len(x) * (x.shape[2] - side + 1) * (x.shape[3] - side + 1)
    fitting = layer.weight.is_contiguous(memory_format=torch.channels_last)
    return x.device.type == "cpu" and fitting and side > 1 and positions <= layer.out_channels


def im2col_conv2d(layer: nn.Conv2d, x: Tensor) -> Tensor:
    """Compute layer(x) of an unpadded layer of stride 1 as one matrix product, a row for each window of x (im2col).

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

    Args:
        p: probability that a value is dropped.
        stream: 0..15, a different one for each layer: with it, one seed gives each layer a mask of its own.
    """

    def __init__(self, p: float, stream: int) -> None:
        super().__init__()
        self.p, self.stream = p, stream
        self.seeds: list[int] | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Drop values of x (N, C, h, w) while training, and scale up the rest.

        Raises:
            ValueError: another number of seeds than samples.
        """
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
