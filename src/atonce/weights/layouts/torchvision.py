"""torchvision vgg16 state dicts (.pth): `features.N`, and `classifier.0` and `.3` as fc6 and fc7.

Three sets of weights go by these names and want different input, so they are told apart by conv1_1:
torchvision's own training; the original convolutions of Simonyan and Zisserman (IMAGENET1K_FEATURES);
and the original as pytorch-fcn converted it from Caffe (vgg16_from_caffe.pth), complete, over BGR.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from atonce.errors import WeightsError, option
from atonce.model.preprocessing import CAFFE_VGG, TORCHVISION
from atonce.model.vgg import BLOCKS, TRUNK_LAYERS, VGG16_CHANNELS
from atonce.weights.imported import POOL5, ImportedWeights, TensorSpec, reverse_inputs, take_tensors, unchanged
from atonce.weights.tensor_files import WeightsFile

V1, FEATURES, CAFFE = "torchvision-v1", "torchvision-features", "torchvision-caffe"

_COUNTS = {"VGG-11": (1, 1, 2, 2, 2), "VGG-13": (2, 2, 2, 2, 2), "VGG-19": (2, 2, 4, 4, 4)}

# conv1_1.weight[0, :, 0, :]: the top row of the first kernel over red, green and blue, as published.
_V1_ROWS = ((-0.5537, 0.1427, 0.5290), (0.1755, 0.0099, -0.0814), (0.3130, -0.1659, -0.4275))
_ORIGINAL_ROWS = ((0.4800, 0.4085, -0.0651), (0.5504, 0.4401, -0.0814), (0.4295, 0.3735, -0.0614))
_ROWS = {V1: _V1_ROWS, FEATURES: _ORIGINAL_ROWS, CAFFE: _ORIGINAL_ROWS[::-1]}
# Fine-tuning moves conv1_1 by less; other weights of VGG-16 differ by more.
_TOLERANCE = 0.05


def convolution_indices(counts: Sequence[int]) -> Iterator[int]:
    """Yield the index in `features` of each convolution; ReLU and pooling take the numbers between.

    Args:
        counts: convolutions in each block.
    """
    index = 0
    for count in counts:
        for _ in range(count):
            yield index
            index += 2
        index += 1


_INDICES = dict(zip(TRUNK_LAYERS, convolution_indices([count for _, count in BLOCKS]), strict=True))


def recognise(file: WeightsFile) -> str | None:
    """The layout of a file with torchvision's names, None for other names.

    Weights that are neither of the published ones are taken for torchvision's way of training where they
    have a classifier, for the original's where it is NaN, as torchvision publishes that one.

    Raises:
        WeightsError: conv1_1 is unknown and there is no classifier: nothing tells what input they want.
    """
    first = file.tensors.get("features.0.weight")
    if first is None:
        return None
    if first.shape == (64, 3, 3, 3):
        row = first[0, :, 0].float()
        distances = {name: float((row - torch.tensor(rows)).abs().max()) for name, rows in _ROWS.items()}
        nearest = min(distances, key=distances.__getitem__)
        if distances[nearest] < _TOLERANCE:
            return nearest
    classifier = file.tensors.get("classifier.0.weight")
    if classifier is not None:
        return FEATURES if classifier.isnan().all() else V1
    refuse_variants(file)
    raise WeightsError(
        f"{file.path} holds the convolutions of a VGG-16 of unknown origin, so its preprocessing is unknown",
        "published weights, or a classifier with them",
        f"say which it is with `atonce weights convert`: {option('from', V1)} (values 0..1, mean and deviation) "
        f"or {option('from', FEATURES)} (values 0..255 minus the mean)",
    )


def read(file: WeightsFile, layout: str) -> ImportedWeights:
    """Read weights of one of the three layouts. A classifier of the file's owner's own design is left out.

    Raises:
        WeightsError: another VGG, or tensors missing, unexpected, of wrong shape or not finite.
    """
    refuse_variants(file)
    specs = list(trunk_specs(layout))
    if _has_head(file.tensors, layout):
        specs += _head(len(file.tensors["classifier.0.bias"]))
    tensors = take_tensors(file, specs, ignored=lambda key: key.startswith("classifier."), network="VGG-16")
    return ImportedWeights(tensors, TORCHVISION if layout == V1 else CAFFE_VGG, layout)


def trunk_specs(layout: str) -> Iterator[TensorSpec]:
    for name, index in _INDICES.items():
        outputs, inputs = VGG16_CHANNELS[name]
        convert = reverse_inputs if layout == CAFFE and name == "conv1_1" else unchanged
        yield TensorSpec(f"trunk.{name}.weight", f"features.{index}.weight", (outputs, inputs, 3, 3), convert)
        yield TensorSpec(f"trunk.{name}.bias", f"features.{index}.bias", (outputs,))


def _head(width: int) -> Iterator[TensorSpec]:
    # A row of classifier.0 is a (512, 7, 7) patch of pool5 laid flat: the same numbers are a 7x7 kernel.
    yield TensorSpec("head.fc6.weight", "classifier.0.weight", (width, 25088), lambda rows: rows.reshape(-1, *POOL5))
    yield TensorSpec("head.fc6.bias", "classifier.0.bias", (width,))
    yield TensorSpec("head.fc7.weight", "classifier.3.weight", (width, width), lambda rows: rows[:, :, None, None])
    yield TensorSpec("head.fc7.bias", "classifier.3.bias", (width,))


def _has_head(tensors: Mapping[str, Tensor], layout: str) -> bool:
    """Tell whether the classifier begins as VGG-16's does, and is not the NaN that FEATURES is published with."""
    first, second = tensors.get("classifier.0.weight"), tensors.get("classifier.3.weight")
    if first is None or second is None or not first.ndim == second.ndim == 2:
        return False
    if first.shape != (len(first), 25088) or second.shape != (len(first), len(first)):
        return False
    return layout != FEATURES or not bool(first.isnan().all())


def refuse_variants(file: WeightsFile) -> None:
    """Refuse the file of another VGG, a mistake that deserves more than a list of keys."""
    found = {key for key, tensor in file.tensors.items() if key.startswith("features.") and tensor.ndim == 4}
    if any(key.startswith("features.") and key.endswith("running_mean") for key in file.tensors):
        raise WeightsError(f"{file.path} holds a VGG with batch normalisation", "VGG-16 without (vgg16, not vgg16_bn)")
    for name, counts in _COUNTS.items():
        if found == {f"features.{index}.weight" for index in convolution_indices(counts)}:
            raise WeightsError(f"{file.path} holds {name}", "VGG-16")
