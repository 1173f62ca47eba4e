"""`atonce.info`: this machine as atonce sees it, and a model as its file describes it."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from atonce.adaptive_threads import compute_threads
from atonce.devices import default_device, device_names, has_bf16
from atonce.inference.engines import EXACT_GRAPHS
from atonce.inference.finished_results import model_fingerprint
from atonce.inference.load import EXPORTED_SUFFIXES, Model, load
from atonce.inference.predictor import Predictor
from atonce.model_file import read_metadata
from atonce.model_location import find_model_file
from atonce.recipes import Recipe
from atonce.threads import VARIABLE, usable_cores
from atonce.version import __version__
from atonce.weights.registry import cache_folder

_PACKAGES = ("torch", "accelerate", "kornia", "numpy", "pillow", "pydantic", "safetensors")
_EXTRAS = {
    "coco": ("pycocotools",),
    "export": ("onnx", "onnxruntime", "openvino", "nncf"),
    "keras": ("h5py",),
    "serve": ("anyio", "fastapi", "prometheus-client", "python-multipart", "uvicorn"),
    "remote": ("s3fs",),
    "video": ("av",),
    "tensorboard": ("tensorboard",),
    "mlflow": ("mlflow",),
    "wandb": ("wandb",),
}
"""The packages of each extra of pyproject.toml."""


def info(model: Model | None = None) -> dict[str, Any]:
    """Describe this machine, and a model where one is given, ready for JSON; what `atonce info` prints.

    >>> atonce.info()["devices"][0]["name"]                                # doctest: +SKIP
    'cpu'
    >>> atonce.info("runs/mine")["model"]["scores"]["mean_iou"]            # doctest: +SKIP

    Args:
        model: a run folder, a model file, an exported file, what `train` returned, or a `Predictor`.

    Returns:
        "atonce", "python", "platform", "packages", "extras", "devices", "default_device", "threads", "engines",
        "weights_folder", and "model", None without one; the page "The command line" explains the keys.

    Raises:
        WeightsError: missing, damaged, or not a model of atonce.
        UserError: the engine that reads an exported file is not installed.
    """
    described = None if model is None else _describe(model)
    return {
        "atonce": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: _version(name) for name in _PACKAGES},
        "extras": {extra: {name: _version(name) for name in names} for extra, names in _EXTRAS.items()},
        "devices": [_device(name) for name in device_names()],
        "default_device": str(default_device()),
        "threads": {"cores": usable_cores(), "torch": compute_threads(), "environment": _thread_variables()},
        "engines": ["torch", "torch-bf16", *_converted_engines()],
        "weights_folder": str(cache_folder()),
        "model": described,
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _device(name: str) -> dict[str, Any]:
    if not name.startswith("cuda"):
        return {"name": name, "about": platform.machine(), "memory_bytes": None}
    found = torch.cuda.get_device_properties(name)
    return {"name": name, "about": found.name, "memory_bytes": found.total_memory}


def _thread_variables() -> dict[str, str]:
    names = (VARIABLE, "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OMP_WAIT_POLICY")
    return {name: os.environ[name] for name in names if name in os.environ}


def _converted_engines() -> list[str]:
    found: list[str] = [name for name in reversed(EXACT_GRAPHS) if find_spec("onnx") and find_spec(name)]
    return [*found, "openvino-bf16"] if "openvino" in found and has_bf16(torch.device("cpu")) else found


def _describe(model: Model) -> dict[str, Any]:
    """Describe a model; its file is read as a whole, so that a damaged one is found."""
    predictor = load(model, device="cpu")
    path = None if isinstance(model, Predictor) else find_model_file(model)
    file = predictor.model_file
    kept = ("architecture", "skip_scales", "preprocessing", "input_size", "training_data", "recipe", "scores")
    description = file.describe()
    labels = description["labels"]
    values = labels.get("mask_values") or [None] * len(labels["names"])
    return {
        "path": None if path is None else str(path),
        "megabytes": None if path is None else _megabytes(path),
        "fingerprint": None if path is None else model_fingerprint(path),
        "written_by": _written_by(path),
        "engine": predictor.engine,
        "parameters": sum(parameter.numel() for parameter in predictor.model.parameters()),
        "classes": [
            {"id": number, "name": name, "colour": colour, "mask_value": value}
            for number, (name, colour, value) in enumerate(zip(labels["names"], labels["palette"], values, strict=True))
        ],
        "ignore_index": labels["ignore_index"],
        **{key: description[key] for key in kept},
    }


def _written_by(path: Path | None) -> str | None:
    """Return the version of atonce that wrote a model file."""
    if path is None or path.suffix.lower() in EXPORTED_SUFFIXES:
        return None
    found = read_metadata(path).get("atonce_version")
    return None if found is None else str(found)


def _megabytes(path: Path) -> float:
    weights = path.with_suffix(".bin")
    files = [path, *([weights] if path.suffix.lower() == ".xml" and weights.is_file() else [])]
    return sum(file.stat().st_size for file in files) / 1e6


def changed_knobs(recipe: dict[str, Any]) -> dict[str, Any]:
    """List the knobs of a recorded recipe that differ from the defaults, by full name; unknown ones, too."""
    defaults, found = Recipe().model_dump(mode="json"), dict[str, Any]()
    for section, values in recipe.items():
        if not isinstance(values, dict):
            if values != defaults.get(section):
                found[section] = values
            continue
        known = defaults.get(section) or {}
        found |= {f"{section}.{key}": value for key, value in values.items() if value != known.get(key)}
    return found
