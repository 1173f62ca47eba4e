"""The values that stand for the classes in a data set's masks, so that results can be written as the masks are."""

from __future__ import annotations

from dataclasses import replace

from atonce.data.classes_file import LARGEST_CLASS_VALUE
from atonce.data.dataset import Dataset
from atonce.labels import IGNORE_INDEX, LabelSpec


def labels_with_mask_values(dataset: Dataset) -> LabelSpec:
    """Return the classes of a data set with the values that its masks use; of several for a class, the smallest.

    The table `values` of the mask reader says them (`ClassMask.values`); a reader without one reads colours.
    """
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
