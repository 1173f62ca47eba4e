"""Initialisation of the layers that no pretrained weights fill."""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from atonce.model.fcn import FCN
from atonce.model.upsampling import LearnedUpsample


def initialise(model: FCN) -> FCN:
    """Fill every layer of a new network from torch's global generator; returns the network.

    Trunk and head: He's normal for ReLU (ICCV 2015), zero biases. Score layers: `config.score_init`; zeros
    are what the authors' solver has, a truncated normal of 0.01 or 0.001 is the common alternative. Learned
    upsampling: `config.upsampling_init`; it is built bilinear. `config.freeze_trunk` takes the trunk's gradients away.
    """
    config = model.config
    for part in (model.trunk, model.head):
        for layer in part.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                _zero_bias(layer)
    for layer in model.score_layers():
        if config.score_init == "zeros":
            nn.init.zeros_(layer.weight)
        elif config.score_init == "glorot":
            nn.init.xavier_uniform_(layer.weight)
        else:
            _truncated_normal(layer.weight, config.score_init_sigma)
        _zero_bias(layer)
    if config.upsampling_init == "normal":
        for module in model.modules():
            if isinstance(module, LearnedUpsample):
                _truncated_normal(module.weight, config.upsampling_init_sigma)
    model.trunk.requires_grad_(not config.freeze_trunk)
    return model


@torch.no_grad()
def data_dependent_init(model: FCN, images: Iterable[Tensor]) -> None:
    """Rescale the trunk's fresh layers, one after the other, in place, by their activations on some images.

    Each channel then has zero mean and unit variance before its ReLU on these images: He's rule keeps the variance of
    a layer, but not its mean. Krähenbühl et al., "Data-dependent initializations of convolutional neural networks",
    ICLR 2016, section 3.1.

    Args:
        images: (1, 3, H, W) RGB 0..255 each, any size.
    """
    device = model.normalise.mean.device
    features = [model.pad(model.normalise(image.to(device))) for image in images]
    for layers in model.trunk.convolutions():
        for layer in layers.values():
            assert layer.bias is not None
            values = torch.cat([layer(x).transpose(0, 1).flatten(1) for x in features], dim=1)
            # A channel that is constant on these images stays as it is.
            deviation = torch.where(values.std(1) > 0, values.std(1), 1.0)
            layer.weight.div_(deviation.view(-1, 1, 1, 1))
            layer.bias.sub_(values.mean(1)).div_(deviation)
            features = [F.relu(layer(x)) for x in features]
        features = [F.max_pool2d(x, 2, 2, ceil_mode=model.trunk.ceil_pooling) for x in features]


def _truncated_normal(weight: Tensor, sigma: float) -> None:
    """Fill a kernel from a normal distribution of mean zero that is cut at two standard deviations."""
    nn.init.trunc_normal_(weight, std=sigma, a=-2 * sigma, b=2 * sigma)


def _zero_bias(layer: nn.Conv2d) -> None:
    assert layer.bias is not None
    torch.nn.init.zeros_(layer.bias)
