"""Class weights: median frequency balancing by the paper, and given ones."""

from __future__ import annotations

import math

import numpy as np
import pytest

from atonce.data.class_weights import class_weights
from atonce.errors import RecipeError
from atonce.recipes.schema import LossConfig


def test_median_frequency_weights_are_those_of_the_paper() -> None:
    # Two pictures of 100 pixels; class 2 is in the first alone, class 3 in none.
    pixels, where_present = np.array([120, 60, 20, 0]), np.array([200, 200, 100, 0])
    frequency = [0.6, 0.3, 0.2]  # median 0.3
    weights = class_weights(LossConfig(class_weights="median-frequency"), pixels, where_present)
    assert weights is not None
    assert weights.tolist() == pytest.approx([*(0.3 / f for f in frequency), 1.0])
    rooted = class_weights(
        LossConfig(class_weights="sqrt-median-frequency", max_class_weight=1.1), pixels, where_present
    )
    assert rooted is not None
    assert rooted.tolist() == pytest.approx([math.sqrt(0.5), 1.0, 1.1, 1.0])


def test_given_weights_are_one_per_class() -> None:
    pixels = np.array([1, 1, 1])
    assert class_weights(LossConfig(), pixels, pixels) is None
    given = class_weights(LossConfig(class_weights=(1.0, 2.0, 0.0)), pixels, pixels)
    assert given is not None
    assert given.tolist() == [1, 2, 0]
    with pytest.raises(RecipeError, match="holds 2 weights; expected 3"):
        class_weights(LossConfig(class_weights=(1.0, 2.0)), pixels, pixels)
