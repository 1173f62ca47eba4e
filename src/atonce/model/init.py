"""How layers start that no pretrained weights fill."""

from __future__ import annotations

import torch
from torch import nn

from atonce.model.fcn import FCN


def initialise(model: FCN) -> FCN:
    """Fill every layer of a new network, from torch's global generator; returns the model.

    Trunk and head: He's normal for ReLU (ICCV 2015), zero biases. Score layers: as the config says;
    zeros are what the authors' solver has, a truncated normal of 0.01 or 0.001 is the common alternative.
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
            sigma = config.score_init_sigma
            nn.init.trunc_normal_(layer.weight, std=sigma, a=-2 * sigma, b=2 * sigma)
        _zero_bias(layer)
    model.trunk.requires_grad_(not config.freeze_trunk)
    return model


def _zero_bias(layer: nn.Conv2d) -> None:
    assert layer.bias is not None
    torch.nn.init.zeros_(layer.bias)
