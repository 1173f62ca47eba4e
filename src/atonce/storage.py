"""Writing files so that a reader, a crash or a full disk never meets half of one; what JSON cannot say; digests."""

from __future__ import annotations

import errno
import hashlib
import math
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, SupportsFloat

from safetensors import SafetensorError

from atonce.errors import DataError, StorageError

_REMEDIES = {
    errno.ENOSPC: "free some space or choose another folder",
    errno.EDQUOT: "free some space or choose another folder",
    errno.EROFS: "choose a folder that can be written",
    errno.EACCES: "choose a folder that you may write",
    errno.EPERM: "choose a folder that you may write",
    errno.ENOTDIR: "choose a folder, not a file",
    errno.EEXIST: "choose a folder, not a file",
}


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn what the system says when `path` cannot be written into a StorageError."""
    try:
        yield
    except OSError as error:
        remedy = _REMEDIES.get(error.errno or 0, "check the disk")
        raise StorageError(f"cannot write {path}: {error.strerror or error}", remedy=remedy) from error
    except SafetensorError as error:
        if "I/O" not in str(error) and "os error" not in str(error):
            raise
        raise StorageError(f"cannot write {path}: {error}", remedy="free some space or check the folder") from error


def make_folder(path: Path) -> Path:
    """Create a folder and its parents. Raises StorageError."""
    with storage_errors(path):
        path.mkdir(parents=True, exist_ok=True)
    return path


def refuse_existing(path: Path) -> None:
    """Refuse to write a file that is there already: what a person wrote is never overwritten.

    Raises:
        DataError: there is something at `path`.
    """
    if path.exists():
        raise DataError(f"{path} is there already", "a new file to write", "move it away, or choose another name")


def refuse_foreign(path: Path, is_ours: Callable[[Path], bool]) -> None:
    """Refuse to write over a file that something else has made; an earlier one of the same kind is replaced.

    Args:
        is_ours: tells whether the file that is there was made by what is about to write it.

    Raises:
        DataError: there is something else at `path`.
    """
    try:
        foreign = path.exists() and not is_ours(path)
    except (OSError, ValueError):
        foreign = True
    if foreign:
        raise DataError(
            f"{path} is there already, and not an earlier one of ours",
            "a new file to write",
            "move it away, or choose another name",
        )


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Call `write` with a temporary path beside `path`, flush it to the disk, then rename it over `path`.

    Raises StorageError; then `path` is as it was before and the temporary file is gone.
    """
    # The process id keeps two writers apart; the suffix stays, since libraries choose formats by it. A stem that
    # is as long as file systems allow leaves no room for both.
    temporary = path.with_name(f".{path.stem[:40]}.{os.getpid()}.tmp{path.suffix}")
    with storage_errors(path):
        try:
            # An ordinary file's mode, by the user's umask: safetensors writes files that only their owner can read.
            temporary.touch()
            mode = temporary.stat().st_mode & 0o777
            write(temporary)
            temporary.chmod(mode)
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise


def remove_temporaries(folder: Path) -> None:
    """Remove what writers that were killed left behind; nobody else may be writing there. Raises StorageError."""
    with storage_errors(folder):
        for path in folder.glob(".*.tmp.*"):
            path.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically. Raises StorageError."""
    write_atomically(path, lambda temporary: temporary.write_text(text, "utf-8"))


def nan_to_none(data: Any) -> Any:
    """Numbers, and mappings and lists of them at any depth, for JSON, which knows neither NaN nor infinity."""
    if isinstance(data, Mapping):
        return {key: nan_to_none(value) for key, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [nan_to_none(value) for value in data]
    if isinstance(data, (str, bool, int)) or not isinstance(data, SupportsFloat):
        return data
    return float(data) if math.isfinite(data) else None


def none_to_nan(value: object) -> float:
    """A number as it was before `nan_to_none`; NaN for whatever is none: None, an empty cell, a word."""
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return math.nan


def sha256_of(path: Path) -> str:
    """Hexadecimal digest of a file. Raises StorageError when it cannot be read."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise StorageError(f"{path} cannot be read: {error.strerror}", "a file that can be read") from None
    return digest.hexdigest()
