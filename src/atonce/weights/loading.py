"""Reading pretrained weights by name or path, and filling a network with them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from atonce.errors import WeightsError
from atonce.model.fcn import FCN
from atonce.progress import ProgressCallback
from atonce.weights.imported import ImportedWeights
from atonce.weights.layouts import import_weights
from atonce.weights.registry import REGISTRY, find_weights
from atonce.weights.tensor_files import open_weights


@dataclass(frozen=True)
class LoadReport:
    """The layers of a network that came from the weights, and those that start fresh.

    Attributes:
        layout: the importer that read the weights.
        loaded, fresh: names of layers (trunk.conv1_1, head.fc6, score_fc7 ...), in the order of the network.
    """

    layout: str
    loaded: tuple[str, ...]
    fresh: tuple[str, ...]


def read_weights(
    source: str | Path, progress: ProgressCallback | None = None, layout: str | None = None
) -> ImportedWeights:
    """Read the tensors of a registry name or a file, under atonce's names.

    Args:
        layout: one of LAYOUTS; None takes what the registry says, or recognises it.

    Raises:
        WeightsError: no such name or file, of an unknown layout, damaged, or not a VGG-16.
    """
    entry = REGISTRY.get(str(source))
    file = open_weights(find_weights(source, progress))
    return import_weights(file, layout or (entry.layout if entry else None))


def load_weights(model: FCN, source: str | Path, progress: ProgressCallback | None = None) -> LoadReport:
    """Fill a network from pretrained weights, preprocessing included; see `load_into` for what is taken.

    Raises:
        WeightsError: as `read_weights`, or the shapes are not the network's.
    """
    return load_into(model, read_weights(source, progress))


def load_into(model: FCN, imported: ImportedWeights) -> LoadReport:
    """Copy trunk, head and preprocessing into a network; its score layers start fresh, whatever the weights hold.

    fc6 and fc7 are skipped where the network's head has another width than theirs; they then start fresh too.
    Where they are taken over, they keep computing what they did: a head_scale of `calibrate` becomes the one
    they were trained with, and for a given one fc6 is multiplied to make up for the difference.

    Raises:
        WeightsError: the trunk's shapes differ; every mismatch is named.
    """
    target = model.state_dict()
    parts = {k: v for k, v in imported.tensors.items() if k.startswith(("trunk.", "head."))}
    head_fits = all(target[k].shape == v.shape for k, v in parts.items() if k.startswith("head."))
    usable = {k: v for k, v in parts.items() if head_fits or not k.startswith("head.")}
    wrong = [
        f"{k} is {tuple(v.shape)} instead of {tuple(target[k].shape)}"
        for k, v in usable.items()
        if target[k].shape != v.shape
    ]
    if wrong:
        remedy = f"model.width is {model.config.width}; pretrained VGG-16 weights need 1"
        raise WeightsError(f"weights do not fit the network: {'; '.join(wrong)}", "weights of the same width", remedy)
    if "head.fc6.weight" in usable:
        usable["head.fc6.weight"] = _rescaled(model, imported)
    with torch.no_grad():
        for key, tensor in usable.items():
            target[key].copy_(tensor)
        model.normalise.set(imported.preprocessing)
    loaded = tuple(dict.fromkeys(key.rpartition(".")[0] for key in usable))
    layers = dict.fromkeys(name.rpartition(".")[0] for name, _ in model.named_parameters())
    return LoadReport(imported.layout, loaded, tuple(layer for layer in layers if layer not in loaded))


def build_network(imported: ImportedWeights) -> FCN:
    """Build the complete network that imported weights are, in evaluation mode, on the CPU.

    Raises:
        ValueError: they are not a complete one (`imported.network` is None).
    """
    if imported.network is None:
        raise ValueError(f"weights of layout {imported.layout} are not a complete network")
    with torch.device("meta"):
        model = FCN(imported.network, len(imported.tensors["score_fc7.bias"]), imported.preprocessing)
    preprocessing = imported.preprocessing
    normalise = {
        "normalise.mean": torch.tensor(preprocessing.mean).view(1, 3, 1, 1),
        "normalise.std": torch.tensor(preprocessing.std).view(1, 3, 1, 1),
    }
    model.load_state_dict({**imported.tensors, **normalise}, assign=True)
    return model.eval()


def _rescaled(model: FCN, imported: ImportedWeights) -> Tensor:
    """Rescale fc6 to the network's factor on pool5: a convolution of s x is s times that of x."""
    kernel = imported.tensors["head.fc6.weight"]
    if model.config.head_scale == "calibrate":
        model.set_scales(model.config.model_copy(update={"head_scale": imported.head_scale}))
    factor = imported.head_scale / model.head_scale
    return kernel if factor == 1 else kernel * factor
