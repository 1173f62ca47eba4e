"""Student's t against tables, and what can be said of few seeds."""

from __future__ import annotations

import math

import pytest
import torch

from atonce.studies.paired_statistics import mean_and_std, paired_difference, t_quantile

TABLE = {1: 12.7062, 2: 4.3027, 3: 3.1824, 4: 2.7764, 5: 2.5706, 9: 2.2622, 10: 2.2281, 30: 2.0423, 100: 1.9840}
"""Two-sided 95 %: any textbook."""


@pytest.mark.parametrize(("degrees_of_freedom", "value"), TABLE.items())
def test_quantiles_of_the_textbook(degrees_of_freedom: int, value: float) -> None:
    assert t_quantile(degrees_of_freedom) == pytest.approx(value, abs=5e-5)


def test_other_confidences() -> None:
    assert t_quantile(4, 0.99) == pytest.approx(4.6041, abs=5e-5)
    assert t_quantile(7, 0.5) == pytest.approx(0.7111, abs=5e-5)
    for freedom, confidence in ((0, 0.95), (3, 1.0), (3, 0.0)):
        with pytest.raises(ValueError, match="degrees of freedom"):
            t_quantile(freedom, confidence)


def test_mean_and_std_of_none_one_and_several() -> None:
    assert mean_and_std([]) is None
    one = mean_and_std([0.5])
    assert one is not None and (one.n, one.mean, one.std) == (1, 0.5, None)
    three = mean_and_std([1.0, 2.0, 3.0])
    assert three is not None and (three.mean, three.std) == (2.0, 1.0)


def test_a_difference_is_of_pairs() -> None:
    """Seeds that differ by much more than the variants: pairing finds what the means hide."""
    between = paired_difference([0.11, 0.52, 0.93], [0.10, 0.50, 0.90])
    assert between is not None and between.low is not None and between.high is not None
    assert between.mean == pytest.approx(0.02)
    half = 4.302653 * 0.01 / math.sqrt(3)
    assert (between.low, between.high) == (pytest.approx(0.02 - half), pytest.approx(0.02 + half))
    assert not between.significant
    assert paired_difference([], []) is None
    single = paired_difference([0.3], [0.1])
    assert single is not None and single.low is None and not single.significant
    same = paired_difference([0.3, 0.4], [0.3, 0.4])
    assert same is not None and (same.mean, same.low, same.high) == (0, 0, 0)
    with pytest.raises(ValueError, match="zip"):
        paired_difference([0.1], [0.1, 0.2])


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(2000, 3, generator=generator, dtype=torch.float64)
    held = 0
    for row in values.tolist():
        between = paired_difference(row, [0.0] * 3)
        assert between is not None and between.low is not None and between.high is not None
        held += between.low <= 0 <= between.high
    assert held / 2000 == pytest.approx(0.95, abs=0.015)
