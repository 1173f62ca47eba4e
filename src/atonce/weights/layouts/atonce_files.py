"""atonce .safetensors files as weights: a model file gives its trunk and head, a converted VGG-16 is nothing else."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from atonce.errors import WeightsError
from atonce.model.preprocessing import Preprocessing
from atonce.model.vgg import TRUNK_LAYERS
from atonce.safetensors_writer import save_tensors
from atonce.weights.imported import ImportedWeights, TensorSpec, take_tensors
from atonce.weights.tensor_files import WeightsFile

LAYOUT = "atonce"

_MODEL_KEY = "atonce"
_WEIGHTS_KEY = "atonce_weights"
_NORMALISE = {"mean": "normalise.mean", "std": "normalise.std"}


def recognise(file: WeightsFile) -> str | None:
    """The layout's name where the trunk and the preprocessing have the names of atonce's network; None otherwise."""
    return LAYOUT if {"trunk.conv1_1.weight", *_NORMALISE.values()} <= file.tensors.keys() else None


def read(file: WeightsFile) -> ImportedWeights:
    """Read trunk, head and preprocessing. Score layers belong to the classes of their training and are left out.

    Raises:
        WeightsError: tensors missing, unexpected or not finite.
    """
    layers = [f"trunk.{name}" for name in TRUNK_LAYERS]
    if any(key.startswith("head.") for key in file.tensors):
        layers += ["head.fc6", "head.fc7"]
    keys = [f"{layer}.{part}" for layer in layers for part in ("weight", "bias")] + list(_NORMALISE.values())
    specs = [TensorSpec(key, key, (1, 3, 1, 1) if key in _NORMALISE.values() else None) for key in keys]
    tensors = take_tensors(
        file, specs, ignored=lambda key: key.startswith(("score_", "up_")), network="a network of atonce"
    )
    mean, std = (_triple(tensors.pop(key)) for key in _NORMALISE.values())
    return ImportedWeights(tensors, Preprocessing(mean, std), LAYOUT, head_scale=_head_scale(file))


def write_trunk(imported: ImportedWeights, path: Path, source: Mapping[str, Any]) -> None:
    """Write trunk and head with their preprocessing as a file that `read` reads.

    Args:
        source: the file that they come from, kept in the metadata for readers.

    Raises:
        StorageError: `path` cannot be written.
    """
    preprocessing = imported.preprocessing
    tensors: dict[str, Tensor] = {k: v for k, v in imported.tensors.items() if k.startswith(("trunk.", "head."))}
    for name, values in (("mean", preprocessing.mean), ("std", preprocessing.std)):
        tensors[_NORMALISE[name]] = torch.tensor(values).view(1, 3, 1, 1)
    about = {
        "format_version": 1,
        "source": dict(source),
        "preprocessing": {
            "order": "RGB",
            "range": [0, 255],
            "mean": list(preprocessing.mean),
            "std": list(preprocessing.std),
        },
    }
    metadata = {"format": "pt", _WEIGHTS_KEY: json.dumps(about)}
    save_tensors(path, tensors, metadata)


def _head_scale(file: WeightsFile) -> float:
    """Read the factor on pool5 from a model file's description; 1 where there is none."""
    if _MODEL_KEY not in file.metadata:
        return 1.0
    try:
        value = json.loads(file.metadata[_MODEL_KEY])["architecture"]["head_scale"]
        return 1.0 if value == "calibrate" else float(value)
    except (ValueError, KeyError, TypeError, RecursionError):
        raise WeightsError(f"{file.path} describes a network unknown here", "a model file of atonce") from None


def _triple(tensor: Tensor) -> tuple[float, float, float]:
    red, green, blue = tensor.flatten().tolist()
    return red, green, blue
