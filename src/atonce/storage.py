"""Writing files so that a reader, a crash or a full disk never meets half of one; what JSON cannot say; digests."""

from __future__ import annotations

import errno
import hashlib
import math
import os
import re
import shutil
import time
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, SupportsFloat

from safetensors import SafetensorError, safe_open

from atonce.errors import DataError, StorageError, option
from atonce.processes import ProcessIdentity
from atonce.text import distinct_names

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

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


def wait_for_others(file: IO[Any]) -> None:
    """Wait until no other process of this machine holds an open file, and hold it until it is closed: of several
    processes that want to fetch the same, one does."""
    if fcntl is not None:
        with suppress(OSError):  # file systems without locks
            fcntl.flock(file, fcntl.LOCK_EX)


def user_cache() -> Path:
    """Return the folder for what can be fetched or measured again: ATONCE_CACHE, or atonce in the user's cache."""
    chosen = os.environ.get("ATONCE_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "atonce"


def make_folder(path: Path) -> Path:
    """Create a folder and its parents. Raises StorageError."""
    with storage_errors(path):
        path.mkdir(parents=True, exist_ok=True)
    return path


def file_stem(name: str, limit: int = 180) -> str:
    """Make a name that a file can have: without folders, of at most `limit` bytes.

    A name that is one already stays as it is; another one ends in a digest, so that no two become the same.
    """
    plain = re.sub(r'[/\\\0:*?"<>|]', "_", name)
    if plain == name and len(os.fsencode(name)) <= limit and name.strip("."):
        return name
    digest = hashlib.sha256(os.fsencode(name)).hexdigest()[:8]
    return f"{_cut(plain, limit - 9)}-{digest}"


def distinct_folder_names(names: Sequence[str], limit: int = 180) -> list[str]:
    """Make names that folders can have, all different, where upper and lower case are one, too (macOS, Windows).

    What is a folder's name already, and no other's, stays as it is; of the others the number is added.

    Args:
        limit: bytes of a name.

    Returns:
        A name for each, in their order; the same for the same names.
    """
    plain = [_cut(re.sub(r"[^\w .-]|^[. ]+|[. ]+$", "_", name), limit) for name in names]
    return distinct_names(plain, case_insensitive)


def case_insensitive(name: str) -> str:
    """Return what file systems compare of a name that hold upper and lower case, composed and decomposed, for one."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", name).casefold())


def _cut(name: str, limit: int) -> str:
    """Cut a name to so many bytes, not within a character."""
    while len(os.fsencode(name)) > limit:
        name = name[:-1]
    return name


def refuse_existing(path: Path) -> None:
    """Refuse to write a file that is there already: what a person wrote is never overwritten.

    Raises:
        DataError: there is something at `path`.
    """
    if path.exists() or path.is_symlink():  # a link to what is not there is what a person made, too
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


def refuse_inputs(targets: Iterable[Path], inputs: Iterable[Path], remedy: str | None = None) -> None:
    """Refuse to write over a file that is read, whatever name or link leads to it: it would be lost.

    Args:
        targets: the files to be written, all of them before the first one is.
        inputs: the files that they are made from.
        remedy: what to do; None names the option `out`.

    Raises:
        DataError: one of the targets is one of the inputs.
    """
    read: dict[tuple[int, int], Path] = {}
    for path in inputs:
        with suppress(OSError):  # whoever reads it says so
            state = path.stat()
            read[state.st_dev, state.st_ino] = path
    for target in targets:
        try:
            state = target.stat()
        except OSError:
            continue
        if source := read.get((state.st_dev, state.st_ino)):
            same = "" if source == target else f", {source}"
            raise DataError(
                f"{target} is to be written, and is an input itself{same}",
                "results apart from what they are made from",
                f"choose another {option('out')}" if remedy is None else remedy,
            )


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Call `write` with a temporary path beside `path`, flush it to the disk, then rename it over `path`.

    Raises StorageError; then `path` is as it was before and the temporary file is gone.
    """
    temporary = temporary_path(path)
    with storage_errors(path):
        try:
            _remove_dead_once(path.parent)
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


@contextmanager
def temporary_folder(path: Path) -> Iterator[Path]:
    """Make a folder beside `path`, for files that are renamed to where they belong; it is removed at the end.

    Raises StorageError.
    """
    folder = path.with_name(f".{short_stem(path.stem)}.{ProcessIdentity.current()}.tmp.folder")
    with storage_errors(path):
        _remove_dead_once(path.parent)
        folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def allocate(path: Path, size: int) -> None:
    """Make a file `size` bytes long, all of them on the disk.

    A file that is written through memory has to be: where the disk is full, a page without a block under it kills the
    process (SIGBUS), and no error can be caught.

    Raises OSError: the disk is full.
    """
    with path.open("ab") as file:
        missing = size - file.tell()
        if missing <= 0:
            return
        try:
            os.posix_fallocate(file.fileno(), file.tell(), missing)
        except AttributeError:
            written = False  # not a POSIX system, or macOS
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
                raise
            written = False  # not on this file system
        else:
            written = True
        if not written:
            block = bytes(1 << 20)
            while missing > 0:
                missing -= file.write(block[: min(missing, len(block))])


_TEMPORARY = re.compile(r"\.(?P<stem>.*)\.(?P<owner>\d+(?:-[0-9a-f]+-[0-9a-f]+)?)\.tmp(?:\.[^.]*)?", re.DOTALL)
_LIBRARY_TEMPORARY = re.compile(r"\.tmp[A-Za-z0-9]{6}")
"""The name that the library of safetensors gives to what it is writing."""

_FOREIGN_LIFETIME = 24 * 3600
"""Seconds without a change after which a temporary file of another machine counts as that of a dead process."""


def temporary_path(path: Path) -> Path:
    """Return the path beside `path` under which this process writes what `path` is to be: .STEM.PROCESS.tmp.SUFFIX.

    The process keeps two writers apart and tells the next one whether this one still lives. The suffix stays, since
    libraries choose formats by it. A stem that is as long as file systems allow leaves no room for both.
    """
    return path.with_name(f".{short_stem(path.stem)}.{ProcessIdentity.current()}.tmp{path.suffix}")


def short_stem(stem: str) -> str:
    """Shorten a stem for a temporary name: two files of a folder may be written at once, and keep apart."""
    if len(stem) <= 40:
        return stem
    return f"{stem[:31]}-{hashlib.sha256(os.fsencode(stem)).hexdigest()[:8]}"


def temporary_stem(path: Path) -> str | None:
    """Return the `short_stem` of the file that a temporary one was to be; None where it is no such file."""
    match = _TEMPORARY.fullmatch(path.name)
    return match["stem"] if match else None


def is_abandoned(path: Path) -> bool:
    """Tell whether whoever wrote a temporary file or folder is dead.

    Of a process of another machine nobody here can tell; it counts as dead when it has written nothing for a day.
    """
    match = _TEMPORARY.fullmatch(path.name)
    if not match:
        return False
    owner = ProcessIdentity.parse(match["owner"])
    if owner is None:  # the first edition gave a number alone
        return True
    if owner.is_here:
        return not owner.is_alive
    try:
        return time.time() - path.stat().st_mtime > _FOREIGN_LIFETIME
    except OSError:
        return False


def remove_temporaries(folder: Path) -> None:
    """Remove what writers that were killed left behind; nobody else may be writing there. Raises StorageError."""
    with storage_errors(folder):
        for path in folder.iterdir() if folder.is_dir() else ():
            if _TEMPORARY.fullmatch(path.name) or _LIBRARY_TEMPORARY.fullmatch(path.name):
                remove_file_or_folder(path)


def remove_file_or_folder(path: Path) -> None:
    """Remove a file, a link or a whole folder; it is no error if it is not there. Raises OSError."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


_cleared: set[Path] = set()
"""Folders in which this process has looked for what dead ones left."""


def _remove_dead_once(folder: Path) -> None:
    """Remove what dead processes left in a folder, before this one first writes there; those that live may go on."""
    folder = folder.absolute()
    if folder in _cleared:
        return
    _cleared.add(folder)
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            # Names of the first edition are left to those who know what they are about: a stranger's file may be so
            # called.
            match = _TEMPORARY.fullmatch(entry.name)
            if match and ProcessIdentity.parse(match["owner"]) and is_abandoned(Path(entry.path)):
                with suppress(OSError):
                    remove_file_or_folder(Path(entry.path))


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically; bytes of file names that are none become \\xe9. Raises StorageError."""
    write_atomically(path, lambda temporary: temporary.write_text(text, "utf-8", "backslashreplace"))


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
    except (TypeError, ValueError, OverflowError):
        return math.nan


@contextmanager
def open_tensors(path: Path, framework: str = "pt") -> Iterator[Any]:
    """Open a safetensors file, whatever bytes its name has: the library takes names in UTF-8 alone.

    Args:
        framework: "pt" for tensors of torch, "np" for arrays.

    Raises:
        SafetensorError, OSError: it is none, or cannot be read.
    """
    try:
        str(path).encode()
    except UnicodeEncodeError:
        # The system has another name for a file that is open. Windows has no such names.
        with path.open("rb") as file, safe_open(f"/dev/fd/{file.fileno()}", framework) as tensors:
            yield tensors
    else:
        with safe_open(path, framework) as tensors:
            yield tensors


def sha256_of(*paths: Path) -> str:
    """Hexadecimal digest of a file, or of several one after the other. Raises StorageError when one cannot be read."""
    digest = hashlib.sha256()
    for path in paths:
        try:
            with path.open("rb") as file:
                while block := file.read(1 << 20):
                    digest.update(block)
        except OSError as error:
            raise StorageError(f"{path} cannot be read: {error.strerror}", "a file that can be read") from None
    return digest.hexdigest()
