"""The confusion matrix of a whole data set, and the scores that follow from it.

Source of the four metrics: Long, Shelhamer, Darrell, "Fully Convolutional Networks for Semantic Segmentation",
CVPR 2015, section 5 (the same in Shelhamer et al., PAMI 2017). With n_ij the pixels of class i predicted as j and
t_i = sum_j n_ij:

    pixel accuracy            sum_i n_ii / sum_i t_i
    mean accuracy             mean_i n_ii / t_i
    mean IoU                  mean_i n_ii / (t_i + sum_j n_ji - n_ii)
    frequency-weighted IoU    sum_i t_i * IoU_i / sum_k t_k

the page "What the numbers mean" says what others define differently.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from atonce.labels import IGNORE_INDEX, LabelSpec
from atonce.metrics.ratios import Counts, Floats, mean, ratio
from atonce.storage import nan_to_none

# Pixels counted at a time: bincount widens its input to int64, and 64k of them stay in the cache.
_CHUNK = 1 << 16


class ConfusionMatrix:
    """The confusion matrix of any number of pictures, in pixels; rows are the ground truth, columns the predictions.

    Counts are exact integers, so neither the order of the pictures nor how they are batched changes a score.

    A class is *absent* if it has neither a ground-truth pixel nor a predicted one: its IoU is NaN, it is left out of
    the means and named in `absent`. A class that is predicted although the ground truth never shows it
    (`predicted_only`) has IoU 0, as in the authors' score.py and in torchmetrics: those pixels are errors.

    Source: Long, Shelhamer, Darrell, CVPR 2015, section 5.

    >>> import numpy as np
    >>> matrix = ConfusionMatrix(num_classes=3)
    >>> matrix.add(labels=np.array([[0, 0, 1], [1, 1, 255]]), predictions=np.array([[0, 1, 1], [1, 1, 0]]))
    >>> matrix.iou
    array([0.5 , 0.75,  nan])
    >>> matrix.mean_iou, matrix.pixel_accuracy, matrix.absent
    (0.625, 0.8, (2,))

    Args:
        num_classes: C, at least 1.
        ignore_index: the id of void in the labels; None if every pixel counts.

    Raises:
        ValueError: num_classes below 1.
    """

    def __init__(self, num_classes: int, ignore_index: int | None = IGNORE_INDEX) -> None:
        if num_classes < 1:
            raise ValueError(f"num_classes is {num_classes}; expected at least 1")
        self.num_classes = num_classes
        self.ignore_index = ignore_index
        self._matrix: Counts = np.zeros((num_classes, num_classes), np.int64)

    def __repr__(self) -> str:
        pixels = int(self._matrix.sum())
        return f"<ConfusionMatrix of {self.num_classes} classes, {pixels} pixels: mean IoU {self.mean_iou:.4f}>"

    @classmethod
    def from_matrix(cls, matrix: ArrayLike, ignore_index: int | None = IGNORE_INDEX) -> ConfusionMatrix:
        """Make a confusion matrix of counts (C, C), for example of ones summed over processes.

        Raises:
            ValueError: not square, not integers, or a negative count.
        """
        counts = np.asarray(matrix)
        if counts.ndim != 2 or counts.shape[0] != counts.shape[1] or counts.dtype.kind not in "iu":
            raise ValueError(f"a matrix {counts.shape} of {counts.dtype}; expected integers (C, C)")
        if (counts < 0).any():
            raise ValueError("the matrix holds a negative count")
        result = cls(counts.shape[0], ignore_index)
        result._matrix += counts.astype(np.int64)
        return result

    def add(self, labels: ArrayLike, predictions: ArrayLike) -> None:
        """Count the pixels of one picture or batch.

        Args:
            labels: ground truth, integers of any shape; ids 0..C-1 or ignore_index. uint8 is fastest.
            predictions: integers of the same shape; ids 0..C-1 wherever the label is not void.

        Raises:
            ValueError: shapes differ, not integers, or an id out of range; nothing is counted then.
        """
        truth, predicted = np.asarray(labels), np.asarray(predictions)
        if truth.shape != predicted.shape:
            raise ValueError(f"labels are {truth.shape} and predictions {predicted.shape}; expected equal shapes")
        for name, ids in (("labels", truth), ("predictions", predicted)):
            if ids.dtype.kind not in "iub":
                raise ValueError(f"{name} are {ids.dtype}; expected integer class ids")
        count = self._count_bytes if truth.dtype == predicted.dtype == np.uint8 else self._count_integers
        self._matrix += count(truth.ravel(), predicted.ravel())

    def _count_bytes(self, truth: NDArray[Any], predicted: NDArray[Any]) -> Counts:
        """Count uint8 ids: one histogram of all 256 x 256 pairs, void and mistakes included, sorted out afterwards."""
        pairs: Counts = np.zeros(1 << 16, np.int64)
        for start in range(0, truth.size, _CHUNK):
            pair = truth[start : start + _CHUNK].astype(np.uint16)
            pair <<= 8
            pair |= predicted[start : start + _CHUNK]
            pairs += np.bincount(pair, minlength=1 << 16)
        table = pairs.reshape(256, 256)
        if self.ignore_index is not None and 0 <= self.ignore_index < 256:
            table[self.ignore_index] = 0
        n = min(self.num_classes, 256)
        self._refuse("labels", np.flatnonzero(table[n:].any(axis=1)) + n)
        self._refuse("predictions", np.flatnonzero(table[:, n:].any(axis=0)) + n)
        counts: Counts = np.zeros_like(self._matrix)
        counts[:n, :n] = table[:n, :n]
        return counts

    def _count_integers(self, truth: NDArray[Any], predicted: NDArray[Any]) -> Counts:
        n = self.num_classes
        if self.ignore_index is not None:
            valid = truth != self.ignore_index
            truth, predicted = truth[valid], predicted[valid]
        for name, ids in (("labels", truth), ("predictions", predicted)):
            wrong = (ids < 0) | (ids >= n)
            if wrong.any():
                self._refuse(name, np.unique(ids[wrong]))
        pairs = truth.astype(np.int64) * n + predicted.astype(np.int64)
        return np.asarray(np.bincount(pairs, minlength=n * n).reshape(n, n), np.int64)

    def _refuse(self, name: str, ids: NDArray[Any]) -> None:
        if ids.size:
            void = f" or {self.ignore_index} (void)" if name == "labels" and self.ignore_index is not None else ""
            shown = ", ".join(str(int(i)) for i in ids[:5]) + (", ..." if ids.size > 5 else "")
            raise ValueError(f"{name} hold the id {shown}; expected 0..{self.num_classes - 1}{void}")

    def merge(self, other: ConfusionMatrix) -> None:
        """Add the counts of another matrix to this one.

        Raises:
            ValueError: the other one has another number of classes.
        """
        if other.num_classes != self.num_classes:
            raise ValueError(f"cannot merge {other.num_classes} classes into {self.num_classes}")
        self._matrix += other._matrix

    def __add__(self, other: ConfusionMatrix) -> ConfusionMatrix:
        result = ConfusionMatrix.from_matrix(self._matrix, self.ignore_index)
        result.merge(other)
        return result

    @property
    def matrix(self) -> Counts:
        """The counts, int64 (C, C), a copy; [i, j] is the number of pixels of class i that were predicted as j."""
        return np.array(self._matrix)

    @property
    def _hits(self) -> Counts:
        return np.asarray(np.diagonal(self._matrix))

    @property
    def _truth(self) -> Counts:
        return np.asarray(self._matrix.sum(axis=1))

    @property
    def _predicted(self) -> Counts:
        return np.asarray(self._matrix.sum(axis=0))

    @property
    def iou(self) -> Floats:
        """The intersection over union of each class, float64 (C,); NaN for absent classes."""
        return ratio(self._hits, self._truth + self._predicted - self._hits)

    @property
    def accuracy(self) -> Floats:
        """The share of each class that was found (its recall), float64 (C,); NaN without a ground-truth pixel."""
        return ratio(self._hits, self._truth)

    @property
    def precision(self) -> Floats:
        """The share of each class's predictions that are right, float64 (C,); NaN if it was never predicted."""
        return ratio(self._hits, self._predicted)

    @property
    def f1(self) -> Floats:
        """The F1 (Dice) of each class, 2 IoU / (1 + IoU), float64 (C,); NaN for absent classes."""
        return ratio(2 * self._hits, self._truth + self._predicted)

    @property
    def pixel_accuracy(self) -> float:
        """The share of the valid pixels that are right; NaN if there is none."""
        return float(ratio(self._hits.sum(), self._matrix.sum()))

    @property
    def mean_accuracy(self) -> float:
        """The mean of `accuracy` over the classes of the ground truth; NaN if there is none."""
        return mean(self.accuracy)

    @property
    def mean_iou(self) -> float:
        """The mean of `iou` over the classes that are not absent; NaN if all are."""
        return mean(self.iou)

    @property
    def mean_f1(self) -> float:
        """The mean of `f1` over the classes that are not absent; NaN if all are."""
        return mean(self.f1)

    @property
    def frequency_weighted_iou(self) -> float:
        """The mean of `iou` weighted by each class's share of the ground truth; NaN without a valid pixel."""
        truth = self._truth
        present = truth > 0
        return float(ratio((truth[present] * self.iou[present]).sum(), truth.sum()))

    @property
    def absent(self) -> tuple[int, ...]:
        """The ids of the classes with neither a ground-truth pixel nor a predicted one: exactly those of NaN IoU."""
        return _ids((self._truth + self._predicted) == 0)

    @property
    def predicted_only(self) -> tuple[int, ...]:
        """The ids of the classes that were predicted but have no ground-truth pixel: IoU 0, accuracy NaN."""
        return _ids((self._truth == 0) & (self._predicted > 0))

    def scores(self, labels: LabelSpec) -> dict[str, Any]:
        """Return all scores by name, ready for JSON (NaN becomes None).

        Raises:
            ValueError: `labels` has another number of classes.
        """
        if labels.num_classes != self.num_classes:
            raise ValueError(f"{labels.num_classes} class names for a matrix of {self.num_classes} classes")
        means = ("mean_iou", "pixel_accuracy", "mean_accuracy", "frequency_weighted_iou", "mean_f1")
        columns = {key: getattr(self, key) for key in ("iou", "accuracy", "precision", "f1")}
        truth, predicted = self._truth, self._predicted
        return {
            **{key: nan_to_none(getattr(self, key)) for key in means},
            "pixels": int(self._matrix.sum()),
            "absent": [labels.names[i] for i in self.absent],
            "predicted_only": [labels.names[i] for i in self.predicted_only],
            "classes": [
                {"id": i, "name": name}
                | {key: nan_to_none(values[i]) for key, values in columns.items()}
                | {"pixels": int(truth[i]), "predicted_pixels": int(predicted[i])}
                for i, name in enumerate(labels.names)
            ],
        }


def _ids(where: NDArray[np.bool_]) -> tuple[int, ...]:
    return tuple(int(i) for i in np.flatnonzero(where))
