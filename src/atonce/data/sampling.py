"""Sampling a few of many items, evenly over all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


def evenly_spaced(items: Sequence[T], count: int) -> list[T]:
    """Choose at most `count` different items, in order, evenly over all of them; the first one always among them.

    Six of six are all six, two of six the first and the fourth; of nothing, or for a count of 0, there are none.
    """
    chosen = min(len(items), max(0, count))
    return [items[index * len(items) // chosen] for index in range(chosen)]
