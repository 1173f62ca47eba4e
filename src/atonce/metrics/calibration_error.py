"""Confidence calibration: pixels of which the network is 90 % sure should be right nine times out of ten.

Source: Guo, Pleiss, Sun, Weinberger, "On Calibration of Modern Neural Networks", ICML 2017, equations 2 to 5; the
samples are the valid pixels of all pictures, pooled.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from atonce.labels import IGNORE_INDEX
from atonce.metrics.ratios import Counts, Floats

# Confidences are summed as multiples of 2^-32: exact for float32 (a maximum over at most 255 classes is above 2^-8,
# where float32 steps are 2^-32 or more), and integers add up to the same in any order. Good for 2^31 pixels a bin.
_UNIT = 2.0**32
_CHUNK = 1 << 20  # pixels at a time, so that their sum stays below 2^53 and bincount's float64 weights are exact
_ROUNDING = 1e-3  # half precision rounds a certain 1 to as much as 1.0005


@dataclass(frozen=True, eq=False)
class ReliabilityDiagram:
    """The confidence calibration as a diagram: one entry per bin, from low confidence to high.

    Attributes:
        confidence: mean confidence of the bin's pixels, float64 (M,); NaN if it is empty.
        accuracy: share of them that is right, float64 (M,); NaN if it is empty.
        count: pixels, int64 (M,).
    """

    confidence: Floats
    accuracy: Floats
    count: Counts


class CalibrationError:
    """The expected and the maximum calibration error (ECE, MCE) of the most likely class: confidence calibration.

    A pixel's confidence is the probability of its most likely class. Pixels fall into bins of equal width by their
    confidence: bin m of M holds those in ((m - 1) / M, m / M]. A bin's error is the difference of its mean confidence
    and its accuracy.

    Source: Guo, Pleiss, Sun, Weinberger, ICML 2017, with the valid pixels of all pictures pooled.

    >>> import numpy as np
    >>> metric = CalibrationError(num_bins=10)
    >>> probabilities = np.array([[[0.75, 0.75, 0.75, 0.75]], [[0.25, 0.25, 0.25, 0.25]]])  # (C, H, W)
    >>> metric.add(labels=np.array([[0, 0, 0, 1]]), probabilities=probabilities)  # right three times out of four
    >>> metric.expected_calibration_error
    0.0

    Args:
        num_bins: M, at least 1.
        ignore_index: the id of void in the labels; None if every pixel counts.

    Raises:
        ValueError: num_bins below 1.
    """

    def __init__(self, num_bins: int = 15, ignore_index: int | None = IGNORE_INDEX) -> None:
        if num_bins < 1:
            raise ValueError(f"num_bins is {num_bins}; expected at least 1")
        self.num_bins = num_bins
        self.ignore_index = ignore_index
        self._count: Counts = np.zeros(num_bins, np.int64)
        self._right: Counts = np.zeros(num_bins, np.int64)
        self._confidence: Counts = np.zeros(num_bins, np.int64)

    def add(self, labels: ArrayLike, probabilities: ArrayLike) -> None:
        """Count one picture or batch.

        Args:
            labels: ground truth, integers (H, W) or (N, H, W); ids 0..C-1 or ignore_index.
            probabilities: float (C, H, W) or (N, C, H, W), in 0..1, summing to 1 over C.

        Raises:
            ValueError: shapes do not fit, wrong dtype, or at a valid pixel a label out of range or a probability
                that is NaN or outside 0..1; nothing is counted then.
        """
        truth, chances = np.asarray(labels), np.asarray(probabilities)
        if chances.ndim not in (3, 4) or truth.shape != chances.shape[:-3] + chances.shape[-2:] or chances.size == 0:
            raise ValueError(
                f"labels are {truth.shape} and probabilities {chances.shape}; expected ([N,] H, W) and ([N,] C, H, W)"
            )
        if truth.dtype.kind not in "iub" or chances.dtype.kind != "f":
            raise ValueError(f"labels are {truth.dtype}, probabilities {chances.dtype}; expected integers and floats")
        valid = np.ones(truth.shape, np.bool_) if self.ignore_index is None else truth != self.ignore_index
        classes = chances.shape[-3]
        truth = truth[valid]
        if truth.size == 0:
            return
        if (truth < 0).any() or (truth >= classes).any():
            raise ValueError(f"labels hold an id outside 0..{classes - 1}")
        confidence, lowest = chances.max(axis=-3)[valid], chances.min(axis=-3)[valid]
        if not (lowest.min() >= -_ROUNDING and confidence.max() <= 1 + _ROUNDING):
            raise ValueError(
                f"probabilities run from {lowest.min()} to {confidence.max()}; expected 0..1 and no NaN, not logits"
            )
        self._add_pixels(np.clip(confidence, 0, 1), chances.argmax(axis=-3)[valid] == truth)

    def _add_pixels(self, confidence: NDArray[Any], right: NDArray[np.bool_]) -> None:
        # Upper edges in float64, each belonging to the bin below it; the last is 1 and needs no comparison.
        edges = np.arange(1, self.num_bins) / self.num_bins
        for start in range(0, confidence.size, _CHUNK):
            part, hit = confidence[start : start + _CHUNK].astype(np.float64), right[start : start + _CHUNK]
            index = np.searchsorted(edges, part, side="left")
            whole = np.bincount(index, weights=np.rint(part * _UNIT), minlength=self.num_bins)
            self._count += np.bincount(index, minlength=self.num_bins)
            self._right += np.bincount(index[hit], minlength=self.num_bins)
            self._confidence += whole.astype(np.int64)

    def merge(self, other: CalibrationError) -> None:
        """Add the counts of another metric, for example of other pictures, to this one.

        Raises:
            ValueError: it has another number of bins.
        """
        if other.num_bins != self.num_bins:
            raise ValueError(f"cannot merge {other.num_bins} bins into {self.num_bins}")
        self._count += other._count
        self._right += other._right
        self._confidence += other._confidence

    @property
    def bins(self) -> ReliabilityDiagram:
        """The reliability diagram: mean confidence, accuracy and number of pixels per bin."""
        confidence, accuracy = np.full(self.num_bins, np.nan), np.full(self.num_bins, np.nan)
        filled = self._count > 0
        np.divide(self._confidence / _UNIT, self._count, out=confidence, where=filled)
        np.divide(self._right, self._count, out=accuracy, where=filled)
        return ReliabilityDiagram(confidence, accuracy, self._count.copy())

    @property
    def expected_calibration_error(self) -> float:
        """The mean of abs(accuracy - confidence) over the bins, weighted by their pixels; NaN without a pixel."""
        gaps, weights = self._gaps()
        return float((gaps * weights).sum() / weights.sum()) if weights.size else float("nan")

    @property
    def maximum_calibration_error(self) -> float:
        """The largest abs(accuracy - confidence) of a bin that is not empty; NaN without a pixel."""
        gaps, _ = self._gaps()
        return float(gaps.max()) if gaps.size else float("nan")

    def _gaps(self) -> tuple[Floats, Counts]:
        """Return abs(accuracy - confidence) and pixels of the bins that are not empty."""
        bins = self.bins
        filled = bins.count > 0
        return np.abs(bins.accuracy - bins.confidence)[filled], bins.count[filled]
