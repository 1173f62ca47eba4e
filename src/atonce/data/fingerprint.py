"""The fingerprint of a data set, kept in the model file: a digest of its content, wherever it lies."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from atonce.data.dataset import Dataset, Item
from atonce.data.mask_sources import mask_parts
from atonce.text import readable_name

_FINGERPRINT_BYTES = 4096


def fingerprint(dataset: Dataset) -> str:
    """Compute the hexadecimal sha256 that tells one data set from another.

    It covers format, class names, and for each item its split and, for picture and mask, path relative to
    the root, size, and the first and last 4 KiB. A change in the middle of a file that leaves its size alone
    is not seen: reading 11 GB of Cityscapes for that would take minutes before each training. Annotations are
    covered whole: all their shapes.
    """
    digest = hashlib.sha256()
    for text in (dataset.format, *dataset.labels.names):
        digest.update(f"{text}\0".encode())
    for split in sorted(dataset.splits):
        for item in sorted(dataset.splits[split], key=lambda item: item.name):
            digest.update(f"{split}\0{item.name}\0".encode())
            for part in item_digests(item, dataset.root):
                digest.update(part)
    return digest.hexdigest()


def item_digests(item: Item, root: Path) -> Iterator[bytes]:
    """Yield a digest of an item's picture, then those of all that its mask depends on; b"-" where it has none."""
    yield _file_digest(item.image, root)
    for part in [*mask_parts(item.mask)] or [b"-"]:
        yield part if isinstance(part, bytes) else _file_digest(part, root)


def picture_digest(path: Path) -> str:
    """Compute a digest of a picture's file wherever it lies: its size, the first and the last 4 KiB."""
    try:
        return hashlib.sha256(b"".join(_size_and_ends(path))).hexdigest()[:16]
    except OSError:
        return "missing"


def _size_and_ends(path: Path) -> tuple[bytes, bytes, bytes]:
    with path.open("rb") as file:
        head = file.read(_FINGERPRINT_BYTES)
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _FINGERPRINT_BYTES))
        return f"{size}\0".encode(), head, file.read()


def _file_digest(path: Path, root: Path) -> bytes:
    name = readable_name(path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name)
    try:
        ends = _size_and_ends(path)
    except OSError:
        return f"{name}\0missing\0".encode()
    return hashlib.sha256(b"".join((f"{name}\0".encode(), *ends))).digest()
