"""Weights from elsewhere, translated into the names and shapes of atonce's network.

Each importer gives an `Import`: tensors under atonce's own names, and the preprocessing they were trained with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from atonce.errors import WeightsError
from atonce.model.fcn import FCN
from atonce.model.preprocessing import CAFFE_VGG, TORCHVISION, Preprocessing
from atonce.model.vgg import TRUNK_LAYERS

# Positions of the convolutions in torchvision's `features`; ReLU and pooling take the numbers between.
_TORCHVISION_FEATURES = dict(zip(TRUNK_LAYERS, (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28), strict=True))
_TORCHVISION_HEAD = {"fc6": 0, "fc7": 3}
LAYOUTS = ("torchvision-v1", "torchvision-features")

# The first row of conv1_1 in the original VGG-16 (RGB order), as read from the published file.
_ORIGINAL_CONV1 = (0.4800, 0.4085, -0.0651)


@dataclass(frozen=True)
class Import:
    """Tensors under atonce's names and what they expect of their input."""

    tensors: Mapping[str, Tensor]
    preprocessing: Preprocessing
    layout: str


@dataclass(frozen=True)
class LoadReport:
    """Which layers of a network came from the weights and which start fresh."""

    layout: str
    loaded: tuple[str, ...]
    fresh: tuple[str, ...]


def recognise(tensors: Mapping[str, Tensor]) -> str:
    """Layout of a file's tensors. Raises WeightsError that lists what was found.

    torchvision publishes two VGG-16 of the same names: its own training, complete, and the original
    convolutions, whose classifier is missing or NaN. They want different input, so they are told apart
    by the original's first values, then by whether there is a usable classifier.
    """
    if "features.0.weight" not in tensors:
        some = ", ".join(list(tensors)[:4])
        raise WeightsError(
            f"weights of an unknown layout with {len(tensors)} tensors ({some}, ...)",
            "torchvision's VGG-16 (features.0.weight, ...)",
        )
    first = tensors["features.0.weight"].float().flatten()[:3]
    if len(first) == 3 and torch.allclose(first, torch.tensor(_ORIGINAL_CONV1), atol=1e-3):
        return "torchvision-features"
    classifier = tensors.get("classifier.0.weight")
    return "torchvision-features" if classifier is None or not classifier.isfinite().all() else "torchvision-v1"


def import_torchvision(tensors: Mapping[str, Tensor], layout: str) -> Import:
    """torchvision's vgg16: `features.N`, and `classifier.0` and `.3` as 7x7 and 1x1 convolutions.

    Raises:
        WeightsError: keys missing, or shapes that are not VGG-16's; all of them are named.
    """
    renamed, missing = {}, []
    for name, index in _TORCHVISION_FEATURES.items():
        for part in ("weight", "bias"):
            key = f"features.{index}.{part}"
            if key in tensors:
                renamed[f"trunk.{name}.{part}"] = tensors[key]
            else:
                missing.append(key)
    if missing:
        raise WeightsError(f"weights without {', '.join(missing)}", "all 13 convolutions of VGG-16")
    for name, index in _TORCHVISION_HEAD.items():
        weight, bias = tensors.get(f"classifier.{index}.weight"), tensors.get(f"classifier.{index}.bias")
        if weight is None or bias is None or not bool(weight.isfinite().all()):
            continue
        # A row of classifier.0 is a (512, 7, 7) patch of pool5 laid flat: the same numbers are a 7x7 kernel.
        size = 7 if name == "fc6" else 1
        renamed[f"head.{name}.weight"] = weight.reshape(weight.shape[0], -1, size, size)
        renamed[f"head.{name}.bias"] = bias
    return Import(renamed, TORCHVISION if layout == "torchvision-v1" else CAFFE_VGG, layout)


def load_into(model: FCN, imported: Import) -> LoadReport:
    """Copy imported tensors and their preprocessing into a network.

    fc6 and fc7 are skipped where the network's head has another width than theirs; it then starts fresh.

    Raises:
        WeightsError: the trunk's shapes differ; every mismatch is named.
    """
    target = model.state_dict()
    head_fits = all(target[k].shape == v.shape for k, v in imported.tensors.items() if k.startswith("head."))
    usable = {k: v for k, v in imported.tensors.items() if head_fits or not k.startswith("head.")}
    wrong = [
        f"{k} is {tuple(v.shape)} instead of {tuple(target[k].shape)}"
        for k, v in usable.items()
        if target[k].shape != v.shape
    ]
    if wrong:
        remedy = "pretrained VGG-16 weights need model.width=1" if model.config.width != 1 else ""
        raise WeightsError(f"weights do not fit the network: {'; '.join(wrong)}", "VGG-16's shapes", remedy)
    with torch.no_grad():
        for key, tensor in usable.items():
            target[key].copy_(tensor)
        model.normalise.set(imported.preprocessing)
    loaded = tuple(dict.fromkeys(key.rpartition(".")[0] for key in usable))
    layers = dict.fromkeys(name.rpartition(".")[0] for name, _ in model.named_parameters())
    return LoadReport(imported.layout, loaded, tuple(layer for layer in layers if layer not in loaded))
