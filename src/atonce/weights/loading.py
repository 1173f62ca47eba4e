"""Reading pretrained weights by name or path, and filling a network with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from atonce.errors import WeightsError
from atonce.model.fcn import FCN, skip_scales_of
from atonce.progress import ProgressCallback
from atonce.text import count_of
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
        kept: classes whose scores came from the weights.
        new: classes that the weights do not know; empty where the weights have no named classes.
        dropped: classes of the weights that the network does not have.
        advice: the numbers that would have let more of the weights be taken over; empty where all was.
    """

    layout: str
    loaded: tuple[str, ...]
    fresh: tuple[str, ...]
    kept: tuple[str, ...] = ()
    new: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    advice: str = ""

    def summary(self) -> str:
        """Say in one line what came from the weights: "kept 9 of 11 classes; new: tram, kerb"."""
        parts = [f"{self.layout}, {count_of(len(self.loaded), 'layer')}"]
        if self.kept or self.new:
            parts.append(f"kept {len(self.kept)} of {count_of(len(self.kept) + len(self.new), 'class', 'classes')}")
        named = (("new", self.new), ("left out", self.dropped), ("fresh", self.fresh))
        parts += [f"{what}: {', '.join(names)}" for what, names in named if names]
        return "; ".join([*parts, self.advice] if self.advice else parts)


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


def load_weights(
    model: FCN, source: str | Path, progress: ProgressCallback | None = None, *, classes: Sequence[str] = ()
) -> LoadReport:
    """Fill a network from pretrained weights, preprocessing included; see `load_into` for what is taken.

    Args:
        classes: the names of the network's classes.

    Raises:
        WeightsError: as `read_weights`, or the shapes are not the network's.
    """
    return load_into(model, read_weights(source, progress), classes)


def load_into(model: FCN, imported: ImportedWeights, classes: Sequence[str] = ()) -> LoadReport:
    """Copy trunk, head and preprocessing into a network, and the scores of classes that both know by the same name.

    fc6 and fc7 are skipped where the network's head has another width than theirs; they then start fresh too.
    What is taken over keeps computing what it did. A head_scale or skip_scales of `calibrate` become those that the
    weights were trained with; for given ones, fc6 and the score layers are multiplied to make up for the difference.

    Args:
        classes: the names of the network's classes, in the order of its scores; without them, as with weights whose
            classes have no names, all score layers start fresh.

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
        raise WeightsError(f"weights do not fit the network: {'; '.join(wrong)}", *_other_width(model, imported))
    if "head.fc6.weight" in usable:
        usable["head.fc6.weight"] = _rescaled(model, imported)
    kept = [name for name in classes if name in imported.classes]
    usable |= _score_tensors(model, imported, classes, kept)
    with torch.no_grad():
        for key, tensor in usable.items():
            target[key].copy_(tensor)
        model.normalise.set(imported.preprocessing)
    loaded = tuple(dict.fromkeys(key.rpartition(".")[0] for key in usable))
    layers = dict.fromkeys(name.rpartition(".")[0] for name, _ in model.named_parameters())
    named = bool(imported.classes) and bool(classes)
    return LoadReport(
        imported.layout,
        loaded,
        tuple(layer for layer in layers if layer not in loaded),
        kept=tuple(kept),
        new=tuple(name for name in classes if name not in kept) if named else (),
        dropped=tuple(name for name in imported.classes if name not in classes) if named else (),
        advice=""
        if head_fits
        else f"fc6 and fc7 start fresh: model.head_width is {model.config.head_width}, theirs is {imported.head_width}",
    )


def _other_width(model: FCN, imported: ImportedWeights) -> tuple[str, str]:
    """The second and third part of a message about a trunk of another width, with the number that fits."""
    if imported.network is None or imported.network.width == 1:
        remedy = f"model.width is {model.config.width}; pretrained VGG-16 weights need 1"
    else:
        remedy = f"model.width is {model.config.width}; these need {imported.network.width}"
    return "weights of the same width", remedy


def _score_tensors(
    model: FCN, imported: ImportedWeights, classes: Sequence[str], kept: Sequence[str]
) -> dict[str, Tensor]:
    """Build the score and upsampling tensors of a network in which the rows of the kept classes are the weights'."""
    if imported.network is None or not kept:
        return {}
    here = torch.tensor([classes.index(name) for name in kept])
    there = torch.tensor([imported.classes.index(name) for name in kept])
    target, found = model.state_dict(), dict[str, Tensor]()
    factors = _score_factors(model, imported)
    for key, kernel in imported.tensors.items():
        layer, _, part = key.rpartition(".")
        # Without the features that they were trained on, scores are worth nothing.
        if part != "weight" or key not in target or target[key].shape[2:] != kernel.shape[2:]:
            continue
        rows = target[key].clone()
        if layer.startswith("score_") and rows.shape[1] == kernel.shape[1]:
            rows[here] = kernel[there] * factors.get(layer, 1.0)
            found[f"{layer}.bias"] = target[f"{layer}.bias"].clone()
            found[f"{layer}.bias"][here] = imported.tensors[f"{layer}.bias"][there]
            found[key] = rows
        elif layer.startswith("up_"):
            # From each class to each class; what only one of the networks knows keeps its bilinear start.
            rows[here[:, None], here] = kernel[there[:, None], there]
            found[key] = rows
    return found


def _score_factors(model: FCN, imported: ImportedWeights) -> dict[str, float]:
    """Return what the kernels of the score layers are multiplied by: scores of s x are s times those of x."""
    assert imported.network
    trained = skip_scales_of(imported.network)
    if model.config.skip_scales == "calibrate" and set(model.scales) <= set(trained):
        scales = skip_scales_of(imported.network.model_copy(update={"stride": 8}))
        model.set_scales(model.config.model_copy(update={"skip_scales": (scales[4], scales[3])}))
    return {
        f"score_pools.pool{pool}": trained[pool] / scale
        for pool, scale in model.scales.items()
        if pool in trained and trained[pool] != scale
    }


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
