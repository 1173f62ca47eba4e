"""Weights of the classes in the loss, computed from how often each class occurs in the training masks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from atonce.errors import RecipeError
from atonce.recipes.schema import LossConfig


def class_weights(
    config: LossConfig, pixels: NDArray[np.int64], pixels_where_present: NDArray[np.int64]
) -> Tensor | None:
    """Return the weights of the classes, float (C,), or None where all are 1.

    Median frequency balancing: a class's frequency is its pixels over all pixels of the pictures that
    show it, its weight the median frequency over its own (Eigen and Fergus, ICCV 2015, section 6.3.2).
    Classes that never occur get weight 1: nothing is multiplied by it.

    Args:
        pixels: (C,) pixels of each class in the training masks.
        pixels_where_present: (C,) pixels, void included, of the pictures in which the class occurs.

    Raises:
        RecipeError: given weights are not one per class.
    """
    rule = config.class_weights
    if rule == "none":
        return None
    if not isinstance(rule, str):
        return _one_per_class(rule, len(pixels))
    present = pixels > 0
    frequency = pixels[present] / pixels_where_present[present]
    weights = np.ones(len(pixels))
    weights[present] = np.median(frequency) / frequency
    if rule == "sqrt-median-frequency":
        weights = np.sqrt(weights)
    return torch.from_numpy(np.minimum(weights, config.max_class_weight)).float()


def _one_per_class(weights: Sequence[float], classes: int) -> Tensor:
    if len(weights) != classes:
        raise RecipeError(f"loss.class_weights holds {len(weights)} weights", f"{classes}, one per class of the data")
    return torch.tensor(weights)
