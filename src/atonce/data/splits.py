"""A split where the data set brings none: from a seed, stratified, the same on every machine."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping

from atonce.data.dataset import Item
from atonce.data.open_options import OpenOptions

SPLITS: Mapping[str, tuple[str, ...]] = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}
"""Split -> what folders and lists of it are called."""


def split_called(name: str) -> str:
    """The split that a folder or a list is called after, in upper or lower case; "" where it is another name."""
    return next((split for split, names in SPLITS.items() if name.lower() in names), "")


def complete_splits(
    splits: Mapping[str, tuple[Item, ...]], options: OpenOptions
) -> tuple[dict[str, tuple[Item, ...]], list[str], dict[str, str]]:
    """Split what belongs to no split (""), and the training pictures where there is no validation split.

    Returns:
        The splits, notes and extras, as `split_items` does; where nothing is to be split, `splits` alone.
    """
    given = {split: items for split, items in splits.items() if split}
    whole = splits.get("", ())
    if "val" in given:
        if whole:
            given["train"] = tuple(sorted((*given.get("train", ()), *whole), key=lambda item: item.name))
        return given, [], {}
    whole = (*given.get("train", ()), *whole)
    if not whole:
        return given, [], {}
    made, notes, extras = split_items(whole, options)
    return {**given, **made}, notes, extras


def order_by_seed(names: Iterable[str], seed: int) -> list[str]:
    """Shuffle names by hash: the order depends on names and seed only, not on listing order, Python or numpy."""
    return sorted(names, key=lambda name: hashlib.sha256(f"{seed}:{name}".encode(errors="surrogateescape")).digest())


def choose_validation(items: Iterable[Item], val_fraction: float, seed: int) -> frozenset[str]:
    """Choose the items that go to validation, by name.

    Each group gives `val_fraction` of its items, rounded, but at least one and never all; a group of one
    stays in training, unless no group has two: then one item is chosen. One item alone: none.
    """
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for item in items:
        groups[item.group].append(item.name)
    chosen: list[str] = []
    for names in groups.values():
        count = min(max(1, round(val_fraction * len(names))), len(names) - 1)
        chosen += order_by_seed(names, seed)[:count]
    if not chosen and len(groups) > 1:
        chosen = order_by_seed((name for names in groups.values() for name in names), seed)[:1]
    return frozenset(chosen)


def split_items(
    items: Iterable[Item], options: OpenOptions
) -> tuple[dict[str, tuple[Item, ...]], list[str], dict[str, str]]:
    """Split items into "train" and "val".

    Returns:
        The splits, each sorted by name; notes for the user; and what the model file keeps, as `Dataset.extras`.
    """
    items = sorted(items, key=lambda item: item.name)
    val = choose_validation(items, options.val_fraction, options.seed)
    splits = {
        "train": tuple(item for item in items if item.name not in val),
        "val": tuple(item for item in items if item.name in val),
    }
    strata = sorted({item.group for item in items} - {""})
    over = f", stratified over {', '.join(strata)}" if len(strata) > 1 else ""
    notes = [
        f"split made here with seed {options.seed}{over}: {len(splits['train'])} train, {len(splits['val'])} val; "
        "frames of one drive can fall on both sides, which flatters the scores"
    ]
    extras = {
        "split_seed": str(options.seed),
        "split_val_fraction": str(options.val_fraction),
        "split_val": json.dumps(sorted(val)),
    }
    return splits, notes, extras
