"""The values that stand for the classes in a data set's masks, so that results can be written as the masks are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from atonce.data.classes_file import LARGEST_CLASS_VALUE
from atonce.data.dataset import Dataset
from atonce.data.images import FileError, open_image
from atonce.data.masks import ClassMask, is_colour
from atonce.data.sampling import evenly_spaced
from atonce.labels import IGNORE_INDEX, LabelSpec

_LOOKED_AT = 8
"""Masks whose headers tell whether they hold colours."""


def labels_with_mask_values(dataset: Dataset) -> LabelSpec:
    """Return the classes of a data set with the values that its masks use; of several for a class, the smallest.

    The table `values` of the mask reader says them (`ClassMask.values`); a reader without one reads colours. Masks of
    colours have none, also where their reader would know what to make of numbers.
    """
    if _hold_colours(dataset):
        return dataset.labels
    table = sorted(getattr(dataset.read_mask, "values", ()))
    first: dict[int, int] = {}
    for value, class_id in table:
        if 0 <= value <= LARGEST_CLASS_VALUE:
            first.setdefault(class_id, value)
    ids = range(dataset.labels.num_classes)
    if any(class_id not in first for class_id in ids):
        return dataset.labels
    values = tuple(first[class_id] for class_id in ids)
    return replace(dataset.labels, mask_values=values, void_value=first.get(IGNORE_INDEX))


def _hold_colours(dataset: Dataset) -> bool:
    """Tell whether the mask files of a data set are read by colour: RGB ones, and palettes that stand for colours."""
    reader = dataset.read_mask
    if not isinstance(reader, ClassMask) or not reader.colours:
        return False
    if reader.palette_by_colour:
        return True
    masks = [item.mask for items in dataset.splits.values() for item in items if isinstance(item.mask, Path)]
    for mask in evenly_spaced(masks, _LOOKED_AT):
        try:
            if is_colour(open_image(mask)):
                return True
        except FileError:
            continue  # what is wrong with it is said when it is read
    return False
