"""Keras VGG16 .h5 files (keras.applications.vgg16): the original weights, kernels as (H, W, in, out), conv1 over BGR.

Published as vgg16_weights_tf_dim_ordering_tf_kernels.h5 and ..._notop.h5, with arrays named
`block1_conv1/block1_conv1_W_1:0` and `..._b_1:0`; what Keras 2 saves itself is named
`block1_conv1/block1_conv1/kernel:0` and `.../bias:0`, below `model_weights/` in a whole model.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from torch import Tensor

from atonce.errors import WeightsError
from atonce.model.preprocessing import CAFFE_VGG
from atonce.model.vgg import VGG16_CHANNELS
from atonce.weights.imported import POOL5, ImportedWeights, TensorSpec, reverse_inputs, take_tensors
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
    specs = list(_trunk(found))
    if _has_head(file.tensors, found):
        specs += _head(found, len(file.tensors[found["fc1", "bias"]]))
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


def _key(found: Mapping[tuple[str, str], str], layer: str, part: str) -> str:
    """The path that an array has; where it is missing, the one that Keras would give it."""
    name = "kernel" if part == "weight" else "bias"
    return found.get((layer, part), _NEWER.format(layer=layer, part=name))


def _trunk(found: Mapping[tuple[str, str], str]) -> Iterator[TensorSpec]:
    for name, (outputs, inputs) in VGG16_CHANNELS.items():
        layer = name.replace("conv", "block").replace("_", "_conv")
        convert = _first_kernel if name == "conv1_1" else _kernel
        yield TensorSpec(f"trunk.{name}.weight", _key(found, layer, "weight"), (3, 3, inputs, outputs), convert)
        yield TensorSpec(f"trunk.{name}.bias", _key(found, layer, "bias"), (outputs,))


def _head(found: Mapping[tuple[str, str], str], width: int) -> Iterator[TensorSpec]:
    yield TensorSpec("head.fc6.weight", _key(found, "fc1", "weight"), (25088, width), _fc6)
    yield TensorSpec("head.fc6.bias", _key(found, "fc1", "bias"), (width,))
    yield TensorSpec("head.fc7.weight", _key(found, "fc2", "weight"), (width, width), lambda w: w.T[:, :, None, None])
    yield TensorSpec("head.fc7.bias", _key(found, "fc2", "bias"), (width,))


def _has_head(tensors: Mapping[str, Tensor], found: Mapping[tuple[str, str], str]) -> bool:
    """Tell whether fc1 and fc2 are VGG-16's: many a network of one's own has an fc1 too."""
    if not {(layer, part) for layer in ("fc1", "fc2") for part in ("weight", "bias")} <= found.keys():
        return False
    width = len(tensors[found["fc1", "bias"]])
    shapes = tensors[found["fc1", "weight"]].shape, tensors[found["fc2", "weight"]].shape
    return shapes == ((25088, width), (width, width))


def _kernel(kernel: Tensor) -> Tensor:
    """Turn a kernel (H, W, in, out) into (out, in, H, W)."""
    return kernel.permute(3, 2, 0, 1)


def _first_kernel(kernel: Tensor) -> Tensor:
    return reverse_inputs(_kernel(kernel))


def _fc6(columns: Tensor) -> Tensor:
    """Turn fc1, (25088, out) over pool5 laid flat as (H, W, C), into a kernel (out, C, 7, 7)."""
    channels, height, width = POOL5
    return _kernel(columns.reshape(height, width, channels, -1))
