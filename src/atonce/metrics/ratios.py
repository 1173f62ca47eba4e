"""Quotients and means of which some are not defined: those are NaN, without a warning."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats: TypeAlias = NDArray[np.float64]
Counts: TypeAlias = NDArray[np.int64]


def ratio(numerator: ArrayLike, denominator: ArrayLike) -> Floats:
    """Divide in float64; NaN where the denominator is 0."""
    below = np.asarray(denominator, np.float64)
    quotient = np.full(below.shape, np.nan)
    np.divide(np.asarray(numerator, np.float64), below, out=quotient, where=below != 0)
    return quotient


def mean(values: Floats) -> float:
    """Compute the mean of the values that are not NaN; NaN if there is none."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")
