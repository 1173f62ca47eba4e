"""Quotients and means where some are not defined: NaN, and never a warning."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats: TypeAlias = NDArray[np.float64]


def ratio(numerator: ArrayLike, denominator: ArrayLike) -> Floats:
    """Quotient in float64; NaN where the denominator is 0."""
    below = np.asarray(denominator, np.float64)
    quotient = np.full(below.shape, np.nan)
    np.divide(np.asarray(numerator, np.float64), below, out=quotient, where=below != 0)
    return quotient


def mean(values: Floats) -> float:
    """Mean of the values that are not NaN; NaN if there is none."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")
