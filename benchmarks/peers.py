"""torchfcn's networks, without the packages that it needs only for downloading and drawing."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import types
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from atonce.errors import UserError

MEAN_BGR = (104.00698793, 116.66876762, 122.67891434)
"""What its data loaders subtract."""


def torchfcn_class(name: str) -> Any:
    """One of its network classes; the packages around its modules are left empty. Raises UserError: not installed."""
    if "torchfcn" not in sys.modules:
        spec = importlib.util.find_spec("torchfcn")
        if spec is None or spec.origin is None:
            raise UserError("torchfcn is not installed", remedy="pip install --no-deps torchfcn")
        root = Path(spec.origin).parent
        for package, folder in (("torchfcn", root), ("torchfcn.models", root / "models")):
            sys.modules[package] = types.ModuleType(package)
            sys.modules[package].__path__ = [str(folder)]
        sys.modules.setdefault("fcn", types.ModuleType("fcn"))
    module = name.lower().removesuffix("atonce")
    return getattr(importlib.import_module(f"torchfcn.models.{module}"), name)


def torchfcn_network(classes: int, head_width: int) -> nn.Module:
    """FCN8sAtOnce; its head is 4096 wide and only made narrower to be compared with such a network of ours."""
    network: nn.Module = torchfcn_class("FCN8sAtOnce")(n_class=classes)
    if head_width != 4096:
        network.fc6 = nn.Conv2d(512, head_width, 7)
        network.fc7 = nn.Conv2d(head_width, head_width, 1)
        network.score_fr = nn.Conv2d(head_width, classes, 1)
    return network


def randomise(network: nn.Module, seed: int) -> nn.Module:
    """Its layers start as zeros, to be filled by a download; ours has He's normal weights, so this has, too."""
    torch.manual_seed(seed)
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    return network


def torchfcn_loss(scores: Tensor, labels: Tensor) -> Tensor:
    """Cross entropy as its trainer writes it (trainer.py, cross_entropy2d), summed as in its examples.

    Args:
        scores: float (N, C, H, W).
        labels: int64 (N, H, W), negative where void.
    """
    n, c, h, w = scores.size()
    log_p = F.log_softmax(scores, dim=1)
    log_p = log_p.transpose(1, 2).transpose(2, 3).contiguous()
    log_p = log_p[labels.view(n, h, w, 1).repeat(1, 1, 1, c) >= 0]
    log_p = log_p.view(-1, c)
    return F.nll_loss(log_p, labels[labels >= 0], reduction="sum")


def torchfcn_optimizer(network: nn.Module) -> torch.optim.Optimizer:
    """As examples/voc/train_fcn8s_atonce.py makes it: biases at twice the rate and without decay, upsampling fixed."""
    kernels = [layer.weight for layer in network.modules() if isinstance(layer, nn.Conv2d)]
    biases = [layer.bias for layer in network.modules() if isinstance(layer, nn.Conv2d) and layer.bias is not None]
    groups: list[dict[str, Any]] = [{"params": kernels}, {"params": biases, "lr": LEARNING_RATE * 2, "weight_decay": 0}]
    return torch.optim.SGD(groups, lr=LEARNING_RATE, momentum=0.99, weight_decay=0.0005)


LEARNING_RATE = 1e-10
"""That of its examples: small enough that every step of a measurement finds the same weights."""
