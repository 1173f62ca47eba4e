"""Score a network on a split: one confusion matrix over all pictures, at the pictures' own size."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from atonce.data.dataset import Dataset, Item, Sample, require_same_classes
from atonce.data.image_checks import image_problems
from atonce.data.images import Problem, stored_size
from atonce.errors import DataError, option
from atonce.inference.picture_pipeline import segment_pictures
from atonce.inference.result import OverlayBlender, Result
from atonce.inference.segmenter import Segmenter
from atonce.labels import IGNORE_INDEX, LabelSpec
from atonce.metrics.confusion_matrix import ConfusionMatrix
from atonce.process_group import ProcessGroup
from atonce.progress import ProgressCallback
from atonce.storage import make_folder, nan_to_none, write_text
from atonce.text import count_of


@dataclass(frozen=True)
class PictureScore:
    """One picture's own scores, in 0..1; NaN where nothing in it is labelled."""

    name: str
    mean_iou: float
    pixel_accuracy: float


PictureCallback = Callable[[Sample, Result, PictureScore], None]
"""Is called with every picture and its mask, the result and the scores, once, in order; must not keep the pixels."""


CountedT = TypeVar("CountedT")


class ExtraMetric(Protocol[CountedT]):
    """A metric beyond the confusion matrix: counts every picture, and adds what it counted to the scores.

    What it counts of a picture must be a few numbers, so that memory does not depend on the pictures' size, and is
    pickled where several processes share the pictures.
    """

    def count(self, sample: Sample, result: Result, /) -> CountedT:
        """Count one picture; called by several threads at once, in any order."""

    def add(self, counted: CountedT, /) -> None:
        """Add what was counted of a picture; called for every picture once, in order."""

    def add_to(self, scores: dict[str, Any]) -> None:
        """Add its numbers to `Evaluation.to_json`, whose "classes" and "pictures" are rows in order; NaN as None."""


@dataclass(frozen=True)
class Evaluation:
    """The scores of a split.

    Attributes:
        labels: names and colours of the classes.
        confusion: the confusion matrix over all pictures, at their own size.
        pictures: each picture's own scores, in the order of the data set.
        metrics: what was counted beside the confusion matrix.
    """

    labels: LabelSpec
    confusion: ConfusionMatrix
    pictures: tuple[PictureScore, ...]
    metrics: tuple[ExtraMetric[Any], ...] = ()

    def __repr__(self) -> str:
        scores = f"mean IoU {self.mean_iou:.4f}, pixel accuracy {self.pixel_accuracy:.4f}"
        return f"<Evaluation of {count_of(len(self.pictures), 'picture')}: {scores}>"

    @property
    def mean_iou(self) -> float:
        """Mean intersection over union of the classes that are not absent, 0..1."""
        return self.confusion.mean_iou

    @property
    def pixel_accuracy(self) -> float:
        """Share of the labelled pixels that are right, 0..1."""
        return self.confusion.pixel_accuracy

    @property
    def class_iou(self) -> dict[str, float]:
        """Intersection over union by class name, 0..1; NaN for a class that is absent."""
        return dict(zip(self.labels.names, self.confusion.iou.tolist(), strict=True))

    def to_json(self) -> dict[str, Any]:
        """Return all scores as evaluation.json holds them, NaN as None."""
        scores = self.confusion.scores(self.labels)
        scores["palette"] = [list(colour) for colour in self.labels.palette]
        scores["confusion"] = self.confusion.matrix.tolist()
        scores["pictures"] = [
            {"name": p.name, "mean_iou": nan_to_none(p.mean_iou), "pixel_accuracy": nan_to_none(p.pixel_accuracy)}
            for p in self.pictures
        ]
        for metric in self.metrics:
            metric.add_to(scores)
        return scores

    def save(self, folder: Path) -> None:
        """Write evaluation.json, classes.csv and pictures.csv. Raises StorageError."""
        make_folder(folder)
        data = self.to_json()
        write_text(folder / "evaluation.json", json.dumps(data, indent=1))
        write_text(folder / "classes.csv", _csv(data["classes"]))
        write_text(folder / "pictures.csv", _csv(data["pictures"]))


def score_items(
    segmenter: Segmenter,
    dataset: Dataset,
    items: Sequence[Item],
    *,
    metrics: Sequence[ExtraMetric[Any]] = (),
    on_picture: PictureCallback | None = None,
    progress: ProgressCallback | None = None,
    problems: list[Problem] | None = None,
    notes: Counter[str] | None = None,
    group: ProcessGroup | None = None,
) -> Evaluation:
    """Predict every item and count its pixels.

    The work is spread over threads where `segmenter` is a `Predictor`, see `inference.picture_pipeline`.

    Args:
        items: of one split; each must have a mask.
        metrics: new ones, whose numbers become part of the evaluation.
        on_picture: for those who want to draw or keep pictures.
        progress: called with the pictures done and all pictures.
        problems: a list that what was lost in reading the pictures is added to; None does not look.
        notes: a count that the notes of the results are added to.
        group: processes that share the items, each of which gets the whole evaluation; None for this one alone.
            `on_picture` and `progress` are called for the share of a process.

    Raises:
        WeightsError: the network has other classes than the data.
        DataError: an item without mask, or one that cannot be read.
    """
    require_same_classes(segmenter.labels, dataset)
    group = group or ProcessGroup()
    work = _Scoring(dataset, metrics, segmenter.labels.num_classes, looks=problems is not None)

    def score_share() -> _Share:
        share = _Share(ConfusionMatrix(segmenter.labels.num_classes))
        mine = group.share(list(enumerate(items)))
        for done, ((index, _), outcome) in enumerate(segment_pictures(segmenter, mine, work, total=len(items)), 1):
            scored = outcome.get()
            share.confusion.merge(scored.confusion)
            share.rows.append((index, scored.score, scored.counted, scored.problems, scored.result.notes))
            if on_picture:
                on_picture(scored.sample, scored.result, scored.score)
            if progress:
                progress(done, len(mine))
        return share

    total = ConfusionMatrix(segmenter.labels.num_classes)
    rows = []
    for share in group.gather(score_share):
        total.merge(share.confusion)
        rows += share.rows
    scores = []
    for _, score, counted, lost, noted in sorted(rows, key=lambda row: row[0]):
        scores.append(score)
        for metric, one in zip(metrics, counted, strict=True):
            metric.add(one)
        if problems is not None:
            problems += lost
        if notes is not None:
            notes.update(noted)
    return Evaluation(segmenter.labels, total, tuple(scores), tuple(metrics))


@dataclass(frozen=True)
class _Scored:
    """A picture that was segmented and counted."""

    sample: Sample
    result: Result
    score: PictureScore
    confusion: ConfusionMatrix
    counted: list[Any]
    problems: list[Problem]


@dataclass
class _Share:
    """The counts of a process: of all its pictures, and of each with its place in the data set."""

    confusion: ConfusionMatrix
    rows: list[tuple[int, PictureScore, list[Any], list[Problem], tuple[str, ...]]] = field(default_factory=list)


class _Scoring:
    """The work on each item beside the network, see `picture_pipeline.PictureWork`."""

    def __init__(self, dataset: Dataset, metrics: Sequence[ExtraMetric[Any]], num_classes: int, *, looks: bool) -> None:
        self._dataset, self._metrics, self._num_classes, self._looks = dataset, metrics, num_classes, looks

    def size_of(self, source: tuple[int, Item]) -> tuple[int, int] | None:
        return stored_size(source[1].image)

    def load(self, source: tuple[int, Item]) -> Sample:
        sample = self._dataset.load(source[1])
        if sample.mask is None:
            raise DataError(
                f"{sample.name} has no mask", "a split with ground truth", f"choose another {option('split')}"
            )
        return sample

    def finish(self, source: tuple[int, Item], sample: Sample, result: Result) -> _Scored:
        assert sample.mask is not None, "it was refused"
        single = ConfusionMatrix(self._num_classes)
        single.add(sample.mask, result.labels)
        counted = [metric.count(sample, result) for metric in self._metrics]
        problems = image_problems(source[1].image, sample.image, self._dataset.bands) if self._looks else []
        score = PictureScore(sample.name, single.mean_iou, single.pixel_accuracy)
        return _Scored(sample, result, score, single, counted, problems)


def panel(
    image: NDArray[np.uint8], truth: NDArray[np.uint8] | None, predicted: NDArray[np.uint8], labels: LabelSpec
) -> Image.Image:
    """Draw picture, ground truth and prediction side by side, uint8 (H, W, ...) each; void and background stay as the
    picture."""
    parts, blender = [image], OverlayBlender(labels, 0.65)
    for ids in (truth, predicted):
        if ids is not None:
            parts.append(blender(image, ids))
    if truth is not None:
        parts[2] = np.where((truth == IGNORE_INDEX)[..., None], parts[2] // 2, parts[2])
    return Image.fromarray(np.concatenate(parts, axis=1))


def _csv(rows: Sequence[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
