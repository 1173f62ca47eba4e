"""What the masks of a split hold, counted: class by class, void, sizes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from atonce.labels import IGNORE_INDEX

Counts = NDArray[np.int64]


@dataclass(frozen=True)
class DataStatistics:
    """Counts over the masks of a split that could be read, with C classes.

    Attributes:
        pictures: items of the split, broken ones included.
        masks: masks that were counted.
        pixel_count: int64 (C,), pixels of each class.
        pixels_of_pictures_with_class: int64 (C,), all pixels (void included) of the pictures in which the class
            occurs: pixel_count over this is the frequency of median frequency balancing (Eigen and Fergus 2015).
        pictures_with_class: int64 (C,), in how many masks the class occurs.
        void_count: pixels that are void.
        sizes: (width, height) of the pictures -> how many.
    """

    pictures: int
    masks: int
    pixel_count: Counts
    pixels_of_pictures_with_class: Counts
    pictures_with_class: Counts
    void_count: int
    sizes: Mapping[tuple[int, int], int]

    @property
    def share(self) -> NDArray[np.float64]:
        """float64 (C,): share of the labelled pixels; NaN where nothing is labelled."""
        total = int(self.pixel_count.sum())
        return self.pixel_count / total if total else np.full(self.pixel_count.shape, np.nan)

    @property
    def void_share(self) -> float:
        """Share of all pixels that is void; NaN where there is no mask."""
        total = int(self.pixel_count.sum()) + self.void_count
        return self.void_count / total if total else float("nan")


class Tally:
    """Sums of a split's counts, with C classes."""

    def __init__(self, classes: int) -> None:
        self.pictures = self.masks = self.void = 0
        self.pixels, self.where_present, self.occurs = (np.zeros(classes, np.int64) for _ in range(3))
        self.sizes: Counter[tuple[int, int]] = Counter()

    def add(self, size: tuple[int, int] | None, counts: Counts | None) -> None:
        """Count one item.

        Args:
            size: (width, height) of its picture; None if it cannot be read.
            counts: int64 (256,), pixels of each id in its mask; None if there is none that can be read.
        """
        self.pictures += 1
        if size is not None:
            self.sizes[size] += 1
        if counts is None:
            return
        per_class = counts[: len(self.pixels)]
        self.masks += 1
        self.pixels += per_class
        self.where_present += (per_class > 0) * counts.sum()
        self.occurs += per_class > 0
        self.void += int(counts[IGNORE_INDEX])

    def statistics(self) -> DataStatistics:
        return DataStatistics(
            self.pictures, self.masks, self.pixels, self.where_present, self.occurs, self.void, self.sizes
        )
