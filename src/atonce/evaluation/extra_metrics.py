"""Metrics beyond the confusion matrix, gathered while a split is scored: boundary F1 and calibration error."""

from __future__ import annotations

import math
from typing import Any

from atonce.data.dataset import Sample
from atonce.evaluation.scoring import ExtraMetric
from atonce.inference.result import Result
from atonce.labels import LabelSpec
from atonce.metrics.boundary_f1 import DIAGONAL_SHARE, BoundaryF1
from atonce.metrics.calibration_error import CalibrationError
from atonce.storage import nan_to_none


def default_metrics(labels: LabelSpec, tolerance: float | None = None) -> list[ExtraMetric[Any]]:
    """Return what `atonce evaluate` adds to the confusion matrix; `tolerance` as in `BoundaryF1Metric`."""
    return [BoundaryF1Metric(labels.num_classes, tolerance), CalibrationErrorMetric()]


class BoundaryF1Metric:
    """Boundary F1 of every class over all pictures, and of every picture as its mean over the classes.

    Args:
        tolerance: in pixels; None for 0.75 % of each picture's diagonal.

    Raises:
        ValueError: a tolerance that is negative or not finite.
    """

    def __init__(self, num_classes: int, tolerance: float | None = None) -> None:
        self.total = BoundaryF1(num_classes, tolerance)
        self._pictures: list[float] = []

    def count(self, sample: Sample, result: Result) -> BoundaryF1:
        single = BoundaryF1(self.total.num_classes, self.total.tolerance)
        assert sample.mask is not None, "evaluate() has refused pictures without a mask"
        single.add(sample.mask, result.labels)
        return single

    def add(self, counted: BoundaryF1) -> None:
        self.total.merge(counted)
        self._pictures.append(counted.mean_f1)

    def add_to(self, scores: dict[str, Any]) -> None:
        total = self.total
        scores["boundary"] = {
            "mean_f1": nan_to_none(total.mean_f1),
            "tolerance_pixels": total.tolerance,
            "tolerance_share_of_diagonal": DIAGONAL_SHARE if total.tolerance is None else None,
        }
        columns = {"boundary_f1": total.f1, "boundary_precision": total.precision, "boundary_recall": total.recall}
        for i, row in enumerate(scores["classes"]):
            row.update({key: nan_to_none(values[i]) for key, values in columns.items()})
        for row, f1 in zip(scores["pictures"], self._pictures, strict=True):
            row["boundary_f1"] = nan_to_none(f1)


class CalibrationErrorMetric:
    """Confidence calibration error of the probabilities, over all pictures and of every picture by itself.

    Attributes:
        left_out: pictures of which only labels are known, which are left out: of an exported file without
            probabilities all of them.
    """

    def __init__(self) -> None:
        self.total = CalibrationError()
        self.left_out = 0
        self._pictures: list[float] = []

    def count(self, sample: Sample, result: Result) -> CalibrationError | None:
        assert sample.mask is not None, "evaluate() has refused pictures without a mask"
        if result.labels_only:
            return None
        single = CalibrationError(self.total.num_bins)
        single.add(sample.mask, result.probabilities)
        return single

    def add(self, counted: CalibrationError | None) -> None:
        if counted is None:
            self.left_out += 1
            self._pictures.append(math.nan)
            return
        self.total.merge(counted)
        self._pictures.append(counted.expected_calibration_error)

    def add_to(self, scores: dict[str, Any]) -> None:
        if self.left_out == len(self._pictures):
            return
        bins, count = self.total.bins, self.total.num_bins
        scores["calibration"] = {
            "expected_calibration_error": nan_to_none(self.total.expected_calibration_error),
            "maximum_calibration_error": nan_to_none(self.total.maximum_calibration_error),
            "bins": [
                {
                    "above": i / count,
                    "up_to": (i + 1) / count,
                    "pixels": int(bins.count[i]),
                    "confidence": nan_to_none(bins.confidence[i]),
                    "accuracy": nan_to_none(bins.accuracy[i]),
                }
                for i in range(count)
            ],
        }
        for row, error in zip(scores["pictures"], self._pictures, strict=True):
            row["expected_calibration_error"] = nan_to_none(error)
