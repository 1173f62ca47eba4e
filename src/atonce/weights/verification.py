"""Verification of weights: published files against their sha256, any file by reading it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from atonce.errors import WeightsError
from atonce.storage import sha256_of
from atonce.weights import LAYOUTS, REGISTRY, find_weights, read_weights
from atonce.weights.imported import ImportedWeights
from atonce.weights.registry import PretrainedWeights, cache_folder, verify_sha256
from atonce.weights.tensor_files import files_of


@dataclass(frozen=True)
class DownloadCheck:
    """The state of a registry entry's file in the cache.

    Attributes:
        entry: the registry entry.
        sha256: the file's, which is the published one; None where there is no such file.
        error: says that the file is another one than was published, where it is.
    """

    entry: PretrainedWeights
    sha256: str | None = None
    error: WeightsError | None = None

    def to_json(self) -> dict[str, Any]:
        """Return an entry of what `atonce weights verify` prints as JSON."""
        error = self.error.for_command_line() if self.error else None
        return {
            "name": self.entry.name,
            "downloaded": bool(self.sha256 or error),
            "sha256": self.sha256,
            "error": error,
        }


@dataclass(frozen=True)
class FileCheck:
    """A weights file that could be read: names, shapes and values have been checked.

    Attributes:
        weights: the tensors.
        sha256: the file's; that of all files of a checkpoint one after the other, the index first.
        published_as: the registry entry with that sha256, where there is one.
    """

    weights: ImportedWeights
    sha256: str
    published_as: str | None

    def to_json(self) -> dict[str, Any]:
        """Return what `atonce weights verify FILE` prints as JSON, beside the file's name."""
        return {**self.weights.to_json(), "sha256": self.sha256, "published_as": self.published_as}


def describe_weights() -> dict[str, Any]:
    """List what there is by name and the layouts that are read; what `atonce weights list` prints as JSON."""
    folder = cache_folder()
    entries = [
        {
            "name": entry.name,
            "about": entry.about,
            "url": entry.url,
            "sha256": entry.sha256,
            "layout": entry.layout,
            "path": str(folder / entry.file_name),
            "downloaded": (folder / entry.file_name).is_file(),
        }
        for entry in REGISTRY.values()
    ]
    layouts = [{"name": name, "about": layout.about} for name, layout in LAYOUTS.items()]
    return {"folder": str(folder), "weights": entries, "layouts": layouts}


def verify_downloads(name: str | None = None) -> Iterator[DownloadCheck]:
    """Check files that have been downloaded against their published sha256, one after the other.

    Args:
        name: of one registry entry; None checks them all.

    Raises:
        WeightsError: the file that was named has not been downloaded.
    """
    for entry in REGISTRY.values() if name is None else [REGISTRY[name]]:
        path = cache_folder() / entry.file_name
        if not path.is_file():
            if name is not None:
                raise WeightsError(f"{entry.name} is not at {path}", remedy=f"fetch {entry.url} and put it there")
            yield DownloadCheck(entry)
            continue
        try:
            yield DownloadCheck(entry, verify_sha256(path, entry))
        except WeightsError as error:
            yield DownloadCheck(entry, error=error)


def verify_file(source: str | Path) -> FileCheck:
    """Check a weights file by reading it: names, shapes and finite values.

    Raises:
        WeightsError: it is missing, damaged, of an unknown layout, or not a VGG-16.
    """
    path = find_weights(source)
    weights, digest = read_weights(path), sha256_of(*files_of(path))
    names = [entry.name for entry in REGISTRY.values() if digest.startswith(entry.sha256)]
    return FileCheck(weights, digest, names[0] if names else None)
