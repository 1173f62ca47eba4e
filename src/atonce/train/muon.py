"""Muon: momentum, made orthogonal, for kernels; Adam for the rest.

Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024 (kellerjordan.github.io/posts/muon);
the factor on the step is of Liu et al., "Muon is scalable for LLM training", 2025, section 2.2. PyTorch's own
(torch.optim.Muon) takes matrices only, and no convolution kernels.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim.adamw import adamw

_COEFFICIENTS = 3.4445, -4.7750, 2.0315
"""Of the odd polynomial that drives singular values to about 1; of Jordan et al."""

_ITERATIONS = 5
_RMS = 0.2
"""Root mean square of an update's entries per learning rate: about that of AdamW's, so that one rate serves both."""


class Muon(torch.optim.Optimizer):
    """Groups with `orthogonal: True` hold kernels of at least two dimensions and take Muon's step; others take AdamW's.

    A kernel (O, I, h, w) is a matrix of O rows. Every direction in which a layer can change changes by the same
    amount, however small its share of the gradient: thin and rare things are not drowned by roads and skies.

    Args:
        groups: each may set lr, weight_decay (decoupled) and orthogonal.
        betas: decay of the gradients' moving average, and of their squares (Adam's part only).
    """

    def __init__(
        self, groups: Iterable[dict[str, Any]], lr: float = 1e-3, betas: tuple[float, float] = (0.95, 0.99)
    ) -> None:
        super().__init__(groups, {"lr": lr, "betas": betas, "weight_decay": 0.0, "orthogonal": False})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            weights = [p for p in group["params"] if p.grad is not None]
            if not group["orthogonal"]:
                self._adam(weights, group)
                continue
            for weight in weights:
                self._orthogonal(weight, group)

    def _orthogonal(self, weight: Tensor, group: dict[str, Any]) -> None:
        state, gradient, beta = self.state[weight], weight.grad, group["betas"][0]
        assert gradient is not None
        if not state:
            state["momentum"] = torch.zeros_like(weight)
        momentum = state["momentum"].lerp_(gradient, 1 - beta)
        matrix = gradient.lerp(momentum, beta).flatten(1)  # Nesterov's look ahead
        scale = _RMS * max(matrix.shape) ** 0.5
        weight.mul_(1 - group["lr"] * group["weight_decay"])
        weight.add_(orthogonalise(matrix).view(weight.shape), alpha=-group["lr"] * scale)

    def _adam(self, weights: list[Tensor], group: dict[str, Any]) -> None:
        for weight in weights:
            if not self.state[weight]:
                zeros = torch.zeros_like
                self.state[weight] = {"step": torch.tensor(0.0), "mean": zeros(weight), "square": zeros(weight)}
        states = [self.state[weight] for weight in weights]
        adamw(
            weights,
            [weight.grad for weight in weights if weight.grad is not None],
            [state["mean"] for state in states],
            [state["square"] for state in states],
            [],
            [state["step"] for state in states],
            amsgrad=False,
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            lr=group["lr"],
            weight_decay=group["weight_decay"],
            eps=1e-8,
            maximize=False,
        )


def orthogonalise(matrix: Tensor) -> Tensor:
    """The matrix (rows, columns) with its singular values brought near 1: 0.68 to 1.14, but for those near zero.

    Newton-Schulz iterations x <- a x + b x^3 + c x^5 on the singular values. They run on the small Gram matrix, whose
    powers commute with it, so that a long kernel is multiplied twice and not ten times.
    """
    if matrix.shape[0] > matrix.shape[1]:
        return orthogonalise(matrix.T).T
    a, b, c = _COEFFICIENTS
    matrix = matrix / matrix.norm().clamp_min(1e-20)
    gram = matrix @ matrix.T
    product = identity = torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
    for _ in range(_ITERATIONS):
        factor = a * identity + b * gram + c * (gram @ gram)
        product = factor @ product
        gram = factor @ gram @ factor
    return product @ matrix
