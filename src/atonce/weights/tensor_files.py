"""Files of tensors: safetensors, HDF5, and pickles that are never allowed to run code."""

from __future__ import annotations

import codecs
import pickle
import tarfile
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from atonce.errors import WeightsError
from atonce.weights.hdf5 import read_hdf5
from atonce.weights.registry import EXPECTED

_WRAPPERS = ("state_dict", "model_state_dict")

# Training scripts, pytorch-fcn's among them, save their best score beside the weights, as a NumPy number.
# Making one calls these, which do nothing else; NumPy 1 and 2 call the first by different names.
_MAKE_NUMBER = np.float64(0).__reduce__()[0]
_NUMBERS: list[Any] = [
    (_MAKE_NUMBER, "numpy.core.multiarray.scalar"),
    (_MAKE_NUMBER, "numpy._core.multiarray.scalar"),
    (codecs.encode, "_codecs.encode"),
    np.dtype,
    type(np.dtype(np.float64)),
]


@dataclass(frozen=True)
class WeightsFile:
    """The content of a file of tensors.

    Attributes:
        path: the file.
        tensors: by the names that the file gives them, on the CPU.
        metadata: texts of a safetensors file; empty for other formats.
    """

    path: Path
    tensors: Mapping[str, Tensor]
    metadata: Mapping[str, str] = field(default_factory=dict)


def open_weights(path: Path) -> WeightsFile:
    """Read a file of tensors; its first bytes tell the format, not its name.

    A pickle is read with weights_only=True: tensors, numbers and plain containers, no code.
    A dict nested under "state_dict" or "model_state_dict" is unwrapped, a leading "module." dropped.

    Raises:
        WeightsError: missing, of another kind, damaged, with code inside, or without tensors.
    """
    if path.is_dir():
        raise WeightsError(f"{path} is a folder", EXPECTED)
    if not path.is_file():
        raise WeightsError(f"{path} does not exist", EXPECTED)
    try:
        with path.open("rb") as file:
            head = file.read(512)
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror}", EXPECTED) from None
    _refuse_text(path, head)
    metadata: dict[str, str] = {}
    if head.startswith(b"\x89HDF\r\n\x1a\n"):
        data: Any = read_hdf5(path)
    elif head[8:9] == b"{":
        data, metadata = _read_safetensors(path)
    elif head.startswith((b"PK\x03\x04", b"\x80")):
        data = _read_pickle(path)
    elif tarfile.is_tarfile(path):
        found = f"{path} is in PyTorch's .tar format of 2017, which cannot be read without running code"
        raise WeightsError(found, EXPECTED, "save it anew with a PyTorch of today")
    else:
        raise WeightsError(f"{path} is not a weights file", EXPECTED)
    return WeightsFile(path, _tensors(path, data), metadata)


def _refuse_text(path: Path, head: bytes) -> None:
    """Downloads that went wrong leave text behind; each kind has its own remedy."""
    if not head:
        raise WeightsError(f"{path} is empty", EXPECTED, "fetch it again")
    if head.startswith(b"version https://git-lfs"):
        raise WeightsError(f"{path} is a Git LFS pointer", "the file it points to", "run `git lfs pull`")
    if head.lstrip().startswith(b"<"):
        raise WeightsError(f"{path} is a web page", EXPECTED, "the download was answered with a page; fetch it again")


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(path, "pt") as file:
            # safe_open is a handle, not a mapping: it has keys() but cannot be iterated over.
            return {key: file.get_tensor(key) for key in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (SafetensorError, OSError):
        raise WeightsError(f"{path} is damaged", "a .safetensors file", "fetch it again") from None


def _read_pickle(path: Path) -> Any:
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals(_NUMBERS):
            # Whatever torch would warn of is an error below.
            warnings.simplefilter("ignore")
            return torch.load(path, "cpu", weights_only=True)
    except MemoryError:
        raise
    # A damaged pickle can fail in any way at all: every one of them is the file's fault.
    except Exception as error:
        text = str(error).lower()
        if "torchscript" in text:
            raise WeightsError(f"{path} is a TorchScript program", EXPECTED, "save its state_dict() alone") from None
        if isinstance(error, pickle.UnpicklingError) and "global" in text:
            reason = "holds more than tensors, so loading it could run code"
            raise WeightsError(f"{path} {reason}", "a file of tensors", "save its state_dict() alone") from None
        raise WeightsError(f"{path} is damaged or not a weights file", EXPECTED, "fetch it again") from None


def _tensors(path: Path, data: Any) -> dict[str, Tensor]:
    for wrapper in _WRAPPERS:
        if isinstance(data, dict) and isinstance(data.get(wrapper), dict):
            data = data[wrapper]
    if not isinstance(data, dict):
        raise WeightsError(f"{path} holds a {type(data).__name__}", "a state dict: names and tensors")
    # Data-parallel training leaves a prefix that says nothing.
    tensors = {str(k).removeprefix("module."): v for k, v in data.items() if isinstance(v, Tensor)}
    if not tensors:
        raise WeightsError(f"{path} holds no tensors", "a state dict: names and tensors")
    return tensors
