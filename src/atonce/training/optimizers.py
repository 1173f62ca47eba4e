"""Optimiser, parameter groups, learning rate schedule (scheduler), moving average of the weights (EMA)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from atonce.model.fcn import FCN
from atonce.recipes.schema import OptimConfig
from atonce.training.muon import Muon

WARMUP_SHARE = 0.1
"""The largest share of a run that is warm-up: a run of few steps, or of few minutes, is to come to its peak, too."""


@dataclass(frozen=True)
class _Part:
    """A part of the network that learns at a rate of its own.

    Attributes:
        name: "trunk", or "trunk block 1" to "trunk block 5"; "head"; "scores".
        lr_factor: the factor on optim.lr of its kernels.
        parameters: all of its parameters, by their names in the network.
    """

    name: str
    lr_factor: float
    parameters: dict[str, nn.Parameter]


def parameter_groups(model: FCN, config: OptimConfig) -> list[dict[str, Any]]:
    """Sort the trainable parameters into up to six groups: trunk, head and score layers, each kernels and biases.

    With layer-wise rates each block of the trunk has groups of its own.

    Biases learn at twice the rate and do not decay, as in the authors' solver (`lr_mult: 2, decay_mult: 0`).
    With muon the kernels of trunk and head are marked `orthogonal`; what makes scores is left to Adam, as its
    authors advise for the last layer.
    """
    groups: list[dict[str, Any]] = []
    for part in _parts(model, config):
        for kind, chosen in _kernels_and_biases(part).items():
            lr = config.lr * part.lr_factor * (config.bias_lr_multiplier if kind == "biases" else 1.0)
            # Elsewhere torch would add the decay to the gradient: an L2 term that no log shows, beside loss.l2.
            decay = config.weight_decay if kind == "kernels" and config.name in ("adamw", "muon") else 0.0
            if chosen:
                params = list(chosen.values())
                group = {
                    "name": f"{part.name} {kind}", "params": params, "lr": lr, "weight_decay": decay, "peak_lr": lr
                }  # fmt: skip
                orthogonal = {"orthogonal": kind == "kernels" and part.name != "scores"}
                groups.append(group | (orthogonal if config.name == "muon" else {}))
    return groups


def grouped_names(model: FCN, config: OptimConfig) -> list[str]:
    """Return the names of the trainable parameters in the order of their groups."""
    return [name for part in _parts(model, config) for chosen in _kernels_and_biases(part).values() for name in chosen]


def _parts(model: FCN, config: OptimConfig) -> list[_Part]:
    """Part the network: the trunk, or each of its blocks where these have rates of their own; the head; the rest."""
    trunk, head = _named("trunk", model.trunk), _named("head", model.head)
    scores = {name: p for name, p in model.named_parameters() if name not in trunk and name not in head}
    parts = [_Part("trunk", config.trunk_lr_multiplier, trunk)]
    if config.trunk_lr_decay < 1:
        blocks = model.trunk.convolutions()
        parts = [
            _Part(
                f"trunk block {number}",
                config.trunk_lr_multiplier * config.trunk_lr_decay ** (len(blocks) - number),
                {key: p for name, layer in block.items() for key, p in _named(f"trunk.{name}", layer).items()},
            )
            for number, block in enumerate(blocks, 1)
        ]
    return [*parts, _Part("head", 1.0, head), _Part("scores", 1.0, scores)]


def _named(prefix: str, module: nn.Module) -> dict[str, nn.Parameter]:
    return dict(module.named_parameters(prefix))


def _kernels_and_biases(part: _Part) -> dict[str, dict[str, nn.Parameter]]:
    """Sort the trainable parameters of a part by their kind."""
    trained = {name: p for name, p in part.parameters.items() if p.requires_grad}
    return {
        "kernels": {name: p for name, p in trained.items() if p.ndim != 1},
        "biases": {name: p for name, p in trained.items() if p.ndim == 1},
    }


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
