"""Earlier evaluations in a folder: they are replaced, and nothing else is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from atonce.storage import refuse_foreign
from atonce.untrusted_files import read_beginning, read_json, require_in_place


def require_own_evaluation(folder: Path) -> None:
    """Refuse a folder where an evaluation would be written over the files of something else.

    Raises:
        DataError: a file of one of its names is there, and no evaluation has written it; so is a training's report.
        StorageError: the folder of the pictures is a link, which leads elsewhere.
    """
    require_in_place(folder / "gallery")
    for name, is_ours in _FILES.items():
        refuse_foreign(folder / name, is_ours)


def _holds(*keys: str) -> Callable[[Path], bool]:
    """A test whether a file is JSON, a mapping with these keys or a list of such ones."""

    def is_ours(path: Path) -> bool:
        data: Any = read_json(path)
        rows = data if isinstance(data, list) else [data]
        return all(isinstance(row, Mapping) and set(keys) <= set(row) for row in rows)

    return is_ours


def _begins(*columns: str) -> Callable[[Path], bool]:
    """A test whether a file is a table with these columns; an empty one is that of no pictures."""

    def is_ours(path: Path) -> bool:
        header = read_beginning(path, 4096).partition(b"\n")[0].decode().strip()
        return not header or set(columns) <= set(header.split(","))

    return is_ours


def _is_report(path: Path) -> bool:
    return " · atonce evaluation</title>".encode() in read_beginning(path, 4096)


_FILES: Mapping[str, Callable[[Path], bool]] = {
    "evaluation.json": _holds("classes", "pictures", "mean_iou", "pixel_accuracy"),
    "classes.csv": _begins("name", "iou", "pixels"),
    "pictures.csv": _begins("name", "mean_iou", "pixel_accuracy"),
    "gallery.json": _holds("name", "rank", "picture"),
    "run.json": _holds("atonce", "model", "split"),
    "report.html": _is_report,
}
"""The files of an evaluation -> a test whether one that is there is an evaluation's."""

EVALUATION_FILES = tuple(_FILES)
"""The names of the files of an evaluation."""
