"""Counts over the masks of a split: pixels and pictures of each class, void, sizes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from atonce.labels import IGNORE_INDEX

Counts = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
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
        """The share of each class in the labelled pixels, float64 (C,); NaN where nothing is labelled."""
        total = int(self.pixel_count.sum())
        return self.pixel_count / total if total else np.full(self.pixel_count.shape, np.nan)

    @property
    def void_share(self) -> float:
        """The share of void in all pixels; NaN where there is no mask."""
        total = int(self.pixel_count.sum()) + self.void_count
        return self.void_count / total if total else float("nan")


def count_values(values: NDArray[np.integer]) -> Counter[int]:
    """Count how often each number occurs. Masks are long runs of one value, and to sort the runs is fast."""
    flat = values.ravel()
    starts = np.flatnonzero(np.concatenate([[flat.size > 0], flat[1:] != flat[:-1]]))
    numbers, run_of = np.unique(flat[starts], return_inverse=True)
    counts = np.bincount(run_of, weights=np.diff(np.append(starts, flat.size)), minlength=numbers.size)
    return Counter(dict(zip(numbers.tolist(), counts.astype(int).tolist(), strict=True)))


class StatisticsAccumulator:
    """Sums up `DataStatistics` item by item.

    Args:
        num_classes: C.
    """

    def __init__(self, num_classes: int) -> None:
        self._pictures = self._masks = self._void = 0
        self._pixels, self._pixels_of_pictures, self._pictures_with = (
            np.zeros(num_classes, np.int64) for _ in range(3)
        )
        self._sizes: Counter[tuple[int, int]] = Counter()

    def add(self, size: tuple[int, int] | None, counts: Counts | None) -> None:
        """Count one item.

        Args:
            size: (width, height) of its picture; None if it cannot be read.
            counts: int64 (256,), pixels of each id in its mask; None if there is none that can be read.
        """
        self._pictures += 1
        if size is not None:
            self._sizes[size] += 1
        if counts is None:
            return
        per_class = counts[: len(self._pixels)]
        self._masks += 1
        self._pixels += per_class
        self._pixels_of_pictures += (per_class > 0) * counts.sum()
        self._pictures_with += per_class > 0
        self._void += int(counts[IGNORE_INDEX])

    def statistics(self) -> DataStatistics:
        """Return the sums over the items so far."""
        return DataStatistics(
            pictures=self._pictures,
            masks=self._masks,
            pixel_count=self._pixels,
            pixels_of_pictures_with_class=self._pixels_of_pictures,
            pictures_with_class=self._pictures_with,
            void_count=self._void,
            sizes=self._sizes,
        )
