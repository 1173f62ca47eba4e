"""KITTI road with a network: which of its classes is the road, and the benchmark's scores over a split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from atonce.data.dataset import Item, Sample
from atonce.data.masks import open_mask
from atonce.errors import DataError, WeightsError, option
from atonce.inference.result import Result
from atonce.inference.segmenter import Segmenter
from atonce.labels import KITTI_ROAD, LabelSpec
from atonce.metrics.kitti_road.birds_eye import BirdsEye
from atonce.metrics.kitti_road.road_evaluator import RoadEvaluator, RoadScores
from atonce.storage import nan_to_none
from atonce.text import listing

ROAD = KITTI_ROAD.names.index("road")


def road_class(labels: LabelSpec) -> int:
    """Find the id of the one class named road, in any case. Raises WeightsError: none, or more than one."""
    found = [i for i, name in enumerate(labels.names) if name.casefold() == "road"]
    if len(found) != 1:
        raise WeightsError(
            f"the model's classes are {listing(labels.names)}, {len(found)} of them named road",
            "one class named road",
            "use a model that was trained on KITTI road, CamVid or Cityscapes",
        )
    return found[0]


class RoadSegmenter:
    """A network with a class named road, seen as one of background and road; the probability of road is kept.

    Attributes:
        network: the network itself.

    Raises:
        WeightsError: it has no class named road.
    """

    def __init__(self, segmenter: Segmenter) -> None:
        self.network = segmenter
        self._road = road_class(segmenter.labels)
        if segmenter.labels.num_classes < 2:
            raise WeightsError("the model knows road and nothing else", "a class for what is not road")

    @property
    def labels(self) -> LabelSpec:
        return KITTI_ROAD

    def __call__(self, picture: NDArray[np.uint8], /) -> Result:
        """Segment uint8 (H, W, 3) RGB into logits float32 (2, H, W): background and road."""
        result = self.network(picture)
        others = [i for i in range(result.logits.shape[0]) if i != self._road]
        # A softmax over road and the log-sum of all others gives road the same probability as one over all classes.
        rest = result.logits[others].logsumexp(0)
        logits = torch.stack([rest, result.logits[self._road]])
        return Result(result.image, KITTI_ROAD, logits=logits, notes=result.notes)


class RoadMetric:
    """The KITTI road benchmark's scores, per category and pooled, in the picture or seen from above.

    Args:
        items: those that will be evaluated; their group and `kind` make the category ("um" and "lane": um_lane).
        kind: the ground truth, "road" or "lane".
        from_above: transform confidence and ground truth with each picture's camera calibration first.

    Raises:
        DataError: from_above, and a camera calibration is missing.
    """

    def __init__(self, items: Sequence[Item], kind: str, *, from_above: bool = False) -> None:
        self.kind, self.from_above = kind, from_above
        self._items: Mapping[str, Item] = {item.name: item for item in items}
        self._categories: dict[str, RoadEvaluator] = {}
        self._pictures: list[tuple[str, RoadScores]] = []
        if from_above:
            require_camera_files([item.image for item in items], f"choose pictures that have one with {option('only')}")

    def count(self, sample: Sample, result: Result) -> tuple[str, RoadEvaluator]:
        """Count one picture, and say in which category; `result` is of background and road."""
        item = self._items[sample.name]
        assert item.mask_file is not None, "evaluate() has refused pictures without a mask"
        confidence, truth = result.probabilities[ROAD], read_ground_truth_rgb(item.mask_file)
        if self.from_above:
            view = BirdsEye.from_calibration(camera_file_of(item.image))
            confidence, truth = view(confidence), view(truth)
        single = RoadEvaluator()
        single.add(confidence, truth)
        return f"{item.group}_{self.kind}", single

    def add(self, counted: tuple[str, RoadEvaluator]) -> None:
        category, single = counted
        self._categories.setdefault(category, RoadEvaluator()).merge(single)
        self._pictures.append((category, single.scores()))

    @property
    def categories(self) -> dict[str, RoadEvaluator]:
        """The evaluators of the categories that there are, by name, sorted: um_road, umm_road, uu_road, or um_lane."""
        return dict(sorted(self._categories.items()))

    @property
    def pooled(self) -> RoadEvaluator:
        """All categories as one; the benchmark's URBAN_ROAD where it is um_road, umm_road and uu_road."""
        pooled = RoadEvaluator()
        for evaluator in self._categories.values():
            pooled.merge(evaluator)
        return pooled

    def add_to(self, scores: dict[str, Any]) -> None:
        counts = {name: sum(category == name for category, _ in self._pictures) for name in self._categories}
        scores["road"] = {
            "ground_truth": self.kind,
            "view": "above" if self.from_above else "picture",
            "categories": {name: _summary(one, counts[name]) for name, one in self.categories.items()},
            "pooled": _summary(self.pooled, len(self._pictures)),
            "as_drawn": _as_drawn(scores["classes"]),
        }
        for row, (category, own) in zip(scores["pictures"], self._pictures, strict=True):
            row |= {"category": category, "max_f": nan_to_none(own.max_f)}
            row["average_precision"] = nan_to_none(own.average_precision)


def read_ground_truth_rgb(path: Path) -> NDArray[np.uint8]:
    """Read a ground-truth PNG as it is, uint8 (H, W, 3) RGB. Raises FileError when it cannot be read."""
    image = open_mask(path)
    return np.asarray(image if image.mode == "RGB" else image.convert("RGBA").convert("RGB"))


def camera_file_of(picture: Path) -> Path:
    """Return the camera calibration of a picture: data_road/*/image_2/um_0.png -> data_road/*/calib/um_0.txt."""
    return picture.parent.parent / "calib" / f"{picture.stem}.txt"


def require_camera_files(pictures: Sequence[Path], otherwise: str = "") -> None:
    """Check the camera calibration files of all pictures, before the first one is predicted.

    Args:
        otherwise: what the user can do instead of getting them.

    Raises:
        DataError: missing or damaged.
    """
    missing = [picture for picture in pictures if not camera_file_of(picture).is_file()]
    if missing:
        raise DataError(
            f"{len(missing)} of {len(pictures)} pictures have no camera calibration, which the view from above needs: "
            + listing(picture.stem for picture in missing),
            f"{camera_file_of(missing[0])}" + " and so on" * (len(missing) > 1),
            "unpack the benchmark's calib folder there" + f", or {otherwise}" * bool(otherwise),
        )
    for picture in pictures:
        BirdsEye.from_calibration(camera_file_of(picture))


def _as_drawn(classes: Sequence[Mapping[str, Any]]) -> dict[str, float | None]:
    """Recall and false positive rate of what is drawn as road, where its probability is above one half.

    Args:
        classes: the rows of background and road; they are of the picture, whichever view the benchmark's scores have.
    """
    rest, road = (row["accuracy"] for row in classes)
    return {"recall": road, "fpr": None if rest is None else 1 - rest}


def _summary(evaluator: RoadEvaluator, pictures: int) -> dict[str, Any]:
    curve = evaluator.curve()
    return {
        "pictures": pictures,
        **evaluator.scores().to_json(),
        "curve": {
            "precision": [nan_to_none(value) for value in curve.precision],
            "recall": [nan_to_none(value) for value in curve.recall],
        },
    }
