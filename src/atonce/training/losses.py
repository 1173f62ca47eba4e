"""The loss: cross entropy over the class axis, others beside it, and the L2 term that is really added.

Each is a sum over pixels or over pictures, divided by what the global batch has of them: so parts and processes add up
to the batch exactly, however void is spread over them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from kornia.losses import dice_loss, focal_loss
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from atonce.labels import IGNORE_INDEX
from atonce.recipes.schema import MASK_LOSSES, DistillConfig, LossConfig, Recipe

Value = TypeVar("Value", float, Tensor)


def cross_entropy_sum(
    logits: Tensor, labels: Tensor, class_weights: Tensor | None = None, *, smoothing: float = 0.0
) -> Tensor:
    """Sum the cross entropy over the class axis of all valid pixels, each times its class's weight.

    Args:
        logits: float (N, C, H, W).
        labels: int64 (N, H, W), 255 void.
        class_weights: float (C,).
        smoothing: share of each label that is spread over all classes; of these each counts by its own weight.
    """
    return F.cross_entropy(
        logits.float(),
        labels,
        class_weights,
        ignore_index=IGNORE_INDEX,
        reduction="sum",
        label_smoothing=smoothing,
    )


def focal_sum(logits: Tensor, labels: Tensor, class_weights: Tensor | None = None, *, gamma: float) -> Tensor:
    """Sum the focal loss of all valid pixels, weighted as `cross_entropy_sum` (Lin et al., ICCV 2017, equation 4)."""
    found: Tensor = focal_loss(
        logits.float(), labels, None, gamma, "sum", weight=class_weights, ignore_index=IGNORE_INDEX
    )
    return found


def dice_sum(logits: Tensor, labels: Tensor) -> Tensor:
    """Sum over pictures the Dice loss, the mean over the classes that the picture shows; a picture of void counts 0.

    Args:
        logits: float (N, C, H, W).
        labels: int64 (N, H, W), 255 void.
    """
    total = logits.new_zeros((), dtype=torch.float32)
    for scores, truth in zip(logits.float(), labels, strict=True):
        present = _present_classes(truth, len(scores))
        if present.any():
            weights = present.to(scores.dtype)
            total = total + dice_loss(
                scores[None], truth[None], average="macro", weight=weights, ignore_index=IGNORE_INDEX
            )
    return total


def lovasz_sum(logits: Tensor, labels: Tensor) -> Tensor:
    """Sum over pictures the Lovász-Softmax loss, the mean over the classes that the picture shows; void counts 0.

    Berman, Triki, Blaschko, "The Lovász-Softmax loss", CVPR 2018, equations 8 and 9: with the errors of a class sorted
    from the largest down, each counts by how much the Jaccard loss grows when its pixel is wrong as well.

    Args:
        logits: float (N, C, H, W).
        labels: int64 (N, H, W), 255 void.
    """
    total = logits.new_zeros((), dtype=torch.float32)
    for scores, truth in zip(logits.float(), labels, strict=True):
        valid = truth != IGNORE_INDEX
        classes = _present_classes(truth, len(scores)).nonzero().flatten()
        if not len(classes):
            continue
        probabilities = scores[:, valid].softmax(0)[classes]
        there = (truth[valid] == classes[:, None]).to(probabilities.dtype)
        errors, order = (there - probabilities).abs().sort(dim=1, descending=True)
        there = there.gather(1, order)
        size = there.sum(1, keepdim=True)
        jaccard = 1 - (size - there.cumsum(1)) / (size + (1 - there).cumsum(1))
        growth = jaccard.diff(dim=1, prepend=jaccard.new_zeros(len(classes), 1))
        total = total + (errors * growth).sum(1).mean()
    return total


def _present_classes(labels: Tensor, count: int) -> Tensor:
    """Tell which classes a mask shows: int64 (H, W) -> bool (C,)."""
    return torch.bincount(labels[labels != IGNORE_INDEX], minlength=count) > 0


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


def adjust_logits(logits: Tensor, class_weights: Tensor, factor: float) -> Tensor:
    """Add to each class's logits the logarithm of its weight, times a factor: what weights would teach the network.

    The weighted cross entropy is least where softmax(logits) is the true probabilities times the weights. With a factor
    of 1 it is the adjusted logits that come to this, and the network's own give the true probabilities (after Menon et
    al., "Long-tail learning via logit adjustment", ICLR 2021, where the prior is what is added).

    Args:
        logits: float (N, C, H, W).
        class_weights: float (C,); a class of weight 0 is left as it is.

    Returns:
        float32 (N, C, H, W).
    """
    shift = torch.where(class_weights > 0, class_weights, 1).log()
    return logits.float() + factor * shift[:, None, None]


def mask_losses(
    config: LossConfig,
    logits: Tensor,
    labels: Tensor,
    *,
    class_weights: Tensor | None = None,
    weight: Tensor,
    pictures: int,
) -> dict[str, Tensor]:
    """Compute a part's shares of the losses that compare with the masks: cross entropy, and those that have a factor.

    Args:
        logits: float (N, C, H, W), of the part.
        labels: int64 (N, H, W), 255 void.
        weight: the `valid_weight` of the global batch.
        pictures: the number of pictures in it.

    Returns:
        Scalars by name, before their factors: cross_entropy, focal, dice, lovasz.
    """
    smoothing = config.label_smoothing
    adjusted = logits
    if class_weights is not None and config.logit_adjustment:
        adjusted = adjust_logits(logits, class_weights, config.logit_adjustment)
    shares = {"cross_entropy": cross_entropy_sum(adjusted, labels, class_weights, smoothing=smoothing) / weight}
    if config.focal:
        shares["focal"] = focal_sum(adjusted, labels, class_weights, gamma=config.focal_gamma) / weight
    if config.dice:
        shares["dice"] = dice_sum(logits, labels) / pictures
    if config.lovasz:
        shares["lovasz"] = lovasz_sum(logits, labels) / pictures
    return shares


def weigh(config: LossConfig, terms: Mapping[str, Value]) -> Value:
    """Add up what compares with the masks, each times its factor."""
    total = config.cross_entropy * terms["cross_entropy"]
    for name in MASK_LOSSES[1:]:
        if name in terms:
            total = total + getattr(config, name) * terms[name]
    return total


@dataclass(frozen=True, kw_only=True)
class Losses:
    """The losses of one update, over the global batch.

    Attributes:
        cross_entropy: mean over the valid pixels, each times its class's weight; before loss.cross_entropy.
        focal, dice, lovasz: likewise before their factors; None where they have none.
        distillation: temperature^2 * KL(teacher || student), mean over all pixels; None without a teacher.
        l2: the L2 term, whether or not it is added.
        grad_norm: norm of the whole gradient, before clipping.
    """

    cross_entropy: float
    distillation: float | None
    l2: float
    grad_norm: float
    focal: float | None = None
    dice: float | None = None
    lovasz: float | None = None

    def of_masks(self) -> dict[str, float]:
        """Return those that compare with the masks by name, before their factors, where the recipe uses them."""
        values = {name: getattr(self, name) for name in MASK_LOSSES}
        return {name: value for name, value in values.items() if value is not None}

    def total(self, recipe: Recipe) -> float:
        """Return the number that is minimised."""
        masks = weigh(recipe.loss, self.of_masks())
        return total_loss(recipe.loss, data_loss(recipe.distill, masks, self.distillation), self.l2)


def data_loss(config: DistillConfig, masks: Value, distillation: Value | None) -> Value:
    """Weigh what the masks and what the teacher say; the masks alone where there is no teacher."""
    if distillation is None:
        return masks
    return (1 - config.weight) * masks + config.weight * distillation


def total_loss(config: LossConfig, data: Value, l2: Value) -> Value:
    """Add the L2 term to what the data say; leave it out where it is declared only (loss.l2_added: false)."""
    return data + l2 if config.l2_added else data
