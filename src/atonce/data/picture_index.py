"""Finding the files of annotation tools, and the pictures that they are about."""

from __future__ import annotations

import json
import mmap
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote

from atonce.data.images import IMAGE_SUFFIXES
from atonce.data.pairing import files_below, is_file, sample_name
from atonce.data.splits import SPLITS, split_called
from atonce.errors import DataError

_DEPTH = 2
"""Folders below the root in which the files of annotations are looked for, to recognise a layout."""

MOST_TRIED = 100
"""Files that are looked into to recognise a layout."""

MISSHAPEN = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError)
"""The exceptions that come of reading JSON or YAML as what it is not: infinity for an id, a list for a name."""

_USUAL = frozenset({
    "annotations", "annotation", "labels", "label", "json", "jsons", "images", "image", "imgs", "img", "jpegimages",
    "masks", "mask", "pngs", "brush", "data", "default",
})  # fmt: skip
"""Names, in lower case, of the folders that are looked into for it, beside those called after splits: a folder of many
data sets is none itself."""


def entries_in(folder: Path) -> list[Path]:
    """List what is in a folder, sorted, without hidden files; nothing where it cannot be listed."""
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError:
        return []


def usual_files(root: Path, suffix: str, depth: int = _DEPTH) -> Iterator[Path]:
    """Yield the files of a type (".json") in a folder, and in the folders below it that annotation tools fill."""
    paths = entries_in(root)
    yield from (path for path in paths if path.suffix.lower() == suffix and path.is_file())
    for path in paths if depth > 0 else ():
        name = path.name.lower()
        if (name in _USUAL or split_called(name) or name.endswith("_json")) and path.is_dir():
            yield from usual_files(path, suffix, depth - 1)


def annotation_files(root: Path, suffix: str) -> Iterator[Path]:
    """Yield the files of a type (".json") anywhere below a folder, sorted by folder, without hidden ones.

    A pipe of such a name is none: whoever opened it would wait for ever.
    """
    return (path for path in files_below(root) if path.suffix.lower() == suffix and is_file(path))


def holds_all(path: Path, words: Iterable[bytes]) -> bool:
    """Tell whether a file holds all of some words; it is not read into memory, and a large one not parsed."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return all(content.find(word) >= 0 for word in words)
    except (OSError, ValueError):  # ValueError: an empty file
        return False


def reason_of(error: Exception) -> str:
    """Say why a file cannot be understood: in the words of who refused a value, or else with Python's name for it."""
    said = " ".join(str(error).split())
    return said if isinstance(error, ValueError) and said else f"{type(error).__name__}: {said}"


def read_json(path: Path, expected: str) -> Any:
    """Read a JSON file. Raises DataError: it cannot be read, or is no JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:  # ValueError: no text, no JSON, a number of 4301 digits
        raise DataError(f"{path} cannot be read ({error})", expected, "export it again") from None


def split_of(path: Path, root: Path) -> str:
    """The split that a folder on the way from the root to a file is called after; "" where there is none."""
    folders = path.relative_to(root).parts[:-1]
    return next((split for folder in folders if (split := split_called(folder))), "")


def split_in_name(name: str) -> str:
    """The split that a word in a name says ("instances_train2017" is of "train"); "" where there is none."""
    words = "".join(character if character.isalpha() else " " for character in name.lower()).split()
    return next((split for split, names in SPLITS.items() if any(word in names for word in words)), "")


def item_name(path: str) -> str:
    """Make the name of an item of the relative path of its picture, which may come from any machine."""
    posix = PurePosixPath(path.replace("\\", "/"))
    if posix.is_absolute() or ".." in posix.parts or ":" in path:
        posix = PurePosixPath(posix.name)
    return sample_name(posix.with_suffix("").as_posix())


class PictureIndex:
    """The pictures below a folder, found by the ends of their paths.

    Args:
        root: the folder.
        without: files that are no pictures of the data set (masks beside them).

    Attributes:
        paths: all pictures, sorted.
    """

    def __init__(self, root: Path, without: Iterable[Path] = ()) -> None:
        excluded = set(without)
        self.root = root
        self.paths = [
            path for path in files_below(root) if path.suffix.lower() in IMAGE_SUFFIXES and path not in excluded
        ]
        self._by_name: dict[str, list[Path]] = {}
        for path in self.paths:
            self._by_name.setdefault(path.name, []).append(path)

    def find(self, name: str, near: Iterable[Path] = ()) -> Path | None:
        """Find the picture that an annotation names.

        Args:
            name: a file name, a path of any machine, or a URL.
            near: folders in which the name, as a relative path, is looked for first.

        Returns:
            The picture; of several whose paths end alike the one that agrees longest; None where there is none, or
            where two agree alike.
        """
        path = name.replace("\\", "/")
        posix = PurePosixPath(unquote(path.partition("://")[2]) if "://" in path else path)
        relative = posix.as_posix().lstrip("/")
        for folder in near:
            if is_file(folder / relative):
                return folder / relative
        agreeing = [(_common_end(found.parts, posix.parts), found) for found in self._by_name.get(posix.name, [])]
        longest = max((length for length, _ in agreeing), default=0)
        best = [found for length, found in agreeing if length == longest]
        return best[0] if len(best) == 1 else None

    def rest(self, taken: Iterable[Path]) -> list[Path]:
        """The pictures that are none of those taken, in the folders in which these lie."""
        used = set(taken)
        folders = {path.parent for path in used}
        return [path for path in self.paths if path not in used and path.parent in folders]


def _common_end(one: tuple[str, ...], other: tuple[str, ...]) -> int:
    length = 0
    while length < min(len(one), len(other)) and one[-1 - length] == other[-1 - length]:
        length += 1
    return length
