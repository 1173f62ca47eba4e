"""timm's and Hugging Face's vgg16.tv_in1k (model.safetensors): `features.N`, `pre_logits.fc1` as fc6, `.fc2` as fc7.

They are torchvision's own training under other names: values 0..1, mean and deviation. timm's `features_only` networks,
`features_N`, hold the convolutions alone and are recognised as torchvision's.
"""

from __future__ import annotations

from collections.abc import Iterator

from atonce.model.preprocessing import TORCHVISION
from atonce.weights.imported import ImportedWeights, TensorSpec, take_tensors
from atonce.weights.layouts.torchvision import V1, refuse_variants, trunk_specs
from atonce.weights.tensor_files import WeightsFile

LAYOUT = "timm"

_HEAD = {"fc6": ("pre_logits.fc1", 7), "fc7": ("pre_logits.fc2", 1)}
"""timm's names of fc6 and fc7, and the sides of their kernels."""


def recognise(file: WeightsFile) -> str | None:
    """The layout's name where fc6 is called pre_logits.fc1; None otherwise."""
    return LAYOUT if {"features.0.weight", "pre_logits.fc1.weight"} <= file.tensors.keys() else None


def read(file: WeightsFile) -> ImportedWeights:
    """Read the convolutions and the head; the classifier, `head.fc`, belongs to the classes of its training.

    Raises:
        WeightsError: another VGG, or tensors missing, unexpected, of wrong shape or not finite.
    """
    refuse_variants(file)
    specs = [*trunk_specs(V1), *_head(file)]
    tensors = take_tensors(file, specs, ignored=lambda key: key.startswith("head."), network="VGG-16 as timm has it")
    return ImportedWeights(tensors, TORCHVISION, LAYOUT)


def _head(file: WeightsFile) -> Iterator[TensorSpec]:
    bias = file.tensors.get("pre_logits.fc1.bias")
    width = len(bias) if bias is not None and bias.ndim == 1 else 1
    for layer, (theirs, side) in _HEAD.items():
        inputs = 512 if layer == "fc6" else width
        yield TensorSpec(f"head.{layer}.weight", f"{theirs}.weight", (width, inputs, side, side))
        yield TensorSpec(f"head.{layer}.bias", f"{theirs}.bias", (width,))
