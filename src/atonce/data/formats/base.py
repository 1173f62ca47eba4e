"""What a data format is: it knows one published layout, recognises it and opens it as a `Dataset`."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from atonce.data.dataset import Dataset
from atonce.data.open_options import OpenOptions


class DatasetFormat(Protocol):
    """One layout.

    Attributes:
        name: as users write it for `format`.
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
