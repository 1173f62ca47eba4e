"""Means over seeds, and Student's interval around the mean of paired differences."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Spread:
    """Of one measure over the seeds of a variant.

    Attributes:
        n: seeds.
        deviation: sample standard deviation (n - 1 below), None for one seed.
    """

    n: int
    mean: float
    deviation: float | None


@dataclass(frozen=True)
class Difference:
    """Of a variant to the baseline, over the seeds that both have.

    Attributes:
        n: pairs.
        mean: variant minus baseline.
        low, high: bounds of the 95 % confidence interval of the mean; None for one pair, which says nothing of them.
    """

    n: int
    mean: float
    low: float | None
    high: float | None

    @property
    def clear(self) -> bool:
        """The interval leaves out zero."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


def spread(values: Sequence[float]) -> Spread | None:
    """None without values."""
    if not values:
        return None
    return Spread(len(values), fmean(values), stdev(values) if len(values) > 1 else None)


def paired_difference(variant: Sequence[float], baseline: Sequence[float]) -> Difference | None:
    """Values of the same seeds, in the same order; None without values.

    Raises:
        ValueError: not as many of the one as of the other.
    """
    differences = [one - other for one, other in zip(variant, baseline, strict=True)]
    if not differences:
        return None
    n, mean = len(differences), fmean(differences)
    if n == 1:
        return Difference(n, mean, None, None)
    half = t_quantile(n - 1) * stdev(differences) / math.sqrt(n)
    return Difference(n, mean, mean - half, mean + half)


def t_quantile(freedom: int, confidence: float = CONFIDENCE) -> float:
    """The t for which |T| <= t with probability `confidence`; two-sided.

    Raises:
        ValueError: no degree of freedom, or a confidence outside of 0..1.
    """
    if freedom < 1 or not 0 < confidence < 1:
        raise ValueError(f"{freedom} degrees of freedom, confidence {confidence}; expected 1 or more, and 0..1")
    low, high = 0.0, 1.0
    while _within(high, freedom) < confidence:
        high *= 2
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if _within(middle, freedom) < confidence else (low, middle)
    return (low + high) / 2


def _within(t: float, freedom: int) -> float:
    """Probability of |T| <= t: the finite sums of Abramowitz and Stegun, 26.7.3 and 26.7.4."""
    theta = math.atan(t / math.sqrt(freedom))
    sine, cosine = math.sin(theta), math.cos(theta)
    odd = freedom % 2 == 1
    term, total = cosine if odd else 1.0, 0.0
    for power in range(1 if odd else 0, freedom - 1, 2):
        total += term
        term *= cosine**2 * (power + 1) / (power + 2)
    return 2 / math.pi * (theta + sine * total) if odd else sine * total
