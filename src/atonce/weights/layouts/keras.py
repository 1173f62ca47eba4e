"""Keras VGG16 .h5 files (keras.applications.vgg16): the original weights, kernels as (H, W, in, out), conv1 over BGR.

Published as vgg16_weights_tf_dim_ordering_tf_kernels.h5 and ..._notop.h5, with arrays named
`block1_conv1/block1_conv1_W_1:0` and `..._b_1:0`; what Keras 2 saves itself is named
`block1_conv1/block1_conv1/kernel:0` and `.../bias:0`, below `model_weights/` in a whole model.
"""

from __future__ import annotations

import re

from atonce.errors import WeightsError
from atonce.model.preprocessing import CAFFE_VGG
from atonce.weights.channels_last import head_specs, trunk_specs
from atonce.weights.imported import ImportedWeights, take_tensors
from atonce.weights.tensor_files import WeightsFile

LAYOUT = "keras"

_ARRAY = re.compile(
    r"(?:^|/)(?P<layer>block\d_conv\d|fc[12])/(?:.+/)?(?:(?P=layer)_)?(?P<part>kernel|bias|W|b)(?:_\d+)?(?::0)?$"
)
_PARTS = {"kernel": "weight", "W": "weight", "bias": "bias", "b": "bias"}
_NEWER = "{layer}/{layer}/{part}:0"


def recognise(file: WeightsFile) -> str | None:
    """The layout's name where an array is called block1_conv1; None otherwise."""
    return LAYOUT if any(layer == "block1_conv1" for layer, _ in _find(file)) else None


def read(file: WeightsFile) -> ImportedWeights:
    """Read the convolutions, and fc1 and fc2 where the file was saved with the top of VGG-16.

    Raises:
        WeightsError: VGG-19, a file for Theano, or arrays missing, twice, of wrong shape or not finite.
    """
    found = _find(file)
    if ("block3_conv4", "weight") in found:
        raise WeightsError(f"{file.path} holds VGG-19", "VGG-16")

    def key_of(layer: str, part: str) -> str:
        """The path that an array has; where it is missing, the one that Keras would give it."""
        theirs, name = _layer_name(layer), "kernel" if part == "weight" else "bias"
        return found.get((theirs, part), _NEWER.format(layer=theirs, part=name))

    specs = [*trunk_specs(key_of, blue_first=True), *head_specs(file, key_of)]
    remedy = ""
    first = file.tensors.get(found.get(("block1_conv1", "weight"), ""))
    if first is not None and first.shape == (64, 3, 3, 3):
        remedy = "this file is for Theano; take the one with tf_dim_ordering_tf_kernels in its name"
    # A network around VGG-16 may have any layers besides.
    tensors = take_tensors(
        file,
        specs,
        ignored=lambda key: "/block" not in f"/{key}",
        network="VGG-16 as Keras has it",
        remedy=remedy,
    )
    return ImportedWeights(tensors, CAFFE_VGG, LAYOUT)


def _find(file: WeightsFile) -> dict[tuple[str, str], str]:
    """Find the path in the file of each array, by (layer, "weight" or "bias").

    Raises:
        WeightsError: two arrays for one.
    """
    found: dict[tuple[str, str], str] = {}
    for key in file.tensors:
        match = _ARRAY.search(key)
        if match:
            name = (match["layer"], _PARTS[match["part"]])
            if name in found:
                raise WeightsError(f"{file.path} holds {name[0]} twice: {found[name]} and {key}", "one VGG-16")
            found[name] = key
    return found


def _layer_name(layer: str) -> str:
    """Keras' name for a layer: conv1_1 is block1_conv1, fc6 is fc1."""
    return {"fc6": "fc1", "fc7": "fc2"}.get(layer, layer.replace("conv", "block").replace("_", "_conv"))
