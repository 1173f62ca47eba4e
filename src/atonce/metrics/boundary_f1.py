"""Boundary F1: how well the boundaries of each class are met, within a tolerance in pixels.

Source: Csurka, Larlus, Perronnin, "What is a good evaluation measure for semantic segmentation?", BMVC 2013 (after
Martin et al., PAMI 2004): precision is the share of the predicted boundary within the tolerance of the true one,
recall the share of the true boundary within the tolerance of the predicted one. They average per picture; here the
boundary pixels are pooled over the data set, as in the confusion matrix. The page "What the numbers mean"
says what that changes.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from atonce.labels import IGNORE_INDEX
from atonce.metrics.ratios import Counts, Floats, mean, ratio

DIAGONAL_SHARE = 0.0075
"""The tolerance of Csurka et al.: 0.75 % of the picture's diagonal (4.5 pixels at 480 x 360)."""

_BITS = 64  # classes whose boundaries are dilated together, one bit of an integer each


class BoundaryF1:
    """The boundary F1 of each class over any number of pictures. Counts are exact integers.

    A pixel is on the boundary of its class if one of its four neighbours is of another class. The edge of the
    picture is no boundary, and void makes none: void pixels and the pixels next to them do not count, on either
    side, whatever is predicted there.

    Source: Csurka, Larlus, Perronnin, BMVC 2013, with boundary pixels pooled over the data set.

    >>> import numpy as np
    >>> metric = BoundaryF1(num_classes=2, tolerance=1)
    >>> labels = np.array([[0, 0, 0, 1, 1, 1]] * 3)
    >>> predictions = np.array([[0, 0, 1, 1, 1, 1]] * 3)  # the boundary is one pixel off, which is within the tolerance
    >>> metric.add(labels, predictions)
    >>> metric.mean_f1
    1.0

    Args:
        num_classes: C, at least 1.
        tolerance: in pixels, Euclidean, between pixel centres; None for 0.75 % of each picture's diagonal.
        ignore_index: the id of void in the labels; None if every pixel counts.

    Raises:
        ValueError: num_classes below 1, or a tolerance that is negative or not finite.
    """

    def __init__(
        self, num_classes: int, tolerance: float | None = None, ignore_index: int | None = IGNORE_INDEX
    ) -> None:
        if num_classes < 1:
            raise ValueError(f"num_classes is {num_classes}; expected at least 1")
        if tolerance is not None and not 0 <= tolerance < math.inf:
            raise ValueError(f"tolerance is {tolerance}; expected pixels, 0 or more")
        self.num_classes = num_classes
        self.tolerance = tolerance
        self.ignore_index = ignore_index
        # Pixels. Rows: true boundary, of it matched, predicted boundary, of it matched.
        self._counts: Counts = np.zeros((4, num_classes), np.int64)

    def add(self, labels: ArrayLike, predictions: ArrayLike) -> None:
        """Count one picture (H, W) or a batch (N, H, W); each picture is compared on its own.

        Args:
            labels: ground truth, integers; ids 0..C-1 or ignore_index.
            predictions: integers of the same shape; ids 0..C-1 wherever the label is not void.

        Raises:
            ValueError: shapes differ or are no pictures, not integers, or an id out of range; nothing is counted then.
        """
        truth, predicted = np.asarray(labels), np.asarray(predictions)
        if truth.shape != predicted.shape or truth.ndim not in (2, 3):
            raise ValueError(
                f"labels are {truth.shape} and predictions {predicted.shape}; expected equal (H, W) or (N, H, W)"
            )
        valid = np.ones(truth.shape, np.bool_) if self.ignore_index is None else truth != self.ignore_index
        for name, ids in (("labels", truth), ("predictions", predicted)):
            if ids.dtype.kind not in "iub":
                raise ValueError(f"{name} are {ids.dtype}; expected integer class ids")
            if (((ids < 0) | (ids >= self.num_classes)) & valid).any():
                raise ValueError(f"{name} hold an id outside 0..{self.num_classes - 1}")
        pictures = (-1, *truth.shape[-2:])
        for one in zip(truth.reshape(pictures), predicted.reshape(pictures), valid.reshape(pictures), strict=True):
            self._counts += self._count(*one)

    def _count(self, truth: NDArray[Any], predicted: NDArray[Any], valid: NDArray[np.bool_]) -> Counts:
        """Count one picture: int64 (4, C), rows as in `_counts`."""
        tolerance = DIAGONAL_SHARE * math.hypot(*truth.shape) if self.tolerance is None else self.tolerance
        inner = _away_from_void(valid)
        counts: Counts = np.zeros((4, self.num_classes), np.int64)
        sides = [(ids, _boundary(ids) & inner) for ids in (truth, predicted)]
        for row, ((ids, boundary), (other_ids, other_boundary)) in enumerate(zip(sides, reversed(sides), strict=True)):
            classes = ids[boundary]
            counts[2 * row] = np.bincount(classes, minlength=self.num_classes)
            for first in range(0, self.num_classes, _BITS):
                near = _dilate(_class_bits(other_ids, other_boundary, first), tolerance)[boundary]
                here = (classes >= first) & (classes < first + _BITS)
                bit = classes[here].astype(np.uint64) - np.uint64(first)
                matched = (near[here] >> bit) & np.uint64(1) == 1
                counts[2 * row + 1] += np.bincount(classes[here][matched], minlength=self.num_classes)
        return counts

    def merge(self, other: BoundaryF1) -> None:
        """Add the counts of another metric, for example of other pictures, to this one.

        Raises:
            ValueError: it has other classes or another tolerance.
        """
        if (other.num_classes, other.tolerance) != (self.num_classes, self.tolerance):
            raise ValueError("cannot merge: number of classes or tolerance differ")
        self._counts += other._counts

    @property
    def recall(self) -> Floats:
        """The share of the true boundary that is met, float64 (C,); NaN without a true boundary."""
        return ratio(self._counts[1], self._counts[0])

    @property
    def precision(self) -> Floats:
        """The share of the predicted boundary that is right, float64 (C,); NaN without a predicted boundary."""
        return ratio(self._counts[3], self._counts[2])

    @property
    def f1(self) -> Floats:
        """The F1, 2 P R / (P + R), float64 (C,); 0 if only one side has a boundary, NaN if neither has."""
        precision, recall = np.nan_to_num(self.precision), np.nan_to_num(self.recall)
        f1 = np.zeros(self.num_classes)
        np.divide(2 * precision * recall, precision + recall, out=f1, where=precision + recall > 0)
        f1[self._counts[0] + self._counts[2] == 0] = np.nan
        return f1

    @property
    def mean_f1(self) -> float:
        """The mean of `f1` over the classes that have a boundary on either side; NaN if none has."""
        return mean(self.f1)


def _boundary(ids: NDArray[Any]) -> NDArray[np.bool_]:
    """The pixels with a neighbour (of four) of another id, bool (H, W)."""
    edge = np.zeros(ids.shape, np.bool_)
    down, right = ids[1:] != ids[:-1], ids[:, 1:] != ids[:, :-1]
    edge[1:] |= down
    edge[:-1] |= down
    edge[:, 1:] |= right
    edge[:, :-1] |= right
    return edge


def _away_from_void(valid: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The valid pixels without a void neighbour: what is left of the boundaries depends on no prediction in void."""
    return valid if valid.all() else valid & ~_boundary(valid)


def _class_bits(ids: NDArray[Any], boundary: NDArray[np.bool_], first: int) -> NDArray[np.uint64]:
    """Set bit c of each pixel that is on the boundary of class first + c; uint64 (H, W)."""
    bits = np.zeros(ids.shape, np.uint64)
    here = boundary & (ids >= first) & (ids < first + _BITS)
    bits[here] = np.uint64(1) << (ids[here].astype(np.uint64) - np.uint64(first))
    return bits


def _dilate(bits: NDArray[np.uint64], radius: float) -> NDArray[np.uint64]:
    """OR the bits over a disc of that radius, exactly: rows are widened step by step, and reused by all rows of the
    disc."""
    height, width = bits.shape
    radius = min(radius, math.hypot(height, width))
    square = int(radius * radius + 1e-9)  # so that a tolerance of sqrt(13) reaches (2, 3), whatever its rounding
    half_widths = [math.isqrt(square - dy * dy) for dy in range(math.isqrt(square) + 1)]
    result, row, done = np.zeros_like(bits), bits.copy(), 0
    for dy in range(len(half_widths) - 1, -1, -1):
        for step in range(done + 1, min(half_widths[dy], width - 1) + 1):
            row[:, step:] |= bits[:, :-step]
            row[:, :-step] |= bits[:, step:]
            done = step
        if dy < height:
            result[dy:] |= row[: height - dy]
            result[: height - dy] |= row[dy:]
    return result
