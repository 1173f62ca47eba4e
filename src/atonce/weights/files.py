"""Opening files of tensors: safetensors, and pickles that are never allowed to run code."""

from __future__ import annotations

import pickle
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from atonce.errors import WeightsError


def read_tensors(path: Path) -> dict[str, Tensor]:
    """.pth, .pt, .bin or .safetensors -> name and tensor, on the CPU.

    A pickle is read with weights_only=True: tensors and plain containers, no code.
    A dict nested under "state_dict" or "model_state_dict" is unwrapped.

    Raises:
        WeightsError: missing, broken, with code inside, or without tensors.
    """
    if not path.is_file():
        raise WeightsError(f"{path} does not exist", "a weights file (.pth or .safetensors)")
    try:
        data = load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if "weights_only" in str(error).lower() or "unsupported" in str(error).lower():
            reason = "holds more than tensors, so loading it could run code"
            raise WeightsError(f"{path} {reason}", "a file of tensors", "save its state_dict() alone") from None
        raise WeightsError(f"{path} is not a weights file or is damaged", "a .pth or .safetensors file") from None
    except (SafetensorError, RuntimeError, OSError, EOFError, ValueError, KeyError):
        raise WeightsError(
            f"{path} is not a weights file or is damaged", "a .pth or .safetensors file", "fetch it again"
        ) from None
    for wrapper in ("state_dict", "model_state_dict"):
        if isinstance(data, dict) and isinstance(data.get(wrapper), dict):
            data = data[wrapper]
    if not isinstance(data, dict):
        raise WeightsError(f"{path} holds a {type(data).__name__}", "a state dict: names and tensors")
    # Data-parallel training leaves a prefix that says nothing.
    tensors = {str(k).removeprefix("module."): v for k, v in data.items() if isinstance(v, Tensor)}
    if not tensors:
        raise WeightsError(f"{path} holds no tensors", "a state dict: names and tensors")
    return tensors
