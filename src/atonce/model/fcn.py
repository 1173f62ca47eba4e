"""FCN-32s, FCN-16s and FCN-8s: one network, one forward pass.

Shelhamer, Long, Darrell, *Fully Convolutional Networks for Semantic Segmentation*, PAMI 2016, and the
authors' Caffe nets voc-fcn32s, voc-fcn16s, voc-fcn8s and voc-fcn8s-atonce.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import deepcopy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from atonce.model.activation_checkpointing import recomputed
from atonce.model.preprocessing import FROM_SCRATCH, Normalise, Preprocessing
from atonce.model.skips import resolve_scales, upsample
from atonce.model.vgg import Head, SampleDropout, Trunk
from atonce.recipes.schema import FCNConfig

# Crops of the published nets: rows and columns left out before a skip is added, and before the output.
CAFFE_SKIP_CROP = {4: 5, 3: 9}
CAFFE_OUTPUT_CROP = {32: 19, 16: 27, 8: 31}


class FCN(nn.Module):
    """A fully convolutional VGG-16 that scores every pixel.

    Args:
        config: the variant.
        num_classes: C, channels of the logits.
        preprocessing: what the weights expect of their input.

    Raises:
        ValueError: num_classes below 1.
    """

    def __init__(self, config: FCNConfig, num_classes: int, preprocessing: Preprocessing = FROM_SCRATCH) -> None:
        super().__init__()
        if num_classes < 1:
            raise ValueError(f"num_classes is {num_classes}; expected 1 or more")
        self.config, self.num_classes = config, num_classes
        self.caffe = config.alignment == "caffe"
        self.normalise = Normalise(preprocessing)
        self.trunk = Trunk(config.width, first_padding=100 if self.caffe else 1, ceil_pooling=self.caffe)
        channels = self.trunk.channels
        self.head = Head(channels[4], config.head_width, config.dropout, padding=0 if self.caffe else 3)
        self.head_scale = 1.0 if config.head_scale == "calibrate" else config.head_scale
        scales = dict(zip((4, 3), resolve_scales(config), strict=True))
        # FCN-16s adds pool4 to FCN-32s, FCN-8s adds pool3 to that.
        self.scales = {pool: scales[pool] for pool in (4, 3) if 2**pool >= config.stride}
        self.score_fc7 = nn.Conv2d(config.head_width, num_classes, 1)
        self.score_pools = nn.ModuleDict(
            {f"pool{pool}": nn.Conv2d(channels[pool - 1], num_classes, 1) for pool in self.scales}
        )
        self.up_pools = nn.ModuleDict({f"pool{pool}": upsample(config, num_classes, 2) for pool in self.scales})
        self.up_output = upsample(config, num_classes, config.stride)

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, 3, H, W), RGB 0..255, uint8 or float, any size from 1x1 -> logits (N, C, H, W)."""
        height, width = images.shape[-2:]
        pixels = self.normalise(images).to(self.score_fc7.weight.dtype)
        pools = self.trunk(self.pad(pixels))
        scores: Tensor = self.score_fc7(recomputed(self.head, pools[5] * self.head_scale, self.trunk.recompute))
        for pool, scale in self.scales.items():
            scores = self.up_pools[f"pool{pool}"](scores)
            # The scale keeps a skip from drowning the coarser scores while all of them are learned at once.
            skip = self.score_pools[f"pool{pool}"](pools[pool] * scale)
            scores = scores + crop(skip, CAFFE_SKIP_CROP[pool] if self.caffe else 0, scores.shape[-2:])
        # In single precision: the last enlargement is exact, and on CPUs faster than half a precision's.
        scores = self.up_output(scores.to(torch.promote_types(scores.dtype, torch.float32)))
        offset = CAFFE_OUTPUT_CROP[self.config.stride] if self.caffe else 0
        return crop(scores, offset, (height, width))

    def pad(self, x: Tensor) -> Tensor:
        """Grow to multiples of 32 by zeros, the mean colour, at the right and below; caffe pads in conv1_1."""
        if self.caffe:
            return x
        height, width = x.shape[-2:]
        return F.pad(x, (0, -width % 32, 0, -height % 32))

    def score_layers(self) -> Iterator[nn.Conv2d]:
        """The 1x1 layers that reduce features to classes: fc7, then pool4 and pool3 where the stride has them."""
        yield self.score_fc7
        for layer in self.score_pools.values():
            assert isinstance(layer, nn.Conv2d)
            yield layer

    def set_scales(self, config: FCNConfig) -> None:
        """Take over the factors of a config that gives them as numbers, and the config with them."""
        self.config = config
        self.head_scale = float(config.head_scale)
        resolved = dict(zip((4, 3), resolve_scales(config), strict=True))
        self.scales = {pool: resolved[pool] for pool in self.scales}

    def recompute(self, wanted: bool) -> None:
        """Whether the trunk's blocks and the head are computed again in the backward pass instead of kept in memory."""
        self.trunk.recompute = wanted

    def rounded(self) -> FCN:
        """A copy for inference that multiplies in bf16; preprocessing and the last enlargement stay in float32."""
        exact = {id(parameter) for parameter in self.up_output.parameters()}
        # Told beforehand what to put in a parameter's place, deepcopy copies neither weights nor gradients in float32.
        replaced = {
            id(p): nn.Parameter(p.detach().to(p.dtype if id(p) in exact else torch.bfloat16), requires_grad=False)
            for p in self.parameters()
        }
        return deepcopy(self, replaced)

    def seed_dropout(self, seeds: list[int] | None) -> None:
        """Tie the dropout masks of the next batch to its samples; see SampleDropout."""
        for module in self.modules():
            if isinstance(module, SampleDropout):
                module.seeds = seeds


def crop(x: Tensor, offset: int, size: Sequence[int]) -> Tensor:
    """(N, C, h, w) -> (N, C, size[0], size[1]), from row and column `offset`."""
    return x[..., offset : offset + size[0], offset : offset + size[1]]
