"""The loss: cross entropy over the class axis, and the L2 term that is really added."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from atonce.labels import IGNORE_INDEX
from atonce.recipes.schema import DistillConfig, LossConfig, Recipe


def cross_entropy_sum(logits: Tensor, labels: Tensor, class_weights: Tensor | None = None) -> Tensor:
    """Sum the cross entropy over the class axis of all valid pixels, each times its class's weight.

    Args:
        logits: float (N, C, H, W).
        labels: int64 (N, H, W), 255 void.
        class_weights: float (C,).
    """
    return F.cross_entropy(logits.float(), labels, class_weights, ignore_index=IGNORE_INDEX, reduction="sum")


def valid_weight(labels: Tensor, class_weights: Tensor | None = None) -> Tensor:
    """Sum the weights of the valid pixels, by which `cross_entropy_sum` is divided for a mean; float64 scalar.

    Taken over the global batch, because void is not spread evenly over processes and parts.
    """
    valid = labels[labels != IGNORE_INDEX]
    if class_weights is None:
        return torch.tensor(valid.numel(), dtype=torch.float64, device=labels.device)
    counts = torch.bincount(valid, minlength=len(class_weights))
    return (counts.double() * class_weights.double()).sum()


def kernels(model: nn.Module, *, added_only: bool = False) -> Iterator[nn.Parameter]:
    """Yield the trainable convolution kernels: all but biases; fixed upsampling has no parameter.

    Args:
        added_only: leave out those of VGG-16, trunk and head, so that score layers and learned upsampling are left.
    """
    for name, parameter in model.named_parameters():
        left_out = added_only and name.startswith(("trunk.", "head."))
        if parameter.ndim == 4 and parameter.requires_grad and not left_out:
            yield parameter


def l2_penalty(model: nn.Module, coefficient: float, *, added_only: bool = False) -> Tensor:
    """Compute the L2 term that is added to the loss: coefficient / 2 * sum of squares of the kernels.

    Its gradient is coefficient * kernel, what Caffe calls weight_decay. Biases are left out.

    Args:
        added_only: see `kernels`.
    """
    weights = list(kernels(model, added_only=added_only))
    if coefficient == 0 or not weights:
        return torch.zeros(())
    squares: Tensor = _SumOfSquares.apply(*weights)  # type: ignore[no-untyped-call]
    return coefficient / 2 * squares


class _SumOfSquares(torch.autograd.Function):
    """The sum of squares over tensors. `square().sum()` would write each of a hundred million weights four times."""

    @staticmethod
    def forward(ctx: Any, *tensors: Tensor) -> Tensor:
        ctx.save_for_backward(*tensors)
        return torch.stack(torch._foreach_norm(tensors)).square().sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, ...]:
        return tuple(torch._foreach_mul(ctx.saved_tensors, 2 * gradient))


Value = TypeVar("Value", float, Tensor)


@dataclass(frozen=True, kw_only=True)
class Losses:
    """The losses of one update, over the global batch.

    Attributes:
        cross_entropy: mean over the valid pixels, each times its class's weight.
        distillation: temperature^2 * KL(teacher || student), mean over all pixels; None without a teacher.
        l2: the L2 term, whether or not it is added.
        grad_norm: norm of the whole gradient, before clipping.
    """

    cross_entropy: float
    distillation: float | None
    l2: float
    grad_norm: float

    def total(self, recipe: Recipe) -> float:
        """Return the number that is minimised."""
        return total_loss(recipe.loss, data_loss(recipe.distill, self.cross_entropy, self.distillation), self.l2)


def data_loss(config: DistillConfig, cross_entropy: Value, distillation: Value | None) -> Value:
    """Weigh what the masks and what the teacher say; the cross entropy alone where there is no teacher."""
    if distillation is None:
        return cross_entropy
    return (1 - config.weight) * cross_entropy + config.weight * distillation


def total_loss(config: LossConfig, data: Value, l2: Value) -> Value:
    """Add the L2 term to what the data say; leave it out where it is declared only (loss.l2_added: false)."""
    return data + l2 if config.l2_added else data
