"""A split where the data set brings none: from a seed, stratified, the same on every machine."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from atonce.data.dataset import Dataset, Item
from atonce.data.open_options import OpenOptions

_MADE_HERE = "split made here with seed"

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
        f"{_MADE_HERE} {options.seed}{over}: {len(splits['train'])} train, {len(splits['val'])} val; "
        "pictures that resemble each other (frames of one video) can fall on both sides, which flatters the scores"
    ]
    extras = {
        "split_seed": str(options.seed),
        "split_val_fraction": str(options.val_fraction),
        "split_val": json.dumps(sorted(val)),
    }
    return splits, notes, extras


def split_was_made(dataset: Dataset) -> bool:
    """Tell whether the data set brought no split, so that one was made here."""
    return "split_val" in dataset.extras


def keep_split(
    dataset: Dataset,
    *,
    val: Collection[str],
    train: Collection[str] | None = None,
    seed: int = 0,
    val_fraction: float = 0.2,
    whose: str,
) -> tuple[Dataset, str]:
    """Put the pictures that a split knows where it has them; for a data set whose split was made here.

    Where most of what it names is not there, it is about other data, and nothing is changed.

    Args:
        val, train: names of pictures of the split to keep; without `train`, all others count as known to be there.
        seed, val_fraction: for the pictures that it does not know.
        whose: the model that it comes from, for the note.

    Returns:
        The data set, and a note where its split is another one now; empty otherwise.
    """
    items = sorted((*dataset.splits.get("train", ()), *dataset.splits.get("val", ())), key=lambda item: item.name)
    names = {item.name for item in items}
    if not val or 2 * len(names & set(val)) < len(val):
        return dataset, ""
    added = [item for item in items if train is not None and item.name not in val and item.name not in train]
    chosen = choose_validation(added, val_fraction, seed) | (names & set(val))
    splits = {
        "train": tuple(item for item in items if item.name not in chosen),
        "val": tuple(item for item in items if item.name in chosen),
    }
    if splits["val"] == dataset.splits.get("val") or not splits["train"]:
        return dataset, ""
    new = f", of {len(added)} pictures that it did not know {len(chosen - set(val))}" if added else ""
    note = f"validation pictures are those of {whose}{new}: {len(splits['train'])} train, {len(splits['val'])} val"
    notes = (*(text for text in dataset.notes if not text.startswith(_MADE_HERE)), note)
    extras = {**dataset.extras, "split_val": json.dumps(sorted(chosen))}
    return replace(dataset, splits={**dataset.splits, **splits}, notes=notes, extras=extras), note
