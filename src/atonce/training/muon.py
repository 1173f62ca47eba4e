"""Muon: momentum, made orthogonal, for kernels; Adam for the rest.

Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024 (kellerjordan.github.io/posts/muon);
the factor on the step is of Liu et al., "Muon is scalable for LLM training", 2025, section 2.2. PyTorch's own
(torch.optim.Muon) takes matrices only, and no convolution kernels.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim.adamw import adamw

_COEFFICIENTS = 3.4445, -4.7750, 2.0315
"""The odd polynomial that drives singular values to about 1; of Jordan et al."""

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
            steps = orthogonalise([self._momentum(weight, group["betas"][0]).flatten(1) for weight in weights])
            for weight, step in zip(weights, steps, strict=True):
                scale = _RMS * max(step.shape) ** 0.5
                weight.mul_(1 - group["lr"] * group["weight_decay"])
                weight.add_(step.view(weight.shape), alpha=-group["lr"] * scale)

    def _momentum(self, weight: Tensor, beta: float) -> Tensor:
        """The average of the gradients, with Nesterov's look ahead."""
        state, gradient = self.state[weight], weight.grad
        assert gradient is not None
        if not state:
            state["momentum"] = torch.zeros_like(weight)
        momentum: Tensor = state["momentum"].lerp_(gradient, 1 - beta)
        return gradient.lerp(momentum, beta)

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


def orthogonalise(matrices: Sequence[Tensor]) -> list[Tensor]:
    """Bring the singular values of each matrix (rows, columns) near 1: 0.68 to 1.14, but for those near zero.

    Newton-Schulz iterations x <- a x + b x^3 + c x^5 on the singular values. They run on the small Gram matrices, whose
    powers commute with them, so that a long kernel is multiplied twice and not ten times; those of one size together.
    """
    upright = [matrix.shape[0] > matrix.shape[1] for matrix in matrices]
    wide = [(m.T if tall else m) / m.norm().clamp_min(1e-20) for m, tall in zip(matrices, upright, strict=True)]
    factors: dict[int, Tensor] = {}
    for rows in {len(matrix) for matrix in wide}:
        same = [i for i, matrix in enumerate(wide) if len(matrix) == rows]
        polynomials = _polynomials(torch.stack([wide[i] @ wide[i].T for i in same]))
        factors |= dict(zip(same, polynomials, strict=True))
    found = [factors[i] @ matrix for i, matrix in enumerate(wide)]
    return [m.T if tall else m for m, tall in zip(found, upright, strict=True)]


def _polynomials(gram: Tensor) -> Tensor:
    """Compute from Gram matrices (N, n, n) what their matrices are to be multiplied by, (N, n, n)."""
    a, b, c = _COEFFICIENTS
    identity = torch.eye(gram.shape[-1], dtype=gram.dtype, device=gram.device).mul_(a).expand_as(gram)
    product = None
    for _ in range(_ITERATIONS):
        factor = torch.baddbmm(identity + b * gram, gram, gram, alpha=c)
        product = factor if product is None else factor @ product
        gram = factor @ gram @ factor
    assert product is not None
    return product
