"""Evaluate a network on a split: one confusion matrix over all pictures, at the pictures' own size."""

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

from atonce.data.dataset import Dataset, Item, Sample
from atonce.errors import DataError, WeightsError, option
from atonce.inference.predictor import Result, blend
from atonce.labels import IGNORE_INDEX, LabelSpec
from atonce.metrics.confusion_matrix import ConfusionMatrix
from atonce.storage import make_folder, nan_to_none, write_text
from atonce.text import listing

_AHEAD = 4


class Segmenter(Protocol):
    """What can be evaluated: a `Predictor`, or whatever else turns pictures into results of the same size."""

    @property
    def labels(self) -> LabelSpec:
        """The classes that its results speak of."""

    def __call__(self, picture: NDArray[np.uint8], /) -> Result:
        """uint8 (H, W, 3) RGB -> logits (C, H, W)."""


@dataclass(frozen=True)
class PictureScore:
    """One picture's own scores; NaN where nothing in it is labelled."""

    name: str
    mean_iou: float
    pixel_accuracy: float


Observer = Callable[[Sample, Result, PictureScore], None]
"""Is shown every picture with its mask, the result and the scores, once, in order; it must not keep the pixels."""


class Measure(Protocol):
    """A number beyond the confusion matrix: an `Observer` that adds what it counted to the scores.

    What it keeps per picture must be a few numbers, so that memory does not depend on the pictures' size.
    """

    def __call__(self, sample: Sample, result: Result, score: PictureScore, /) -> None:
        """Count one picture."""

    def add_to(self, scores: dict[str, Any]) -> None:
        """Extend `Evaluation.to_json`, whose "classes" and "pictures" are rows in order; NaN as None."""


@dataclass(frozen=True)
class Evaluation:
    """Scores of a split. `confusion` covers all pictures; `pictures` are in the order of the data set."""

    labels: LabelSpec
    confusion: ConfusionMatrix
    pictures: tuple[PictureScore, ...]
    measures: tuple[Measure, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Everything, NaN as None."""
        scores = self.confusion.scores(self.labels)
        scores["palette"] = [list(colour) for colour in self.labels.palette]
        scores["confusion"] = self.confusion.matrix.tolist()
        scores["pictures"] = [
            {"name": p.name, "mean_iou": nan_to_none(p.mean_iou), "pixel_accuracy": nan_to_none(p.pixel_accuracy)}
            for p in self.pictures
        ]
        for measure in self.measures:
            measure.add_to(scores)
        return scores

    def save(self, folder: Path) -> None:
        """evaluation.json, classes.csv and pictures.csv. Raises StorageError."""
        make_folder(folder)
        data = self.to_json()
        write_text(folder / "evaluation.json", json.dumps(data, indent=1))
        write_text(folder / "classes.csv", _csv(data["classes"]))
        write_text(folder / "pictures.csv", _csv(data["pictures"]))


def evaluate(
    predictor: Segmenter,
    dataset: Dataset,
    items: Sequence[Item],
    progress: Callable[[int, int], None] | None = None,
    on_picture: Observer | None = None,
    measures: Sequence[Measure] = (),
) -> Evaluation:
    """Predict every item and count its pixels.

    Args:
        items: of one split; each must have a mask.
        on_picture: for those who want to draw or keep pictures.
        measures: new ones, whose numbers become part of the evaluation.

    Raises:
        WeightsError: the network knows other classes than the data.
        DataError: an item without mask, or one that cannot be read.
    """
    require_same_classes(predictor.labels, dataset)
    total = ConfusionMatrix(predictor.labels.num_classes)
    scores = []
    for done, sample in enumerate(_load_ahead(dataset, items), 1):
        if sample.mask is None:
            raise DataError(
                f"{sample.name} has no mask", "a split with ground truth", f"choose another {option('split')}"
            )
        result = predictor(sample.image)
        single = ConfusionMatrix(predictor.labels.num_classes)
        single.add(sample.mask, result.labels)
        total.merge(single)
        scores.append(PictureScore(sample.name, single.mean_iou, single.pixel_accuracy))
        for observe in (*measures, *((on_picture,) if on_picture else ())):
            observe(sample, result, scores[-1])
        if progress:
            progress(done, len(items))
    return Evaluation(predictor.labels, total, tuple(scores), tuple(measures))


def require_same_classes(labels: LabelSpec, dataset: Dataset, who: str = "the model") -> None:
    """Raises WeightsError when a network's classes are not those of the data."""
    if labels.names != dataset.labels.names:
        raise WeightsError(
            f"{who} knows {labels.num_classes} classes ({listing(labels.names, 4)})",
            f"those of {dataset.root}: {dataset.labels.num_classes} ({listing(dataset.labels.names, 4)})",
            "use a model that was trained on data with these classes",
        )


def panel(
    image: NDArray[np.uint8], truth: NDArray[np.uint8] | None, predicted: NDArray[np.uint8], labels: LabelSpec
) -> Image.Image:
    """Picture, ground truth and prediction side by side, uint8 (H, W, ...) each; void stays as the picture."""
    parts = [image]
    for ids in (truth, predicted):
        if ids is not None:
            parts.append(blend(image, labels.colour(ids), 0.65))
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
