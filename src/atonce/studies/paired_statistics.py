"""Paired statistics: means over seeds, and Student's confidence interval of the mean of paired differences."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

CONFIDENCE = 0.95


@dataclass(frozen=True)
class MeanStd:
    """Mean and standard deviation of one measure over the seeds of a variant.

    Attributes:
        n: the number of seeds.
        std: sample standard deviation (n - 1 in the denominator); None for one seed.
    """

    n: int
    mean: float
    std: float | None


@dataclass(frozen=True)
class PairedDifference:
    """The difference of a variant to the baseline, over the seeds that both have.

    Attributes:
        n: the number of pairs.
        mean: variant minus baseline.
        low, high: bounds of the 95 % confidence interval of the mean; None for one pair, which says nothing of them.
    """

    n: int
    mean: float
    low: float | None
    high: float | None

    @property
    def significant(self) -> bool:
        """True where the confidence interval does not hold zero."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


def mean_and_std(values: Sequence[float]) -> MeanStd | None:
    """Compute mean and sample standard deviation; None without values."""
    if not values:
        return None
    return MeanStd(len(values), fmean(values), stdev(values) if len(values) > 1 else None)


def paired_difference(variant: Sequence[float], baseline: Sequence[float]) -> PairedDifference | None:
    """Compute the mean of the differences of pairs and its confidence interval; None without values.

    Args:
        variant, baseline: values of the same seeds, in the same order.

    Raises:
        ValueError: not as many of the one as of the other.
    """
    differences = [one - other for one, other in zip(variant, baseline, strict=True)]
    if not differences:
        return None
    n, mean = len(differences), fmean(differences)
    if n == 1:
        return PairedDifference(n, mean, None, None)
    half = t_quantile(n - 1) * stdev(differences) / math.sqrt(n)
    return PairedDifference(n, mean, mean - half, mean + half)


def t_quantile(degrees_of_freedom: int, confidence: float = CONFIDENCE) -> float:
    """Compute the two-sided quantile of Student's t: the t for which |T| <= t with probability `confidence`.

    Raises:
        ValueError: no degree of freedom, or a confidence outside of 0..1.
    """
    if degrees_of_freedom < 1 or not 0 < confidence < 1:
        raise ValueError(
            f"{degrees_of_freedom} degrees of freedom, confidence {confidence}; expected 1 or more, and 0..1"
        )
    low, high = 0.0, 1.0
    while _probability_within(high, degrees_of_freedom) < confidence:
        high *= 2
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if _probability_within(middle, degrees_of_freedom) < confidence else (low, middle)
    return (low + high) / 2


def _probability_within(t: float, degrees_of_freedom: int) -> float:
    """The probability of |T| <= t: the finite sums of Abramowitz and Stegun, 26.7.3 and 26.7.4."""
    theta = math.atan(t / math.sqrt(degrees_of_freedom))
    sine, cosine = math.sin(theta), math.cos(theta)
    odd = degrees_of_freedom % 2 == 1
    term, total = cosine if odd else 1.0, 0.0
    for power in range(1 if odd else 0, degrees_of_freedom - 1, 2):
        total += term
        term *= cosine**2 * (power + 1) / (power + 2)
    return 2 / math.pi * (theta + sine * total) if odd else sine * total
