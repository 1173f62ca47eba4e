"""Score a network on a split: one confusion matrix over all pictures, at the pictures' own size."""

from __future__ import annotations

import csv
import io
import json
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from atonce.data.dataset import Dataset, Item, Sample, require_same_classes
from atonce.data.image_checks import image_problems
from atonce.data.images import Problem
from atonce.errors import DataError, option
from atonce.inference.result import OverlayBlender, Result
from atonce.inference.segmenter import Segmenter
from atonce.labels import IGNORE_INDEX, LabelSpec
from atonce.metrics.confusion_matrix import ConfusionMatrix
from atonce.progress import ProgressCallback
from atonce.storage import make_folder, nan_to_none, write_text
from atonce.text import count_of

_AHEAD = 4


@dataclass(frozen=True)
class PictureScore:
    """One picture's own scores, in 0..1; NaN where nothing in it is labelled."""

    name: str
    mean_iou: float
    pixel_accuracy: float


PictureCallback = Callable[[Sample, Result, PictureScore], None]
"""Is called with every picture and its mask, the result and the scores, once, in order; must not keep the pixels."""


class ExtraMetric(Protocol):
    """A metric beyond the confusion matrix: a `PictureCallback` that adds what it counted to the scores.

    What it keeps per picture must be a few numbers, so that memory does not depend on the pictures' size.
    """

    def __call__(self, sample: Sample, result: Result, score: PictureScore, /) -> None:
        """Count one picture."""

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
    metrics: tuple[ExtraMetric, ...] = ()

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
    metrics: Sequence[ExtraMetric] = (),
    on_picture: PictureCallback | None = None,
    progress: ProgressCallback | None = None,
    problems: list[Problem] | None = None,
) -> Evaluation:
    """Predict every item and count its pixels.

    Args:
        items: of one split; each must have a mask.
        metrics: new ones, whose numbers become part of the evaluation.
        on_picture: for those who want to draw or keep pictures.
        progress: called with the pictures done and all pictures.
        problems: a list that what was lost in reading the pictures is added to; None does not look.

    Raises:
        WeightsError: the network has other classes than the data.
        DataError: an item without mask, or one that cannot be read.
    """
    require_same_classes(segmenter.labels, dataset)
    total = ConfusionMatrix(segmenter.labels.num_classes)
    scores = []
    for done, (item, sample) in enumerate(zip(items, _load_ahead(dataset, items), strict=True), 1):
        if sample.mask is None:
            raise DataError(
                f"{sample.name} has no mask", "a split with ground truth", f"choose another {option('split')}"
            )
        if problems is not None:
            problems += image_problems(item.image, sample.image, dataset.bands)
        result = segmenter(sample.image)
        single = ConfusionMatrix(segmenter.labels.num_classes)
        single.add(sample.mask, result.labels)
        total.merge(single)
        scores.append(PictureScore(sample.name, single.mean_iou, single.pixel_accuracy))
        for callback in (*metrics, *((on_picture,) if on_picture else ())):
            callback(sample, result, scores[-1])
        if progress:
            progress(done, len(items))
    return Evaluation(segmenter.labels, total, tuple(scores), tuple(metrics))


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


def _load_ahead(dataset: Dataset, items: Sequence[Item]) -> Iterator[Sample]:
    """Decode the next few pictures in a thread while one is predicted; never more, whatever the data set's size."""
    pending: deque[Future[Sample]] = deque()
    with ThreadPoolExecutor(1, "decode") as pool:
        try:
            for item in items:
                pending.append(pool.submit(dataset.load, item))
                if len(pending) > _AHEAD:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _csv(rows: Sequence[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
