"""Devices: the one that is taken where nobody names one, and those that are named.

Training, inference, evaluation and serving ask here, so that a name and its absence mean the same everywhere.
"""

from __future__ import annotations

import os

import torch

from atonce.adaptive_threads import compute_threads
from atonce.errors import UserError
from atonce.text import count_of


def default_device() -> torch.device:
    """Return the accelerator that torch finds, or the CPU.

    An accelerator without float64, in which losses are summed, is left to those who name it (Apple's "mps" is one).
    """
    found = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return of_this_process(found) if found is not None and has_float64(found) else torch.device("cpu")


def describe_device(device: torch.device) -> str:
    """Say what a device is: "cpu (2 threads)", "cuda:0 (NVIDIA H100)"."""
    about = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
    if device.type == "cpu":
        about = count_of(compute_threads(), "thread")
    return f"{device} ({about})" if about else str(device)


def of_this_process(device: torch.device) -> torch.device:
    """Return the one of a kind of devices that is this process's, where torchrun or accelerate has started several.

    Each takes that of its number on the machine; more processes than devices share them in turn.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) < 2 or device.type == "cpu" or ":" in str(device):
        return device
    number = int(os.environ.get("LOCAL_RANK", "0"))
    return torch.device(device.type, number % max(1, torch.accelerator.device_count()))


def usable_device(device: str | torch.device | None) -> torch.device:
    """Return a device by its name ("cpu", "cuda", "cuda:1"); None takes `default_device`.

    Raises:
        UserError: there is no such device here.
    """
    if device is None:
        return default_device()
    try:
        chosen = of_this_process(torch.device(device))
        torch.empty(1, device=chosen).cpu()
    # torch says "not compiled with CUDA" by an assertion, "no such device" by one of several errors.
    except (RuntimeError, AssertionError, NotImplementedError, ValueError):
        raise UserError(f"there is no device '{device}' here", f"one of {', '.join(device_names())}") from None
    return chosen


def device_names() -> list[str]:
    """List the devices of this machine: "cpu", "cuda:0", ..."""
    return ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]


def has_bf16(device: torch.device) -> bool:
    """Tell whether a device multiplies bf16 faster than fp32: recent GPUs, CPUs with AVX512-BF16 or AMX."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(bool(probe()) for name in probes if (probe := getattr(torch.cpu, name, None)) is not None)


def has_float64(device: torch.device) -> bool:
    """Tell whether a device computes in float64."""
    if device.type in ("cpu", "cuda"):
        return True
    try:
        torch.zeros(1, dtype=torch.float64, device=device)
    except (TypeError, RuntimeError):
        return False
    return True
