"""The data contract: every data set, whatever its layout, becomes a `Dataset` of `Item`s that load as `Sample`s."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atonce.data.images import Bands, FileError, Problem, is_turned, open_image, read_image
from atonce.data.mask_sources import Annotation, MaskSource
from atonce.errors import DataError, WeightsError
from atonce.labels import LabelSpec
from atonce.text import count_of, listing

__all__ = [
    "Annotation",
    "Dataset",
    "FileError",
    "Item",
    "MaskReader",
    "MaskSource",
    "Problem",
    "Sample",
    "require_same_classes",
    "require_same_size",
]

MaskReader = Callable[[Any], NDArray[np.uint8]]
"""The function that reads an item's mask into ids, uint8 (H, W), void 255. Raises FileError: unreadable, unknown value.

It takes what the items of its data set have as mask: a `Path` where masks are picture files, an `Annotation` where they
are shapes. A plain object that can be pickled, not a closure: loader workers may be spawned.
"""


@dataclass(frozen=True)
class Item:
    """One picture on disk and its mask (None where a split has no ground truth).

    Attributes:
        name: unique within the data set's split, usable as a file stem ("um_000003").
        mask: a picture file, or the annotation of a tool.
        group: stratum or category ("um", "umm", "uu" in KITTI road; "" where there is none).
    """

    name: str
    image: Path
    mask: MaskSource | None = None
    group: str = ""

    @property
    def mask_file(self) -> Path | None:
        """The file that holds the mask: itself a picture, or the one that holds the annotation; None without a mask."""
        return self.mask.path if isinstance(self.mask, Annotation) else self.mask

    @property
    def named_mask(self) -> Path | None:
        """The file to name where one mask among others is meant: the mask, or the picture of an annotation, since one
        file may hold those of many pictures (COCO); None without a mask."""
        return self.image if isinstance(self.mask, Annotation) else self.mask


@dataclass(frozen=True)
class Sample:
    """A decoded item.

    Attributes:
        image: uint8 (H, W, 3) RGB.
        mask: uint8 (H, W) ids with 255 void; None where there is no ground truth.
        name: that of the item.
    """

    image: NDArray[np.uint8]
    mask: NDArray[np.uint8] | None
    name: str


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """A data set on disk: its classes, its splits, and how its masks are read.

    A format's `open` makes one from directory listings and lists; only the folder format reads some masks, where
    nothing else tells what their values stand for.

    Attributes:
        format: the format's name ("camvid", "kitti-road", "folder", ...).
        root: the folder that was recognised: the one given, or the one just below it.
        labels: names and colours of the classes.
        splits: "train", "val" and, where there is one, "test"; each sorted by name, no sample dropped.
        read_mask: translates this data set's convention into ids with 255 as void.
        problems: what opening already found wrong (unpaired files, files that are listed but missing, ...).
        notes: what a reader of the results should know ("split made here with seed 0", ...).
        bands: the bands of the pictures that are read, counted from 1; None for the first three.
        extras: the same for machines, to be kept in the model file: "split_seed", "split_val_fraction",
            "split_val" (JSON list of names), "ground_truth".
    """

    format: str
    root: Path
    labels: LabelSpec
    splits: Mapping[str, tuple[Item, ...]]
    read_mask: MaskReader
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()
    extras: Mapping[str, str] = field(default_factory=dict)
    bands: Bands | None = None

    def __repr__(self) -> str:
        return f"<Dataset {self}>"

    def __str__(self) -> str:
        """The data set in one line: "kitti-road in data_road: 231 train, 58 val, 290 test"."""
        splits = ", ".join(f"{len(items)} {name}" for name, items in self.splits.items() if items) or "no pictures"
        return f"{self.format} in {self.root.resolve()}: {splits}"

    def split(self, name: str) -> tuple[Item, ...]:
        """Return the items of a split. Raises DataError: the data set has no such split, or it is empty."""
        items = self.splits.get(name, ())
        if not items:
            have = ", ".join(f"{k} ({len(v)})" for k, v in self.splits.items() if v) or "none"
            raise DataError(f"{self.root}: no pictures in split '{name}'", f"one of: {have}", "see `atonce doctor`")
        return items

    def load(self, item: Item) -> Sample:
        """Decode one item. Raises FileError: unreadable, mask and picture of different size, unknown values."""
        image = read_image(item.image, self.bands)
        if item.mask is None:
            return Sample(image, None, item.name)
        mask = self.read_mask(item.mask)
        require_same_size(item, image, mask)
        return Sample(image, mask, item.name)


def require_same_size(item: Item, image: NDArray[np.uint8], mask: NDArray[np.uint8]) -> None:
    """Require the mask (H, W) to be of the size of its picture (H, W, 3). Raises FileError."""
    assert item.mask_file is not None
    (height, width), (mask_height, mask_width) = image.shape[:2], mask.shape
    if (height, width) == (mask_height, mask_width):
        return
    remedy = "export the mask again at the picture's size (nearest neighbour, never interpolated)"
    if (height, width) == (mask_width, mask_height) and is_turned(open_image(item.image)):
        remedy = "the picture has an EXIF orientation that the mask was drawn without: save the picture upright"
    raise FileError(
        Problem(
            "size",
            item.mask_file,
            f"is {mask_width}x{mask_height}",
            f"the size of its picture {item.image.name}, {width}x{height}",
            remedy=remedy,
        )
    )


def require_same_classes(labels: LabelSpec, dataset: Dataset, who: str = "the model") -> None:
    """Raise WeightsError when a network's classes are not those of the data, in their order."""
    if labels.names != dataset.labels.names:
        raise WeightsError(
            f"{who} knows {count_of(labels.num_classes, 'class', 'classes')} ({listing(labels.names, 4)})",
            f"those of {dataset.root}: {dataset.labels.num_classes} ({listing(dataset.labels.names, 4)})",
            "use a model that was trained on data with these classes",
        )
