"""Reading the arrays of an HDF5 file, Keras' format, with h5py where it is installed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from atonce.errors import WeightsError

if TYPE_CHECKING:
    import h5py

_LARGEST = 1 << 30
"""Bytes; fc1, the largest array of VGG-16, has 411 million."""


def read_hdf5(path: Path) -> dict[str, Tensor]:
    """Arrays of floating point numbers -> path inside the file and tensor; an optimiser's arrays are left out.

    Raises:
        WeightsError: h5py is not installed, or the file is damaged, refers to other files, or claims to hold
            arrays that are larger than any of VGG-16.
    """
    try:
        import h5py
    except ImportError:
        raise WeightsError(
            f"{path} is an HDF5 file of Keras", "the package h5py to read it", "pip install 'atonce[keras]'"
        ) from None
    found: dict[str, h5py.Dataset] = {}

    def visit(name: str, item: object) -> None:
        wanted = isinstance(item, h5py.Dataset) and item.dtype.kind == "f"
        if wanted and not name.startswith("optimizer"):
            found[name] = item

    try:
        with h5py.File(path, "r") as file:
            # Follows no links: neither symbolic ones nor those into other files.
            file.visititems(visit)
            return {name: _read(path, name, dataset) for name, dataset in found.items()}
    except (OSError, RuntimeError, ValueError, KeyError):
        raise WeightsError(f"{path} is damaged", "an HDF5 file of Keras", "fetch it again") from None


def _read(path: Path, name: str, dataset: h5py.Dataset) -> Tensor:
    if dataset.external or dataset.is_virtual:
        raise WeightsError(f"{path}: {name} lies in another file", "arrays in the file itself")
    if dataset.nbytes > _LARGEST:
        raise WeightsError(f"{path}: {name} has the shape {dataset.shape}", "VGG-16's shapes")
    return torch.from_numpy(dataset[()])
