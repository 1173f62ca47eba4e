"""atonce .safetensors files as weights: a model file is a complete network, a converted VGG-16 its trunk and head."""

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
from atonce.recipes import FCNConfig
from atonce.safetensors_writer import save_tensors
from atonce.untrusted_files import parse_json
from atonce.weights.imported import ImportedWeights, TensorSpec, take_tensors
from atonce.weights.tensor_files import WeightsFile

LAYOUT = "atonce"

_MODEL_KEY = "atonce"
WEIGHTS_KEY = "atonce_weights"
"""The key of the description of weights from elsewhere in the metadata of a file."""
_NORMALISE = {"mean": "normalise.mean", "std": "normalise.std"}


def recognise(file: WeightsFile) -> str | None:
    """The layout's name where the trunk and the preprocessing have the names of atonce's network; None otherwise."""
    return LAYOUT if {"trunk.conv1_1.weight", *_NORMALISE.values()} <= file.tensors.keys() else None


def read(file: WeightsFile) -> ImportedWeights:
    """Read the network of a model file with the names of its classes, or the trunk and head of a converted VGG-16.

    Raises:
        WeightsError: tensors missing, unexpected or not finite; a description that is none.
    """
    network, classes = _described(file)
    layers = [f"trunk.{name}" for name in TRUNK_LAYERS]
    if any(key.startswith("head.") for key in file.tensors):
        layers += ["head.fc6", "head.fc7"]
    if network:
        layers += ["score_fc7", *(f"score_pools.pool{pool}" for pool in network.skips)]
    keys = [f"{layer}.{part}" for layer in layers for part in ("weight", "bias")] + list(_NORMALISE.values())
    if network and network.upsampling == "learned":
        keys += [f"{name}.weight" for name in (*(f"up_pools.pool{pool}" for pool in network.skips), "up_output")]
    specs = [TensorSpec(key, key, (1, 3, 1, 1) if key in _NORMALISE.values() else None) for key in keys]
    tensors = take_tensors(
        file, specs, ignored=lambda key: key.startswith(("score_", "up_")), network="a network of atonce"
    )
    if network and len(tensors["score_fc7.bias"]) != len(classes):
        found = f"{file.path} scores {len(tensors['score_fc7.bias'])} classes and names {len(classes)}"
        raise WeightsError(found, "a name for each")
    mean, std = (_triple(tensors.pop(key)) for key in _NORMALISE.values())
    return ImportedWeights(
        tensors,
        Preprocessing(mean, std),
        LAYOUT,
        head_scale=1.0 if network is None or network.head_scale == "calibrate" else network.head_scale,
        network=network,
        classes=classes,
    )


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
    metadata = {"format": "pt", WEIGHTS_KEY: json.dumps(about)}
    save_tensors(path, tensors, metadata)


def _described(file: WeightsFile) -> tuple[FCNConfig | None, tuple[str, ...]]:
    """Read the variant and the names of the classes from a model file's description; None and () without one."""
    if _MODEL_KEY not in file.metadata:
        return None, ()
    try:
        data = parse_json(file.metadata[_MODEL_KEY])
        classes = tuple(str(name) for name in data["labels"]["names"])
        return FCNConfig.model_validate(data["architecture"]), classes
    except (ValueError, KeyError, TypeError):
        raise WeightsError(f"{file.path} describes a network unknown here", "a model file of atonce") from None


def _triple(tensor: Tensor) -> tuple[float, float, float]:
    red, green, blue = tensor.flatten().tolist()
    return red, green, blue
