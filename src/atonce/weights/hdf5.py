"""HDF5 files (.h5, .hdf5), the format of Keras, read with h5py where it is installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from atonce.errors import WeightsError
from atonce.extras import require_extra

_LARGEST = 1 << 30
"""The largest array that is read, in bytes; fc1, the largest of VGG-16, has 411 million."""

_LARGEST_FILE = 2 << 30
"""The most that all arrays of a file may take together, in bytes; those of VGG-16 have 553 million."""


def read_hdf5(path: Path) -> dict[str, Tensor]:
    """Read the arrays of floating point numbers, by their paths inside the file; an optimiser's arrays are left out.

    Raises:
        WeightsError: the file is damaged, refers to other files, or claims to hold arrays that are larger than any of
            VGG-16.
        UserError: h5py is not installed.
    """
    h5py = require_extra("h5py", f"{path}, an HDF5 file of Keras,", "keras")
    found: dict[str, Any] = {}

    def visit(name: str, item: object) -> None:
        wanted = isinstance(item, h5py.Dataset) and item.dtype.kind == "f"
        if wanted and not name.startswith("optimizer"):
            found[name] = item

    try:
        with h5py.File(path, "r") as file:
            # Follows no links: neither symbolic ones nor those into other files.
            file.visititems(visit)
            total = sum(dataset.nbytes for dataset in found.values())
            if total > _LARGEST_FILE:
                raise WeightsError(f"{path} would take {total / 1e9:.1f} GB of memory", "a VGG-16: 0.6 GB")
            return {name: _read(path, name, dataset) for name, dataset in found.items()}
    except (OSError, RuntimeError, ValueError, KeyError):
        raise WeightsError(f"{path} is damaged", "an HDF5 file of Keras", "fetch it again") from None


def _read(path: Path, name: str, dataset: Any) -> Tensor:
    if dataset.external or dataset.is_virtual:
        raise WeightsError(f"{path}: {name} lies in another file", "arrays in the file itself")
    if dataset.nbytes > _LARGEST:
        raise WeightsError(f"{path}: {name} has the shape {dataset.shape}", "VGG-16's shapes")
    return torch.from_numpy(dataset[()])
