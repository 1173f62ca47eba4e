"""Preprocessing: the mean and standard deviation that a set of weights expects; a part of the model, so that nobody
can get it wrong."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

Triple = tuple[float, float, float]


@dataclass(frozen=True)
class Preprocessing:
    """The constants of (value - mean) / std for each channel.

    Attributes:
        mean: of red, green and blue, on the scale 0..255.
        std: standard deviation of red, green and blue, on the same scale; 1 where weights want the mean alone.
    """

    mean: Triple
    std: Triple = (1.0, 1.0, 1.0)


CAFFE_VGG = Preprocessing(mean=(123.68, 116.779, 103.939))
"""Original VGG-16 (also Keras, torchvision IMAGENET1K_FEATURES). Simonyan and Zisserman's model card."""

CAFFE_FCN = Preprocessing(mean=(122.67891434, 116.66876762, 104.00698793))
"""Published FCN checkpoints: the mean of the authors' voc_layers.py, here in RGB order."""

TORCHVISION = Preprocessing(mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375))
"""torchvision IMAGENET1K_V1: 255 times (0.485, 0.456, 0.406) and (0.229, 0.224, 0.225)."""

FROM_SCRATCH = Preprocessing(mean=(127.5, 127.5, 127.5), std=(64.0, 64.0, 64.0))
"""The preprocessing of trunks without pretrained weights: roughly zero mean and unit variance."""


class Normalise(nn.Module):
    """The model's first layer: preprocessing with its constants as buffers, so that they travel with the model's file,
    its exports and its device."""

    mean: Tensor
    std: Tensor

    def __init__(self, preprocessing: Preprocessing) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(preprocessing.mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(preprocessing.std).view(1, 3, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """Normalise images (N, 3, H, W), RGB 0..255, uint8 or float; the result has the dtype of the buffers."""
        return (images.to(self.mean.dtype) - self.mean) / self.std

    def set(self, preprocessing: Preprocessing) -> None:
        """Take over the constants that belong to newly loaded weights."""
        self.mean.copy_(torch.tensor(preprocessing.mean).view(1, 3, 1, 1))
        self.std.copy_(torch.tensor(preprocessing.std).view(1, 3, 1, 1))
