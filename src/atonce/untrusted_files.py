"""Files of a folder that may be a stranger's: a run that was sent, an archive that was unpacked.

One that is read has to be an ordinary file (a pipe is waited for, a device never ends) of bounded size; its JSON and
CSV are plain data or a ValueError. One that is written to in place has to be an ordinary file of that folder: what a
link leads to lies elsewhere, and is somebody's.
"""

from __future__ import annotations

import csv
import errno
import io
import json
import math
import os
import re
import stat
from pathlib import Path
from typing import Any

from atonce.errors import StorageError

LARGEST = 256 << 20
"""Bytes of a file that is read in one piece; a table of the scores of 100,000 pictures has 50 MB."""

LARGEST_LIST = 1 << 30
"""The same of a file with an entry a step or the annotations of all pictures of a folder."""

_AT_ONCE = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
"""Flags of an opening that does not wait until somebody opens the other end of a pipe."""

_PERHAPS_INFINITE = re.compile(r"[0-9]{309}|[eE]\+?[0-9]{3}")


def is_ordinary(path: Path) -> bool:
    """Tell whether there is an ordinary file, perhaps by way of links: no folder, pipe, socket or device."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except (OSError, ValueError):  # ValueError: a name that no file can have
        return False


def read_bytes(path: Path, most: int = LARGEST) -> bytes:
    """Read a file.

    Args:
        most: bytes that it may have.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no ordinary file, or has more bytes.
    """
    content = read_beginning(path, most + 1)
    if len(content) > most:
        raise ValueError(f"it has more than {most:,} bytes")
    return content


def read_beginning(path: Path, count: int) -> bytes:
    """Read the first bytes of a file, all of them where it is no longer. Raises OSError; ValueError: it is no file."""
    descriptor = os.open(path, os.O_RDONLY | _AT_ONCE)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)  # of a folder, say, which Python opens no file for
        raise ValueError("it is no ordinary file")
    with os.fdopen(descriptor, "rb") as file:
        return file.read(count)


def read_text(path: Path, most: int = LARGEST) -> str:
    """Read a file of UTF-8, with its line ends as `Path.read_text` gives them. Raises what `read_bytes` does, and
    ValueError: it is not UTF-8."""
    return read_bytes(path, most).decode("utf-8").replace("\r\n", "\n").replace("\r", "\n")


def parse_json(text: str | bytes) -> Any:
    """Parse JSON; numbers that no finite float can hold are None, as in what is written here.

    Raises:
        ValueError: no JSON, or brackets nested a thousand deep.
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8")
    # Python calls a function for each number then, which takes ten times as long.
    numbers: Any = {"parse_int": _finite_int, "parse_float": _finite_float} if _PERHAPS_INFINITE.search(text) else {}
    try:
        return json.loads(text, parse_constant=lambda _: None, **numbers)
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def _finite_float(text: str) -> float | None:
    value = float(text)
    return value if math.isfinite(value) else None


def _finite_int(text: str) -> int | None:
    return int(text) if _finite_float(text) is not None else None


def read_json(path: Path, most: int = LARGEST) -> Any:
    """Read a JSON file. Raises what `read_text` and `parse_json` do: OSError, ValueError."""
    return parse_json(read_text(path, most))


def parse_table(text: str) -> tuple[list[str], list[dict[Any, Any]]]:
    """Parse CSV whose first line names the columns; returns these and the rows.

    Rows are as `csv.DictReader` makes them: what is beyond the columns has the key None, what is missing is None.

    Raises:
        ValueError: a cell that is longer than any that is written here.
    """
    reader = csv.DictReader(io.StringIO(text, newline=""))
    try:
        rows = list(reader)
        return list(reader.fieldnames or ()), rows
    except csv.Error as error:
        raise ValueError(f"line {reader.line_num}: {error}") from None


def read_table(path: Path, most: int = LARGEST) -> tuple[list[str], list[dict[Any, Any]]]:
    """Read a CSV file. Raises what `read_bytes` and `parse_table` do: OSError, ValueError."""
    return parse_table(read_bytes(path, most).decode("utf-8"))


def open_in_place(path: Path, flags: int) -> int:
    """Open a file to be written to where it is, or make it; returns its descriptor.

    Args:
        flags: those of `os.open` beyond O_CREAT: O_RDWR, O_WRONLY | O_APPEND.

    Raises:
        StorageError: it is a link, or no ordinary file.
        OSError: it cannot be opened.
    """
    if path.is_symlink():
        raise _no_file_of_its_folder(path, "a link")
    try:
        descriptor = os.open(path, flags | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | _AT_ONCE, 0o666)
    except OSError as error:
        # ELOOP: a link that was put there meanwhile. ENXIO: a pipe that nobody reads.
        if error.errno not in (errno.ELOOP, errno.ENXIO):
            raise
        raise _no_file_of_its_folder(path, "no ordinary file") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise _no_file_of_its_folder(path, "no ordinary file")
    return descriptor


def require_in_place(*paths: Path) -> None:
    """Require that files which are to be written in place, and folders that files are to be written into, are no links
    and no pipes, before hours of work end there; what is missing is made later.

    Raises:
        StorageError: one is; the message names it.
    """
    for path in paths:
        if path.is_symlink():
            raise _no_file_of_its_folder(path, "a link")
        if path.exists() and not path.is_dir() and not is_ordinary(path):
            raise _no_file_of_its_folder(path, "no ordinary file")


def _no_file_of_its_folder(path: Path, what: str) -> StorageError:
    return StorageError(f"{path} is {what}", "a file or folder of its own there", "remove it, or put a copy there")
