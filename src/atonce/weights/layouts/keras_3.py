"""Keras 3 files of VGG16, .keras and .weights.h5: layers by their order, with their names beside them.

The arrays of a layer are `layers/conv2d_3/vars/0` and `/1`, kernel and bias; the group `vars` notes the layer's name,
block2_conv2. Files of Keras before 3.4 or so lack the note, and then the order tells: conv2d is the first convolution,
conv2d_12 the last. Below any prefix, where VGG-16 is a layer itself: `layers/functional/layers/conv2d/vars/0`.
"""

from __future__ import annotations

import re

from atonce.errors import WeightsError
from atonce.model.preprocessing import CAFFE_VGG
from atonce.model.vgg import TRUNK_LAYERS, VGG16_CHANNELS
from atonce.weights.channels_last import head_specs, trunk_specs
from atonce.weights.imported import ImportedWeights, take_tensors
from atonce.weights.tensor_files import WeightsFile

LAYOUT = "keras-3"

_VARIABLE = re.compile(r"^(?P<scope>(?:.*/)?)layers/(?P<layer>[^/]+)/vars/[01]$")
_NAMES = {name: name.replace("conv", "block").replace("_", "_conv") for name in TRUNK_LAYERS} | {
    "fc6": "fc1",
    "fc7": "fc2",
}
"""Keras' name for each of our layers."""


def recognise(file: WeightsFile) -> str | None:
    """The layout's name where a layer is noted as block1_conv1, or the first convolutions are VGG's; None otherwise."""
    return LAYOUT if _scopes(file) else None


def read(file: WeightsFile) -> ImportedWeights:
    """Read the convolutions, and fc1 and fc2 where they are VGG-16's.

    Raises:
        WeightsError: VGG-19; arrays missing, of wrong shape or not finite; two VGG-16 in one file.
    """
    scopes = _scopes(file)
    if len(scopes) > 1:
        raise WeightsError(f"{file.path} holds {len(scopes)} of VGG-16, in {' and in '.join(scopes[:4])}", "one VGG-16")
    scope = scopes[0] if scopes else ""
    layers = _layers_of(file, scope)
    if "block3_conv4" in layers:
        raise WeightsError(f"{file.path} holds VGG-19", "VGG-16")

    def key_of(layer: str, part: str) -> str:
        name = layers.get(_NAMES[layer], _NAMES[layer])
        return f"{scope}layers/{name}/vars/{0 if part == 'weight' else 1}"

    specs = [*trunk_specs(key_of, blue_first=True), *head_specs(file, key_of)]
    tensors = take_tensors(file, specs, ignored=lambda key: True, network="VGG-16 as Keras 3 has it")
    return ImportedWeights(tensors, CAFFE_VGG, LAYOUT)


def _scopes(file: WeightsFile) -> list[str]:
    """The path before the layers of each VGG-16 in the file."""
    found = []
    for key in file.tensors:
        match = _VARIABLE.match(key)
        if match and key.endswith("/0") and file.tensors[key].shape == (3, 3, 3, 64):
            noted = file.metadata.get(key.removesuffix("/vars/0"))
            if noted == "block1_conv1" or (noted is None and match["layer"] == "conv2d"):
                found.append(match["scope"])
    return found


def _layers_of(file: WeightsFile, scope: str) -> dict[str, str]:
    """The groups of a scope's layers, by Keras' names for the layers: block1_conv1 -> conv2d."""
    groups = {m["layer"]: None for key in file.tensors if (m := _VARIABLE.match(key)) and m["scope"] == scope}
    noted = {file.metadata.get(f"{scope}layers/{group}"): group for group in groups}
    if "block1_conv1" in noted:
        return {name: group for name, group in noted.items() if name is not None}
    by_order = {_NAMES[name]: "conv2d" + (f"_{i}" if i else "") for i, name in enumerate(VGG16_CHANNELS)}
    return by_order | {"fc1": "dense", "fc2": "dense_1"}
