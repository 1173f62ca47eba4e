"""The options of `open_dataset`, as they are handed to a format."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from atonce.data.images import Bands

GroundTruth = Literal["road", "lane"]


@dataclass(frozen=True)
class OpenOptions:
    """The choices that a user has when a data set is opened.

    Attributes:
        ground_truth: KITTI road only: "road" or "lane", the lane that the car is in. None: the format's own.
        seed: which split is made, where the data set brings none of its own.
        bands: the bands of the pictures that are read, counted from 1: three as red, green and blue, or one as grey.
            None: the first three.
        classes: a classes file elsewhere than in the root, for layouts that read one.
        val_fraction: share of the pictures that such a split puts into "val"; between 0 and 1, exclusive.
        format: the name of the format that the user asks for; None: it was recognised.
        images, masks: the folders of pictures and masks that the user names; both or neither.
    """

    ground_truth: GroundTruth | None = None
    seed: int = 0
    val_fraction: float = 0.2
    format: str | None = None
    images: Path | None = None
    masks: Path | None = None
    bands: Bands | None = None
    classes: Path | None = None
