"""FCN-32s, FCN-16s and FCN-8s: one network, one forward pass.

Shelhamer, Long, Darrell, *Fully Convolutional Networks for Semantic Segmentation*, PAMI 2017, and the
authors' Caffe nets voc-fcn32s, voc-fcn16s, voc-fcn8s and voc-fcn8s-atonce.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import deepcopy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from atonce.model.activation_checkpointing import checkpointed
from atonce.model.preprocessing import FROM_SCRATCH, Normalise, Preprocessing
from atonce.model.upsampling import upsampling_layer
from atonce.model.vgg import Head, SampleDropout, Trunk
from atonce.recipes.schema import FCNConfig

AT_ONCE = (0.01, 0.0001)
"""Factors on (pool4, pool3) in the authors' voc-fcn8s-atonce/net.py, made for the original VGG-16 weights."""

# Crops of the published nets: rows and columns left out before a skip is added, and before the output.
CAFFE_SKIP_CROP = {4: 5, 3: 9}
CAFFE_OUTPUT_CROP = {32: 19, 16: 27, 8: 31}


class FCN(nn.Module):
    """A fully convolutional VGG-16 that scores every pixel. This is FCN-8s::

        image (N, 3, H, W), RGB 0..255
          |
        normalise, pad to multiples of 32
          |
        conv1_1..2   /2    conv2_1..2   /4    conv3_1..3   /8      conv4_1..3   /16     conv5_1..3   /32
        ---------> pool1 -----------> pool2 -----------> pool3 -----------> pool4 -----------> pool5
                                                           |                  |                  |
                                                          x s3               x s4               x s5
                                                           |                  |                  |
                                                           |                  |              fc6, fc7
                                                           |                  |                  |
                                                      score_pool3        score_pool4        score_fc7
                                                        1x1 to C           1x1 to C          1x1 to C
                                                           |                  |                  |
        logits <-------- crop to H x W <---- up_output <--(+)<-- up_pool3 <--(+)<-- up_pool4 <---+
        (N, C, H, W)                             x8       /8        x2       /16       x2       /32

    - **Scored**: 1x1 convolutions turn features into one score for each of the C classes at every position: of fc7,
      (N, C, H/32, W/32), and of the skips pool4, (N, C, H/16, W/16), and pool3, (N, C, H/8, W/8).
    - **Scaled**: before they are scored, pool3 is multiplied by s3 and pool4 by s4, `config.skip_scales`. The pools of
      VGG-16 hold values of hundreds, fc7's are about one: without the scales, s4 = 0.01 and s3 = 0.0001 in the
      authors' net, no learning rate would suit all three score layers at once. pool5 is multiplied by s5,
      `config.head_scale`, before fc6; it is 1 where fc6 and fc7 are pretrained.
    - **Fused**: the scores of fc7 are upsampled by 2 and those of pool4 are added; the sum is upsampled by 2 and those
      of pool3 are added.
    - **Upsampled**: the sum is brought to the image's size, by 8, and what the padding added is cropped. Upsampling is
      bilinear, fixed or as the start of a learned transposed convolution, `config.upsampling`.

    FCN-16s ends after pool4: its sum is upsampled by 16. FCN-32s has no skip: the scores of fc7 are upsampled by 32.
    `config.stride` is 8, 16 or 32. `config.alignment: caffe` is the published nets' geometry: conv1_1 pads by 100, fc6
    does not pad, and the crops are CAFFE_SKIP_CROP and CAFFE_OUTPUT_CROP.

    >>> config = FCNConfig(stride=8, width=0.25, head_width=256)
    >>> model = FCN(config, num_classes=21)
    >>> model.scales
    {4: 0.01, 3: 0.0001}
    >>> images = torch.randint(0, 256, (2, 3, 90, 120), dtype=torch.uint8)
    >>> model(images).shape
    torch.Size([2, 21, 90, 120])

    The weights are torch's defaults until `atonce.model.initialise` or `atonce.weights.load_weights` fills them.

    Args:
        config: the variant.
        num_classes: C, channels of the logits.
        preprocessing: what the weights expect of their input.

    Attributes:
        scales: the factors on the skips, pool -> factor, for the pools that the variant scores.
        head_scale: the factor on pool5.

    Raises:
        ValueError: num_classes below 1.
    """

    def __init__(self, config: FCNConfig, num_classes: int, preprocessing: Preprocessing = FROM_SCRATCH) -> None:
        super().__init__()
        if num_classes < 1:
            raise ValueError(f"num_classes is {num_classes}; expected 1 or more")
        self.config, self.num_classes = config, num_classes
        self.normalise = Normalise(preprocessing)
        self.trunk = Trunk(config.width, caffe_geometry=config.caffe_geometry)
        channels = self.trunk.channels
        self.head = Head(channels[4], config.head_width, dropout=config.dropout, caffe_geometry=config.caffe_geometry)
        self.head_scale = 1.0 if config.head_scale == "calibrate" else config.head_scale
        self.scales = skip_scales_of(config)
        self.score_fc7 = nn.Conv2d(config.head_width, num_classes, 1)
        self.score_pools = nn.ModuleDict(
            {f"pool{pool}": nn.Conv2d(channels[pool - 1], num_classes, 1) for pool in config.skips}
        )
        self.up_pools = nn.ModuleDict(
            {f"pool{pool}": upsampling_layer(config, num_classes, 2) for pool in config.skips}
        )
        self.up_output = upsampling_layer(config, num_classes, config.stride)

    def forward(self, images: Tensor) -> Tensor:
        """Score images.

        Args:
            images: (N, 3, H, W), RGB 0..255, uint8 or float, any size from 1x1.

        Returns:
            Logits (N, C, H, W), float32 or wider.
        """
        height, width = images.shape[-2:]
        caffe, checkpointing = self.config.caffe_geometry, self.trunk.activation_checkpointing
        pixels = self.normalise(images).to(self.score_fc7.weight.dtype)
        pools = self.trunk(self.pad(pixels))
        scores: Tensor = self.score_fc7(checkpointed(self.head, pools[5] * self.head_scale, enabled=checkpointing))
        for pool, scale in self.scales.items():
            scores = self.up_pools[f"pool{pool}"](scores)
            # The scale keeps a skip from drowning the coarser scores while all of them are trained at once.
            skip = self.score_pools[f"pool{pool}"](pools[pool] * scale)
            scores = scores + crop(skip, CAFFE_SKIP_CROP[pool] if caffe else 0, scores.shape[-2:])
        # In single precision: the last upsampling is exact, and on CPUs faster than half a precision's.
        scores = self.up_output(scores.to(torch.promote_types(scores.dtype, torch.float32)))
        return crop(scores, CAFFE_OUTPUT_CROP[self.config.stride] if caffe else 0, (height, width))

    def pad(self, x: Tensor) -> Tensor:
        """Pad normalised images (N, 3, H, W) with zeros, the mean colour, at the right and below to multiples of 32.

        In Caffe's geometry they stay as they are: conv1_1 pads.
        """
        if self.config.caffe_geometry:
            return x
        height, width = x.shape[-2:]
        return F.pad(x, (0, -width % 32, 0, -height % 32))

    def score_layers(self) -> Iterator[nn.Conv2d]:
        """The 1x1 layers that reduce features to classes: fc7's, then pool4's and pool3's where the stride has them."""
        yield self.score_fc7
        for layer in self.score_pools.values():
            assert isinstance(layer, nn.Conv2d)
            yield layer

    def set_scales(self, config: FCNConfig) -> None:
        """Take over the factors of a config that gives them as numbers, and the config with them."""
        self.config = config
        self.head_scale = float(config.head_scale)
        self.scales = skip_scales_of(config)

    def set_activation_checkpointing(self, *, enabled: bool) -> None:
        """Compute the trunk's blocks and the head again in the backward pass (enabled), or keep their activations."""
        self.trunk.activation_checkpointing = enabled

    def bf16_copy(self) -> FCN:
        """Copy the network for inference that multiplies in bf16; preprocessing and the last upsampling stay float32.

        The copy shares no weights with the network, has no gradients and cannot be trained.
        """
        float32 = {id(parameter) for parameter in self.up_output.parameters()}
        # Told beforehand what to put in a parameter's place, deepcopy copies neither weights nor gradients in float32.
        replaced = {
            id(p): nn.Parameter(p.detach().to(p.dtype if id(p) in float32 else torch.bfloat16), requires_grad=False)
            for p in self.parameters()
        }
        return deepcopy(self, replaced)

    def seed_dropout(self, seeds: list[int] | None) -> None:
        """Tie the dropout masks of the next batch to its samples; see SampleDropout."""
        for module in self.modules():
            if isinstance(module, SampleDropout):
                module.seeds = seeds


def skip_scales_of(config: FCNConfig) -> dict[int, float]:
    """The factors on the pools that a variant scores beside fc7, pool -> number; 1 where they are yet to be calibrated.

    The order is that of `FCNConfig.skips`, in which the scores are added.
    """
    named = {"at-once": AT_ONCE, "unit": (1.0, 1.0), "calibrate": (1.0, 1.0)}
    pool4, pool3 = named[config.skip_scales] if isinstance(config.skip_scales, str) else config.skip_scales
    factors = {4: pool4, 3: pool3}
    return {pool: factors[pool] for pool in config.skips}


def crop(x: Tensor, offset: int, size: Sequence[int]) -> Tensor:
    """Cut (N, C, size[0], size[1]) out of (N, C, h, w), from row and column `offset`."""
    return x[..., offset : offset + size[0], offset : offset + size[1]]
