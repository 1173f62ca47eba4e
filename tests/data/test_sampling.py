"""A few of many, evenly over all: never one twice, never fewer than there are."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from atonce.data.sampling import evenly_spaced


@pytest.mark.parametrize(
    ("total", "count", "chosen"),
    [
        (6, 6, [0, 1, 2, 3, 4, 5]),
        (3, 4, [0, 1, 2]),
        (6, 2, [0, 3]),
        (7, 3, [0, 2, 4]),
        (6, 1, [0]),
        (6, 0, []),
        (6, -1, []),
        (0, 4, []),
    ],
)
def test_few_of_few(total: int, count: int, chosen: list[int]) -> None:
    assert evenly_spaced(range(total), count) == chosen


@given(st.integers(0, 300), st.integers(0, 300))
def test_none_is_chosen_twice_and_none_is_missing(total: int, count: int) -> None:
    chosen = evenly_spaced(range(total), count)
    assert len(set(chosen)) == len(chosen) == min(total, count)
    assert chosen == sorted(chosen)


@given(st.integers(1, 300), st.integers(1, 300))
def test_steps_differ_by_one_at_most_and_the_first_is_among_them(total: int, count: int) -> None:
    assume(count <= total)
    chosen = evenly_spaced(range(total), count)
    steps = {after - before for before, after in zip(chosen, [*chosen[1:], total], strict=True)}
    assert chosen[0] == 0
    assert max(steps) - min(steps) <= 1
