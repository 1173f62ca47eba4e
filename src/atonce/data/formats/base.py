"""The interface of a data format: it knows one published layout, recognises it and opens it as a `Dataset`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from atonce.data.dataset import Dataset, Item
from atonce.data.images import Problem
from atonce.data.mask_sources import Annotation
from atonce.data.open_options import OpenOptions
from atonce.errors import DataError


class DatasetFormat(Protocol):
    """One layout of a data set on disk.

    A new annotation format is one file in this folder: a class that follows this interface. It gets one line in
    `_FORMATS` (__init__.py), which is the order of recognition, and one tree of files in `HEALTHY` of
    tests/data/trees.py, with which the contract test (tests/data/formats/test_format_contract.py) holds it to all that
    every format promises.

    Attributes:
        name: as users write it for `format`.
        layout: one line that describes the layout, for the message when nothing was recognised.
        options: names of the `OpenOptions` that only some layouts know and this one does.
    """

    name: str
    layout: str
    options: frozenset[str] = frozenset({"classes"})

    def find(self, root: Path) -> Path | None:
        """Recognise the layout: return the data set's own root, which is `root` or a folder below it that the layout
        names; None if it is another layout."""

    def find_deep(self, root: Path) -> Path | None:
        """Find the layout where recognition does not look, for a user who asks for the format by its name."""
        return None

    def fits(self, root: Path) -> bool:
        """Tell whether a root that `find` returned is recognised as this format by what it holds; where it is not, the
        user can still ask for the format by its name."""
        return True

    def open(self, root: Path, options: OpenOptions) -> Dataset:
        """List the items of a root that `find` returned.

        Void becomes 255, no sample is dropped silently, and what is wrong with single files goes into
        `Dataset.problems`.

        Raises:
            DataError: there is nothing to open as this layout.
        """


def mask_files(splits: Mapping[str, Iterable[Item]]) -> list[Path]:
    """List the masks of all splits that are picture files."""
    return [item.mask for items in splits.values() for item in items if isinstance(item.mask, Path)]


def require_annotations(
    root: Path, annotations: Sequence[Annotation], problems: Sequence[Problem], expected: str
) -> None:
    """Raise a DataError where no annotation of a data set can be used, with what is wrong with the first one."""
    if annotations:
        return
    wrong = [problem for problem in problems if problem.severity == "error"]
    if not wrong:
        raise DataError(f"{root} holds no annotated pictures", expected)
    first = wrong[0]
    more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
    raise DataError(f"{first.path} {first.found}{more}", first.expected, first.remedy)


def annotations_of(splits: Mapping[str, Iterable[Item]]) -> list[Annotation]:
    """List the masks of all splits that are annotations."""
    return [item.mask for items in splits.values() for item in items if isinstance(item.mask, Annotation)]
