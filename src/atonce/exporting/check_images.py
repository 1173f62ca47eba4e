"""The pictures that an export is calibrated on and checked with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from atonce.data.dataset import Dataset, Item
from atonce.data.images import read_image
from atonce.data.sampling import evenly_spaced
from atonce.exporting.graph_files import Loader
from atonce.exporting.parity import ODD_SIZES, Check
from atonce.labels import LabelSpec
from atonce.streets import render_scene

MOST_CALIBRATION, MOST_CHECKS = 128, 100

_SCENES = 4


@dataclass(frozen=True)
class CheckImages:
    """Pictures to calibrate on and pictures to check with, each read when it is its turn."""

    calibration: Sequence[Loader]
    pictures: Sequence[Callable[[], Check]]

    def checks(self) -> Iterator[Check]:
        """Cuts of odd sizes out of the first picture, then whole pictures."""
        first = self.pictures[0]().image
        yield from (Check(cut(first, size)) for size in ODD_SIZES)
        for load in self.pictures:
            yield load()

    @property
    def count(self) -> int:
        """Of the checks."""
        return len(self.pictures) + len(ODD_SIZES)


def from_scenes() -> CheckImages:
    """Generated streets: for checks without any data."""
    scenes = [partial(_scene, seed) for seed in range(_SCENES)]
    return CheckImages([], [partial(_unlabelled, load) for load in scenes])


def from_pictures(paths: Sequence[Path]) -> CheckImages:
    """Pictures without masks, for both purposes."""
    loaders: list[Loader] = [partial(read_image, path) for path in evenly_spaced(paths, MOST_CALIBRATION)]
    return CheckImages(loaders, [partial(_unlabelled, load) for load in loaders[:MOST_CHECKS]])


def from_dataset(dataset: Dataset, labels: LabelSpec) -> CheckImages:
    """Calibration on the training split, checks on the validation split; masks count where the classes are `labels`."""
    split = "val" if dataset.splits.get("val") else "train"
    training = dataset.splits.get("train") or dataset.split(split)
    same = dataset.labels.names == labels.names
    return CheckImages(
        [partial(read_image, item.image) for item in evenly_spaced(training, MOST_CALIBRATION)],
        [partial(_labelled, dataset, item, same) for item in evenly_spaced(dataset.split(split), MOST_CHECKS)],
    )


def cut(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """A part of this size around the middle; smaller pictures are repeated to it."""
    height, width = size
    rows, columns = (-(-want // have) for want, have in zip(size, image.shape, strict=False))
    image = np.tile(image, (rows, columns, 1))
    top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
    return image[top : top + height, left : left + width]


def _scene(seed: int) -> NDArray[np.uint8]:
    return render_scene(seed).image


def _unlabelled(load: Loader) -> Check:
    return Check(load())


def _labelled(dataset: Dataset, item: Item, same_classes: bool) -> Check:
    sample = dataset.load(item)
    return Check(sample.image, sample.mask if same_classes else None)
