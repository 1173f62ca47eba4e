"""Data, models and results at addresses that fsspec knows (s3://, gs://, memory://): through copies on this machine.

What is read is copied once into a cache and again where it has changed there; what is written is copied to its address
as soon as it is whole, the file that says that the others are complete last. So all that holds for files holds for
these: nothing half-written is met, and what was stopped goes on.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from atonce.errors import DataError, StorageError, UserError, option
from atonce.process_group import is_first_process
from atonce.storage import make_folder, user_cache, wait_for_others, write_atomically, write_text
from atonce.text import similar_file, words_of
from atonce.untrusted_files import open_in_place, read_json

T = TypeVar("T")

_ADDRESS = re.compile(r"([a-z][a-z0-9+.-]+):/+(.+)")
_NOT_FOLDERS = ("http", "https", "file")
"""Those that have no folders of files, or are files here."""

_CONNECTIONS = 16
"""Files that are copied at once: most of the time of each is waiting."""

_INDEX = "index.json"
"""Beside a copy: what the files were at their address when they were copied, and here since."""

_LOCK = ".lock"
"""Beside a copy: the file that the process holds which brings it up to date."""

_VERSION_KEYS = ("ETag", "etag", "md5Hash", "generation", "mtime", "LastModified", "created", "size")
"""The facts that tell a file from a changed one; each file system has some of them."""

_PACKAGES = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs"}


def address_of(path: str | os.PathLike[str]) -> str | None:
    """Return the address that a path stands for; None for a path of this machine.

    A `Path` has made "s3:/bucket" of "s3://bucket"; both are understood.
    """
    match = _ADDRESS.fullmatch(os.fspath(path))
    if match is None or match[1] in _NOT_FOLDERS:
        return None
    return f"{match[1]}://{match[2].rstrip('/')}"


def require_existing(path: Path, expected: str) -> None:
    """Require that there is something at a path of this machine; an address is looked at when it is copied.

    Args:
        expected: what should be there, for the message, which asks after a name that is near.

    Raises:
        DataError: there is nothing.
    """
    if address_of(path) is not None or path.exists():
        return
    if str(path).lower().startswith(("http:/", "https:/")):
        raise DataError(f"{path} is an address, not a file", expected, "download it first")
    raise DataError(f"{path} does not exist", expected, similar_file(path))


def local_copy(path: str | os.PathLike[str]) -> Path:
    """Return a path as it is, or the path of the copy of what lies at an address, made or brought up to date.

    Raises:
        DataError: there is nothing, or it cannot be read.
        UserError: the package for this kind of address is not installed.
    """
    address = address_of(path)
    return Path(path) if address is None else RemoteFiles(address).pull(must_exist=True)


def require_local(out: str | os.PathLike[str], name: str = "out") -> Path:
    """Return the path of what is written on this machine only: training, prediction and evaluation know addresses.

    Args:
        name: the option that it was given by.

    Raises:
        StorageError: it is an address, of which a folder called "s3:" would be made.
    """
    address = address_of(out)
    if address is not None:
        raise StorageError(option(name, address), "a path of this machine", "write it here, and copy it there")
    return Path(out)


def copy_of_results(out: str | os.PathLike[str]) -> Path:
    """Return a folder of results as it is, or the copy of what lies at its address, if anything does, to be read only.

    Raises:
        DataError: it cannot be read.
        UserError: the package for this kind of address is not installed.
    """
    address = address_of(out)
    return Path(out) if address is None else RemoteFiles(address).pull(must_exist=False)


class Results:
    """A folder that results are written to, and the address that they are brought to, if it is the copy of one."""

    def __init__(self, folder: Path, files: RemoteFiles | None = None, leave_out: Collection[str] = ()) -> None:
        self.folder, self._files, self._leave_out = folder, files, leave_out

    def push(self, paths: Iterable[Path]) -> None:
        """Bring files to the address, in their order. Raises StorageError."""
        if self._files:
            self._files.push(paths)

    def push_rest(self) -> None:
        """Bring all files to the address that are not there as they are here. Raises StorageError."""
        if self._files:
            self._files.push_rest(self._leave_out)


@contextmanager
def results_at(out: str | os.PathLike[str], *, leave_out: Collection[str] = ()) -> Iterator[Results]:
    """Open a folder for results; at an address, a copy of what is there, from which all is brought there at the end.

    Where the work itself has failed, that is what is raised; that its results cannot be brought there is a warning.

    Args:
        leave_out: names of folders in it that are of use on this machine only.

    Raises:
        StorageError: it cannot be written there.
    """
    address = address_of(out)
    if address is None:
        yield Results(Path(out))
        return
    files = RemoteFiles(address)
    results = Results(files.pull(must_exist=False), files, leave_out)
    try:
        yield results
    except BaseException:
        if is_first_process():
            try:
                results.push_rest()
            except StorageError as error:
                warnings.warn(f"{error}; what is not there yet is in {results.folder}", stacklevel=3)
        raise
    if is_first_process():
        results.push_rest()


class RemoteFiles:
    """A folder or a file at an address, and its copy.

    Args:
        address: as `address_of` returns it.

    Attributes:
        local: the path of the copy; its name is that at the address.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self._files, self._root = _file_system(address)
        digest = hashlib.sha256(address.encode()).hexdigest()[:16]
        self._cache = cache_folder() / digest
        self.local = self._cache / PurePosixPath(self._root).name
        self._known: dict[str, list[Any]] = self._read_index()

    def pull(self, *, must_exist: bool) -> Path:
        """Copy what is new or has changed at the address, and remove what is no longer there; returns the copy.

        Raises:
            DataError: it cannot be read; there is nothing, though there must be.
        """
        make_folder(self._cache)
        with os.fdopen(open_in_place(self._cache / _LOCK, os.O_WRONLY), "w") as lock:
            # Processes of torchrun want the same copy: the first one makes it, the others find it there.
            wait_for_others(lock)
            self._known = self._read_index()
            self._bring_up_to_date(must_exist=must_exist)
        return self.local

    def _bring_up_to_date(self, *, must_exist: bool) -> None:
        with _told(self.address, DataError):
            found = self._files.find(self._root, detail=True)
        versions = {}
        for path, about in found.items():
            name = PurePosixPath(path.removeprefix(self._root).lstrip("/"))
            if path.endswith("/") or about.get("type") == "directory":
                continue  # what some tools leave for a folder
            if ".." in name.parts:
                raise DataError(f"{self.address} holds the name {name}", "names that stay below it")
            versions[name.as_posix() if name.parts else ""] = (path, _version(about))
        if not versions and must_exist:
            raise DataError(f"{self.address} does not exist, or is empty", "a file, or a folder with files")
        if "" not in versions:
            make_folder(self.local)
        wanted = {name: one for name, one in versions.items() if not self._is_fresh(name, one[1])}
        for gone in self._known.keys() - versions.keys():
            self._path(gone).unlink(missing_ok=True)
            del self._known[gone]
        _in_threads(lambda one: self._get(one[0], *one[1]), wanted.items())
        self._write_index()

    def push(self, paths: Iterable[Path]) -> None:
        """Copy files of the copy to the address, one after the other. Raises StorageError."""
        for path in paths:
            name = path.relative_to(self.local).as_posix()
            remote = f"{self._root}/{name}"
            with _told(self.address, StorageError):
                self._files.makedirs(PurePosixPath(remote).parent.as_posix(), exist_ok=True)
                self._files.put_file(str(path), remote)
                about = self._files.info(remote)
            self._known[name] = [_version(about), *_state(path)]

    def push_rest(self, leave_out: Collection[str] = ()) -> None:
        """Copy all files to the address that are not there as they are here, but for folders of some names.

        Raises StorageError.
        """
        with _told(self.address, StorageError):
            self._files.invalidate_cache()
            there = self._files.find(self._root, detail=True)
        sizes = {path.removeprefix(self._root).lstrip("/"): about["size"] for path, about in there.items()}
        rest = []
        for path in sorted(self.local.rglob("*")):
            name = path.relative_to(self.local).as_posix()
            if not path.is_file() or ".tmp" in path.name or path.name == ".lock":
                continue
            if path.relative_to(self.local).parts[0] in leave_out:
                continue
            known = self._known.get(name)
            if sizes.get(name) != path.stat().st_size or (known and known[1:] != list(_state(path))):
                rest.append(path)
        # Labels tell that what belongs to them is complete.
        rest.sort(key=lambda path: "labels" in path.relative_to(self.local).parts)
        self.push(rest)
        self._write_index()

    def _get(self, name: str, remote: str, version: str) -> None:
        path = self._path(name)
        make_folder(path.parent)

        def fetch(temporary: Path) -> None:
            with _told(self.address, DataError):
                self._files.get_file(remote, str(temporary))

        write_atomically(path, fetch)
        self._known[name] = [version, *_state(path)]

    def _path(self, name: str) -> Path:
        return self.local / name if name else self.local

    def _is_fresh(self, name: str, version: str) -> bool:
        known, path = self._known.get(name), self._path(name)
        return known is not None and path.is_file() and known == [version, *_state(path)]

    def _read_index(self) -> dict[str, list[Any]]:
        try:
            return dict(read_json(self._cache / _INDEX))
        except (OSError, ValueError, TypeError):
            return {}

    def _write_index(self) -> None:
        make_folder(self._cache)
        write_text(self._cache / _INDEX, json.dumps(self._known))


def cache_folder() -> Path:
    """Return the folder of the copies, in `storage.user_cache`."""
    return user_cache() / "remote"


def _state(path: Path) -> tuple[int, int]:
    state = path.stat()
    return state.st_size, state.st_mtime_ns


def _version(about: dict[str, Any]) -> str:
    return json.dumps([str(about.get(key, "")) for key in _VERSION_KEYS])


def _in_threads(work: Callable[[T], None], things: Iterable[T]) -> None:
    with ThreadPoolExecutor(_CONNECTIONS, "copy") as pool:
        for done in [pool.submit(work, thing) for thing in things]:
            done.result()


def _file_system(address: str) -> tuple[Any, str]:
    import fsspec

    kind = address.partition(":")[0]
    try:
        files, root = fsspec.core.url_to_fs(address)
    except ImportError:
        package = _PACKAGES.get(kind)
        needed = package or f"that fsspec names for {kind}"
        raise UserError(
            f"{address} needs the package {needed}", remedy=f"pip install {package}" if package else ""
        ) from None
    except ValueError as error:
        raise DataError(f"{address} cannot be opened ({error})", "an address such as s3://bucket/folder") from None
    return files, str(root).rstrip("/")


@contextmanager
def _told(address: str, kind: type[UserError]) -> Iterator[None]:
    """Turn whatever a file system says into one line: each has errors of its own."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        reason = words_of(error, 300)
        what = "written" if kind is StorageError else "read"
        remedy = "check the name, the rights and the connection"
        raise kind(f"{address} cannot be {what} ({reason})", remedy=remedy) from error
