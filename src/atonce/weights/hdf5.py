"""HDF5 files (.h5, .hdf5), the format of Keras, read with h5py where it is installed."""

from __future__ import annotations

from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor

from atonce.errors import WeightsError
from atonce.extras import require_extra

_LARGEST = 1 << 30
"""The largest array that is read, in bytes; fc1, the largest of VGG-16, has 411 million."""
_LARGEST_FILE = 2 << 30
"""The largest size of all arrays together, in bytes: HDF5 compresses, and what it never wrote it fills in."""


_MOST_MEMBERS, _DEEPEST = 10_000, 50
"""Keras writes some hundreds, seven deep; each is found by its whole path, which takes time."""


def read_hdf5(path: Path, content: IO[bytes] | None = None) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read the arrays of floating point numbers, by their paths inside the file; an optimiser's arrays are left out.

    Args:
        content: the file where it is not at `path` itself, but a member of the archive there.

    Returns:
        The arrays; and the names of layers that Keras 3 notes beside them: layers/conv2d_3 -> block2_conv2.

    Raises:
        WeightsError: the file is damaged, refers to other files, or claims to hold arrays that are larger than any of
            VGG-16.
        UserError: h5py is not installed.
    """
    h5py = require_extra("h5py", f"{path}, an HDF5 file of Keras,", "keras")
    found: dict[str, Any] = {}
    noted: dict[str, str] = {}

    visited = 0

    def visit(name: str, item: Any) -> None:
        nonlocal visited
        visited += 1
        if visited > _MOST_MEMBERS or name.count("/") > _DEEPEST:
            many = f"more than {_MOST_MEMBERS} members" if visited > _MOST_MEMBERS else f"groups {_DEEPEST} deep"
            raise WeightsError(f"{path} holds {many}", "an HDF5 file of Keras")
        if name.endswith("/vars") and isinstance(layer := item.attrs.get("name"), str):
            noted[name.removesuffix("/vars")] = layer
        wanted = isinstance(item, h5py.Dataset) and item.dtype.kind == "f"
        if wanted and not name.startswith("optimizer"):
            found[name] = item

    try:
        with h5py.File(content or path, "r") as file:
            # Follows no links: neither symbolic ones nor those into other files.
            file.visititems(visit)
            for name, dataset in found.items():
                if dataset.nbytes > _LARGEST:
                    raise WeightsError(f"{path}: {name} has the shape {dataset.shape}", "VGG-16's shapes")
            if sum(dataset.nbytes for dataset in found.values()) > _LARGEST_FILE:
                raise WeightsError(f"{path} claims to hold more than {_LARGEST_FILE >> 20} MiB", "a VGG-16's arrays")
            return {name: _read(path, name, dataset) for name, dataset in found.items()}, noted
    except MemoryError:
        # A damaged length may ask for any number of bytes; h5py asks the system for them.
        claim = f"{path} asks for more memory than there is"
        raise WeightsError(claim, "an HDF5 file of Keras", "fetch it again, or end other programs") from None
    except (OSError, RuntimeError, ValueError, KeyError):
        raise WeightsError(f"{path} is damaged", "an HDF5 file of Keras", "fetch it again") from None


def _read(path: Path, name: str, dataset: Any) -> Tensor:
    if dataset.external or dataset.is_virtual:
        raise WeightsError(f"{path}: {name} lies in another file", "arrays in the file itself")
    return torch.from_numpy(dataset[()])
