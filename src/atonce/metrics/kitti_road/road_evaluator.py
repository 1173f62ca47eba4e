"""Road scores as the KITTI road benchmark defines them: best F over 256 thresholds, and average precision.

Source: Fritsch, Kuehnl, Geiger, "A New Performance Measure and Evaluation Benchmark for Road Detection Algorithms",
ITSC 2013, and the benchmark's development kit. The numerical habits of the kit that can show in a score (the two
1e-10, recall levels as multiples of 0.1 in binary, ties going to the lowest threshold) are kept; the page
"What the numbers mean" lists them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from atonce.metrics.ratios import Counts, Floats
from atonce.storage import nan_to_none

THRESHOLDS: Floats = np.arange(256) / 255.0
"""The thresholds k / 255, float64 (256,). A pixel is taken for road where its probability is at least the threshold."""

_EPSILON = 1e-10  # the kit's guard against 0 / 0; part of its definition, as it can decide between equal F
_ROUNDING = 1e-6  # a softmax in half precision, or one that was resized, may leave [0, 1] by rounding


@dataclass(frozen=True, kw_only=True)
class RoadScores:
    """The scores of one category at the threshold of the best F; all NaN (counts 0) if it has no road pixel.

    `scores.max_f` and `scores["max_f"]` are the same, and `dict(scores)` works. Ratios are in 0..1, not in per cent.

    Attributes:
        max_f: the best F1 over the thresholds.
        average_precision: mean over recall 0, 0.1, ..., 1 of the best precision at that recall or more.
        precision: TP / (TP + FP).
        recall: TP / (TP + FN).
        fpr: FP / (FP + TN); NaN if every valid pixel is road.
        fnr: FN / (TP + FN).
        threshold: k / 255, the lowest one that reaches max_f.
        tp, fp, fn, tn: pixels at that threshold.
    """

    max_f: float
    average_precision: float
    precision: float
    recall: float
    fpr: float
    fnr: float
    threshold: float
    tp: int
    fp: int
    fn: int
    tn: int

    def __getitem__(self, name: str) -> Any:
        if name not in self.keys():
            raise KeyError(name)
        return getattr(self, name)

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __len__(self) -> int:
        return len(self.keys())

    def to_json(self) -> dict[str, float | int | None]:
        """Return the scores by name, ready for JSON: NaN becomes None."""
        return {name: nan_to_none(self[name]) for name in self.keys()}

    @classmethod
    def keys(cls) -> tuple[str, ...]:
        """The names of the scores, for `dict(scores)`."""
        return tuple(field.name for field in fields(cls))


class RoadCurve(NamedTuple):
    """The precision-recall curve, one entry per threshold, float64 (256,) each.

    NaN where a value is not defined (nothing found, or no road at all).
    """

    threshold: Floats
    precision: Floats
    recall: Floats


class RoadEvaluator:
    """The scores of one category of KITTI road (um_road, umm_road, uu_road or um_lane) over any number of pictures.

    Counts are exact integers, so the order of the pictures never matters. Nothing else is kept: 512 numbers.

    Source: Fritsch, Kuehnl, Geiger, ITSC 2013, and the benchmark's development kit.

    >>> import numpy as np
    >>> evaluator = RoadEvaluator()
    >>> road, other, void = (255, 0, 255), (255, 0, 0), (0, 0, 0)
    >>> evaluator.add(np.array([[0.9, 0.4, 0.6, 1.0]]), np.array([[road, road, other, void]], np.uint8))
    >>> scores = evaluator.scores()
    >>> round(scores.max_f, 3), scores.tp, scores.fp, scores.fn
    (0.8, 2, 1, 0)
    """

    def __init__(self) -> None:
        # [road, k]: valid pixels whose probability reaches the thresholds 0..k and no higher one.
        self._levels: Counts = np.zeros((2, 256), np.int64)

    def add(self, probability: ArrayLike, ground_truth: ArrayLike) -> None:
        """Count one picture.

        Args:
            probability: of road, (H, W): float in 0..1, or uint8, where v means v / 255.
            ground_truth: uint8 (H, W, 3), RGB as read from the PNG: valid where red > 0, road where also blue > 0.

        Raises:
            ValueError: wrong shape or dtype, or a probability at a valid pixel that is NaN or outside 0..1.
        """
        chance, truth = np.asarray(probability), np.asarray(ground_truth)
        if truth.ndim != 3 or truth.shape[2] != 3 or truth.dtype != np.uint8:
            raise ValueError(f"ground truth is {truth.dtype} {truth.shape}; expected RGB, uint8 (H, W, 3)")
        if chance.shape != truth.shape[:2]:
            raise ValueError(f"probability is {chance.shape} and ground truth {truth.shape[:2]}; expected equal sizes")
        if chance.dtype != np.uint8 and chance.dtype.kind != "f":
            raise ValueError(f"probability is {chance.dtype}; expected uint8, or float in 0..1")
        valid = truth[..., 0] > 0
        chance, road = chance[valid], truth[..., 2][valid] > 0
        # v / 255 reaches the thresholds 0..v, in float64 and in the kit's float32 alike, so v is its own level.
        level = chance if chance.dtype == np.uint8 else _level(chance)
        pairs = road.astype(np.uint16)
        pairs <<= 8
        pairs |= level
        self._levels += np.bincount(pairs, minlength=512).reshape(2, 256)

    def merge(self, other: RoadEvaluator) -> None:
        """Add the counts of another evaluator, for example of another category, to this one."""
        self._levels += other._levels

    def __add__(self, other: RoadEvaluator) -> RoadEvaluator:
        result = RoadEvaluator()
        result.merge(self)
        result.merge(other)
        return result

    @property
    def positives(self) -> int:
        """The number of valid road pixels."""
        return int(self._levels[1].sum())

    @property
    def negatives(self) -> int:
        """The number of valid pixels that are not road."""
        return int(self._levels[0].sum())

    @property
    def tp(self) -> Counts:
        """True positives, pixels of road that are found; int64 (256,), one per threshold."""
        return _at_least(self._levels[1])

    @property
    def fp(self) -> Counts:
        """False positives, other pixels that are taken for road; int64 (256,)."""
        return _at_least(self._levels[0])

    @property
    def fn(self) -> Counts:
        """False negatives, pixels of road that are missed; int64 (256,)."""
        return self.positives - self.tp

    @property
    def tn(self) -> Counts:
        """True negatives, other pixels that are not taken for road; int64 (256,)."""
        return self.negatives - self.fp

    def curve(self) -> RoadCurve:
        """Compute precision and recall at every threshold, for plots."""
        tp, found = self.tp, self.tp + self.fp
        precision, recall = np.full(256, np.nan), np.full(256, np.nan)
        np.divide(tp, found, out=precision, where=found > 0)
        if self.positives:
            np.divide(tp, self.positives, out=recall)
        return RoadCurve(THRESHOLDS.copy(), precision, recall)

    def scores(self) -> RoadScores:
        """Score all pictures added so far as one category."""
        positives, negatives = self.positives, self.negatives
        if positives == 0:
            nan = float("nan")
            return RoadScores(
                max_f=nan,
                average_precision=nan,
                precision=nan,
                recall=nan,
                fpr=nan,
                fnr=nan,
                threshold=nan,
                tp=0,
                fp=0,
                fn=0,
                tn=0,
            )
        tp, fp = self.tp, self.fp
        recall = tp / positives
        precision = tp / (tp + fp + _EPSILON)
        f = 2 * precision * recall / (precision + recall + _EPSILON)
        best = int(f.argmax())
        hits, false = int(tp[best]), int(fp[best])
        return RoadScores(
            max_f=float(f[best]),
            average_precision=_average_precision(precision, recall),
            precision=hits / (hits + false),
            recall=hits / positives,
            fpr=false / negatives if negatives else float("nan"),
            fnr=(positives - hits) / positives,
            threshold=float(THRESHOLDS[best]),
            tp=hits,
            fp=false,
            fn=positives - hits,
            tn=negatives - false,
        )


def confidence_bytes(probability: ArrayLike) -> NDArray[np.uint8]:
    """Convert probabilities, float in 0..1 of any shape, to the bytes of a submission: the highest k with k / 255 at
    most the probability.

    Rounded down, not to the nearest: the bytes then reach exactly the thresholds that the float reaches, and the
    benchmark finds in the file the same counts as `RoadEvaluator` in the probabilities.

    Raises:
        ValueError: no float, NaN or outside 0..1.
    """
    chance = np.asarray(probability)
    if chance.dtype.kind != "f":
        raise ValueError(f"probability is {chance.dtype}; expected float in 0..1")
    return _level(chance)


def _level(chance: NDArray[Any]) -> NDArray[np.uint8]:
    """Compute the highest k with k / 255 <= chance, compared in float64, for finite values in 0..1.

    Raises:
        ValueError: NaN or outside 0..1.
    """
    if chance.size and not (chance.min() >= -_ROUNDING and chance.max() <= 1 + _ROUNDING):
        raise ValueError(f"probability runs from {chance.min()} to {chance.max()}; expected 0..1 and no NaN")
    # The product is rounded, but falls on the right side all the same: it never decreases where the probability grows,
    # and it is k or more at each k / 255 and below k at the float next below, which a test goes through.
    level: NDArray[np.uint8] = (np.clip(chance, 0, 1).astype(np.float64, copy=False) * 255.0).astype(np.uint8)
    return level


def _at_least(levels: Counts) -> Counts:
    """The pixels at or above each level, int64 (256,)."""
    return np.asarray(levels[::-1].cumsum()[::-1], np.int64)


def _average_precision(precision: Floats, recall: Floats) -> float:
    """Compute the 11-point interpolated average precision. At threshold 0 recall is 1, so every level is reached."""
    return float(np.mean([precision[recall >= level].max() for level in np.arange(11) * 0.1]))
