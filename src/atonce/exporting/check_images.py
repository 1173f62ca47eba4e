"""The pictures that an export is checked with, and those that calibrate its quantisation to INT8."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from atonce.data.dataset import Dataset, Item
from atonce.data.images import IMAGE_SUFFIXES, Bands, read_image
from atonce.data.sampling import evenly_spaced
from atonce.evaluation.evaluate_model import open_as_trained
from atonce.exporting.graph_files import ImageLoader
from atonce.exporting.parity import ODD_SIZES, Check
from atonce.inference.inputs import find_pictures
from atonce.labels import LabelSpec
from atonce.model_file import ModelFile
from atonce.streets import render_scene

MOST_CALIBRATION, MOST_CHECKS = 128, 100
"""The largest numbers of pictures that are taken for INT8 calibration and for the check."""

_SCENES = 4


@dataclass(frozen=True)
class CheckImages:
    """Pictures for INT8 calibration and pictures to check an export with, each read when it is its turn.

    Attributes:
        calibration_images: INT8 takes the ranges of the activations from them.
        check_images: the exported file and torch are compared on them; on those with masks, by their mean IoU, too.
        kind: what these are, in the singular.
    """

    calibration_images: Sequence[ImageLoader]
    check_images: Sequence[Callable[[], Check]]
    kind: str = "picture"

    @classmethod
    def from_scenes(cls) -> CheckImages:
        """Take generated streets, for checks without any data; INT8 cannot be calibrated on them."""
        scenes = [partial(_scene, seed) for seed in range(_SCENES)]
        return cls([], [partial(_unlabelled, load) for load in scenes], "generated street")

    @classmethod
    def from_pictures(cls, paths: Sequence[Path], bands: Bands | None = None) -> CheckImages:
        """Take pictures without masks, for both purposes.

        Args:
            bands: those that the network was trained on, see `read_image`.
        """
        chosen = evenly_spaced(paths, MOST_CALIBRATION)
        loaders: list[ImageLoader] = [partial(read_image, path, bands) for path in chosen]
        return cls(loaders, [partial(_unlabelled, load) for load in loaders[:MOST_CHECKS]])

    @classmethod
    def from_dataset(cls, dataset: Dataset, labels: LabelSpec) -> CheckImages:
        """Take the training split for INT8 calibration and the validation split for the check.

        Args:
            labels: the network's; masks count where the data set has the same classes.
        """
        split = "val" if dataset.splits.get("val") else "train"
        training = dataset.splits.get("train") or dataset.split(split)
        same = dataset.labels.names == labels.names
        return cls(
            [partial(read_image, item.image, dataset.bands) for item in evenly_spaced(training, MOST_CALIBRATION)],
            [
                partial(_labelled, dataset, item, same_classes=same)
                for item in evenly_spaced(dataset.split(split), MOST_CHECKS)
            ],
            "validation picture" if split == "val" else "training picture",
        )

    def checks(self) -> Iterator[Check]:
        """Yield cuts of odd sizes out of the first picture, then whole pictures."""
        first = self.check_images[0]().image
        yield from (Check(cut(first, size), kind=self.kind, is_cut=True) for size in ODD_SIZES)
        for load in self.check_images:
            yield replace(load(), kind=self.kind)

    @property
    def count(self) -> int:
        """The number of checks."""
        return len(self.check_images) + len(ODD_SIZES)


def find_check_images(source: Path | None, model_file: ModelFile, *, format: str | None = None) -> CheckImages:
    """Find the pictures for an export.

    Args:
        source: a picture, or a folder with pictures in it, is taken as it is, whatever lies below it included; anything
            else is a data set, split as the network's recipe splits; None takes generated streets.
        format: the data set's, which makes a data set of any folder; None recognises it.

    Raises:
        DataError: there is nothing at `source`, or no data set.
    """
    if source is None:
        return CheckImages.from_scenes()
    if format is None and _holds_pictures(source):
        return CheckImages.from_pictures([picture.source for picture in find_pictures([source])], model_file.bands)
    return CheckImages.from_dataset(open_as_trained(model_file, source, format=format), model_file.labels)


def _holds_pictures(path: Path) -> bool:
    """Tell whether a path is a file, or a folder that has pictures in it and not only below it."""
    if path.is_file():
        return True
    return path.is_dir() and any(p.suffix.lower() in IMAGE_SUFFIXES for p in path.iterdir())


def cut(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Cut a part (height, width) out of the middle; smaller pictures are repeated to that size."""
    height, width = size
    rows, columns = (-(-want // have) for want, have in zip(size, image.shape, strict=False))
    image = np.tile(image, (rows, columns, 1))
    top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
    return image[top : top + height, left : left + width]


def _scene(seed: int) -> NDArray[np.uint8]:
    return render_scene(seed).image


def _unlabelled(load: ImageLoader) -> Check:
    return Check(load())


def _labelled(dataset: Dataset, item: Item, *, same_classes: bool) -> Check:
    sample = dataset.load(item)
    return Check(sample.image, sample.mask if same_classes else None)
