"""Splits made here: stratified, and the same everywhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from atonce.data.dataset import Item
from atonce.data.splits import choose_validation

ITEMS = tuple(
    Item(f"{group}_{i:06}", Path(), None, group) for group, n in (("um", 95), ("umm", 96), ("uu", 98)) for i in range(n)
)


def test_each_group_gives_its_share() -> None:
    val = choose_validation(ITEMS, 0.2, 0)
    assert [sum(name.startswith(f"{g}_") for name in val) for g in ("um", "umm", "uu")] == [19, 19, 20]


def test_order_of_listing_does_not_matter_but_the_seed_does() -> None:
    val = choose_validation(ITEMS, 0.2, 0)
    assert choose_validation(reversed(ITEMS), 0.2, 0) == val
    assert choose_validation(ITEMS, 0.2, 1) != val


def test_the_split_is_the_same_on_every_machine() -> None:
    """Published numbers depend on it: it must never change."""
    items = [Item(f"um_{i:06}", Path(), None, "um") for i in range(10)]
    assert choose_validation(items, 0.2, 0) == {"um_000004", "um_000008"}


@pytest.mark.parametrize(
    ("sizes", "val"), [((1,), 0), ((2,), 1), ((1, 1), 1), ((1, 1, 1), 1), ((1, 2), 1), ((3, 3), 2)]
)
def test_few_pictures(sizes: tuple[int, ...], val: int) -> None:
    items = [Item(f"{g}_{i}", Path(), None, str(g)) for g, n in enumerate(sizes) for i in range(n)]
    assert len(choose_validation(items, 0.2, 0)) == val


def test_validation_never_takes_all() -> None:
    assert len(choose_validation(ITEMS[:2], 0.99, 0)) == 1
