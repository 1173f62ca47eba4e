"""Optimiser, parameter groups, learning rate schedule (scheduler), moving average of the weights (EMA)."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from atonce.model.fcn import FCN
from atonce.recipes.schema import OptimConfig
from atonce.training.muon import Muon

WARMUP_SHARE = 0.1
"""The largest share of a run that is warm-up: a run of few steps, or of few minutes, is to come to its peak, too."""


def parameter_groups(model: FCN, config: OptimConfig) -> list[dict[str, Any]]:
    """Sort the trainable parameters into up to six groups: trunk, head and score layers, each kernels and biases.

    With layer-wise rates each block of the trunk has groups of its own.

    Biases learn at twice the rate and do not decay, as in the authors' solver (`lr_mult: 2, decay_mult: 0`).
    With muon the kernels of trunk and head are marked `orthogonal`; what makes scores is left to Adam, as its
    authors advise for the last layer.
    """
    groups: list[dict[str, Any]] = []
    layer_wise = config.trunk_lr_decay < 1
    parts = [*(f"trunk block {block}" for block in range(1, 6))] if layer_wise else ["trunk"]
    for part in (*parts, "head", "scores"):
        for kind in ("kernels", "biases"):
            chosen = [
                p
                for name, p in model.named_parameters()
                if p.requires_grad
                and _part_of(name, layer_wise=layer_wise) == part
                and (p.ndim == 1) == (kind == "biases")
            ]
            lr = config.lr * (config.trunk_lr_multiplier if part.startswith("trunk") else 1.0)
            lr *= config.trunk_lr_decay ** (5 - int(part[-1])) if part.startswith("trunk ") else 1.0
            lr *= config.bias_lr_multiplier if kind == "biases" else 1.0
            # Elsewhere torch would add the decay to the gradient: an L2 term that no log shows, beside loss.l2.
            decay = config.weight_decay if kind == "kernels" and config.name in ("adamw", "muon") else 0.0
            if chosen:
                group = {"name": f"{part} {kind}", "params": chosen, "lr": lr, "weight_decay": decay, "peak_lr": lr}
                orthogonal = {"orthogonal": kind == "kernels" and part != "scores"} if config.name == "muon" else {}
                groups.append(group | orthogonal)
    return groups


def _part_of(name: str, *, layer_wise: bool) -> str:
    """Return the part of the network that a parameter belongs to: trunk, head or scores; or the trunk's block."""
    first, *rest = name.split(".")
    if first == "trunk" and layer_wise:
        # trunk.conv3_1.weight
        return f"trunk block {rest[0].removeprefix('conv')[0]}"
    return first if first in ("trunk", "head") else "scores"


def build_optimizer(model: FCN, config: OptimConfig) -> torch.optim.Optimizer:
    """Build SGD with momentum, Adam or AdamW, fused (a seventh of the time with 100 million weights), or Muon."""
    groups = parameter_groups(model, config)
    if config.name == "muon":
        return Muon(groups, lr=config.lr, betas=(config.momentum, 0.99))
    if config.name == "sgd":
        return torch.optim.SGD(groups, lr=config.lr, momentum=config.momentum, fused=True)
    kind = torch.optim.AdamW if config.name == "adamw" else torch.optim.Adam
    return kind(groups, lr=config.lr, betas=(config.momentum, 0.999), fused=True)


def learning_rate_factor(config: OptimConfig, step: int, progress: float, *, steps: float = math.inf) -> float:
    """Return the factor on the peak learning rate at a step of a run, or of a stage of a staged one.

    Args:
        step: updates made before this one.
        progress: share of the run that is done, 0..1.
        steps: its length in steps, where no minutes end it.
    """
    # A hair of tolerance: a third of 30 steps is 9.999999999999998.
    warmup = int(min(config.warmup_steps, WARMUP_SHARE * steps + 1e-9))
    if step < warmup and progress < WARMUP_SHARE:
        # Where steps end the run, the first of the two is the larger one.
        return max((step + 1) / (warmup + 1), progress / WARMUP_SHARE)
    rest = max(0.0, 1.0 - progress)
    if config.schedule == "poly":
        return math.pow(rest, config.poly_power)
    if config.schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * (1 - rest)))
    return 1.0


def set_learning_rate(optimizer: torch.optim.Optimizer, factor: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = group["peak_lr"] * factor


class MovingAverage:
    """Exponential moving average of a network's weights, the network that is validated and saved.

    Args:
        decay: per step; smaller at first, (1 + t) / (10 + t), so that the start is forgotten.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.updates = 0
        self.weights = [p.detach().clone(memory_format=torch.preserve_format) for p in model.parameters()]

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        self.updates += 1
        torch._foreach_lerp_(self.weights, [p.detach() for p in model.parameters()], 1 - decay)

    @torch.no_grad()
    def swap(self, model: nn.Module) -> None:
        """Exchange the network's weights and the average; a second call undoes the first."""
        for average, parameter in zip(self.weights, model.parameters(), strict=True):
            kept = parameter.detach().clone(memory_format=torch.preserve_format)
            parameter.copy_(average)
            average.copy_(kept)
