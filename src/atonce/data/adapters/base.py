"""What an adapter is: it knows one published layout, recognises it and opens it as a `Dataset`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from atonce.data.samples import Dataset

GroundTruth = Literal["road", "lane"]


@dataclass(frozen=True)
class OpenOptions:
    """What a user may choose when a data set is opened.

    Attributes:
        ground_truth: KITTI road only: all of the road, or the lane that the car is in. None: the adapter's own.
        seed: which split is made, where the data set brings none of its own.
        val_fraction: share of the pictures that such a split puts into "val"; between 0 and 1, exclusive.
    """

    ground_truth: GroundTruth | None = None
    seed: int = 0
    val_fraction: float = 0.2


class Adapter(Protocol):
    """One layout.

    Attributes:
        name: as users write it in `--format`.
        layout: one line that describes the layout, for the message when nothing was recognised.
        options: names of the `OpenOptions` that only some layouts know and this one does.
    """

    name: str
    layout: str
    options: frozenset[str]

    def find(self, root: Path) -> Path | None:
        """The data set's own root: `root` or a folder below it that the layout names; None: not this layout."""

    def open(self, root: Path, options: OpenOptions) -> Dataset:
        """Open a root that `find` returned. Raises DataError when it cannot be made sense of."""
