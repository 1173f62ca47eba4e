"""Zip archives and folders: their members, and what they are, told by the names in them.

Nothing is ever unpacked to a name that an archive gives: members are read, or copied into a file without a name.
"""

from __future__ import annotations

import lzma
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

from atonce.errors import StorageError, WeightsError
from atonce.text import count_of, listing, words_of
from atonce.weights.mapped_file import map_open_file

_LARGEST = 2 << 30
"""The most bytes that are unpacked of one member: a VGG-16 with the state of Adam has 1.7 thousand million."""
_MOST_MEMBERS = 10_000
_BLOCK = 1 << 20

_WEIGHTS_SUFFIXES = {
    ".h5",
    ".hdf5",
    ".keras",
    ".pth",
    ".pt",
    ".safetensors",
    ".caffemodel",
    ".npz",
    ".npy",
    ".ckpt",
    ".bin",
}


@contextmanager
def open_archive(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open a zip archive.

    Raises:
        WeightsError: damaged, or a member's name leads out of the archive.
    """
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        found = f"{path} is a damaged zip archive, or one that is cut off ({_reason(error)})"
        raise WeightsError(found, "a whole one", "fetch it again") from None
    with archive:
        infos = archive.infolist()
        if len(infos) > _MOST_MEMBERS:
            raise WeightsError(f"{path} is a zip archive of {count_of(len(infos), 'file')}", "a file of weights")
        for info in infos:
            parts = PurePosixPath(info.filename.replace("\\", "/"))
            if parts.is_absolute() or ".." in parts.parts:
                raise WeightsError(
                    f"{path} has a member that leads out of it: {info.filename[:80]}", "a file of weights"
                )
        yield archive


@contextmanager
def open_member(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Iterator[IO[bytes]]:
    """Open a member of an archive for reading, once, from its beginning.

    Raises:
        WeightsError: encrypted, damaged, or compressed by an unknown method; also while it is read.
    """
    try:
        with archive.open(info) as file:
            yield file
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, RuntimeError) as error:
        found = f"{path}: {info.filename[:80]} cannot be read: {_reason(error)}"
        raise WeightsError(found, "a whole archive without a password", "fetch it again") from None


def unpack_member(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo, needed: int | None = None) -> IO[bytes]:
    """Copy a member into a temporary file without a name; it is gone when it is closed.

    Args:
        needed: bytes from its beginning; None takes it whole.

    Raises:
        WeightsError: as `open_member`; or it is larger than any file of a VGG-16.
        StorageError: there is no space for it.
    """
    left = info.file_size if needed is None else needed
    if left > _LARGEST:
        found = f"{path}: {info.filename[:80]} unpacks to {left >> 20} MiB"
        raise WeightsError(found, f"{_LARGEST >> 20} MiB or less", "unpack it yourself if it can be trusted")
    copy: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115, the caller closes it
    with open_member(path, archive, info) as file:
        while left > 0 and (block := file.read(min(left, _BLOCK))):
            left -= len(block)
            try:
                copy.write(block)
            except OSError as error:
                remedy = "set TMPDIR to a folder with free space, or unpack the archive yourself"
                raise StorageError(f"cannot unpack {path}: {error.strerror}", remedy=remedy) from None
    copy.flush()
    copy.seek(0)
    return copy


def map_member(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo, needed: int | None = None) -> memoryview:
    """Map a member of an archive into memory, unpacked. Args and Raises: those of `unpack_member`."""
    with unpack_member(path, archive, info, needed) as copy:
        return map_open_file(copy)


def describe_archive(path: Path, archive: zipfile.ZipFile) -> WeightsError:
    """Say what a zip archive is that holds no weights that can be read."""
    names = [info.filename for info in archive.infolist() if not info.is_dir()]
    inner = [name for name in names if PurePosixPath(name).suffix.lower() in _WEIGHTS_SUFFIXES]
    if inner and not _kind(names):
        return WeightsError(
            f"{path} is a zip archive with {listing(inner, 3)} in it", "a file of weights", "unpack it and give that"
        )
    kind = _kind(names) or f"a zip archive of {count_of(len(names), 'file')} ({listing(names, 3)})"
    return WeightsError(f"{path} is {kind}", "a file of weights")


def describe_folder(path: Path) -> WeightsError:
    """Say what a folder is that holds no weights that can be read."""
    try:
        names = sorted(entry.name for entry in path.iterdir())
    except OSError as error:
        return WeightsError(f"{path} cannot be read: {error.strerror}", "a file of weights")
    inner = [name for name in names if PurePosixPath(name).suffix.lower() in _WEIGHTS_SUFFIXES]
    expected = "a file of weights, or the folder of a TensorFlow SavedModel or checkpoint"
    if kind := _kind(names):
        return WeightsError(f"{path} is {kind}", expected)
    if inner:
        return WeightsError(f"{path} is a folder with {listing(inner, 3)} in it", expected, "give the file")
    held = f"of {count_of(len(names), 'entry', 'entries')} ({listing(names, 3)})" if names else "with nothing in it"
    return WeightsError(f"{path} is a folder {held}", expected)


def _kind(names: Sequence[str]) -> str | None:
    """The kind of a set of files, by their names; None where they tell nothing."""
    last = {PurePosixPath(name).name for name in names}
    if {"config.json", "metadata.json"} <= last:
        return "a Keras archive without model.weights.h5"
    if "saved_model.pb" in last:
        return "a TensorFlow SavedModel without variables"
    if "[Content_Types].xml" in last:
        return "a document of Microsoft Office"
    if "AndroidManifest.xml" in last or "MANIFEST.MF" in last:
        return "a program for Java or Android"
    return None


def _reason(error: Exception) -> str:
    """The reason in an error, in a few words on one line."""
    return "a password is needed" if "password" in str(error) else words_of(error, 100)
