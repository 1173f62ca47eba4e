"""Where and when: what a number of a benchmark is worth nothing without."""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
import sys
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil
import torch

PACKAGES = ("atonce", "torch", "numpy", "pillow", "kornia", "onnxruntime", "openvino", "nncf", "torchfcn")

_FLAGS = ("avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile", "amx_bf16", "amx_int8", "asimd", "sve")
"""Of a processor: those that decide how fast it multiplies."""


def about(seed: int, device: str) -> dict[str, Any]:
    """Command, commit, seed, date, machine and versions."""
    return {
        "command": shlex.join(["python", "-m", "benchmarks", *sys.argv[1:]]),
        "commit": commit(),
        "seed": seed,
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "machine": {
            "processor": _processor(),
            "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
            "threads": torch.get_num_threads(),
            "flags": [flag for flag in _FLAGS if flag in _cpuinfo("flags", "Features").split()],
            "memory_bytes": psutil.virtual_memory().total,
            "system": f"{platform.system()} {platform.release()}, {platform.machine()}",
            "device": torch.cuda.get_device_name(device) if device.startswith("cuda") else device,
            "load_before": round(os.getloadavg()[0], 2),
        },
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}},
    }


def commit() -> str:
    """Of the tree that these files lie in, with "-dirty" where something has been changed since."""
    words = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=10"]
    try:
        found = subprocess.run(words, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    return found.stdout.strip() or "unknown"


def _version(package: str) -> str:
    # torch's own says more ("+cpu") than what pip has written down of it.
    if package == "torch":
        return str(torch.__version__)
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _processor() -> str:
    return _cpuinfo("model name") or platform.processor() or platform.machine()


def _cpuinfo(*keys: str) -> str:
    """Linux's word for the first core; "" elsewhere."""
    path = Path("/proc/cpuinfo")
    for line in path.read_text().splitlines() if path.is_file() else ():
        key, _, value = line.partition(":")
        if key.strip() in keys:
            return value.strip()
    return ""
