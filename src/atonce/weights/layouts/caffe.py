"""Caffe's .caffemodel files: VGG_ILSVRC_16_layers, and the FCN authors' fcn32s, fcn16s, fcn8s and fcn8s-atonce.

Blobs are arranged as in PyTorch, and conv1_1 is given BGR. The authors' nets have the layers that pytorch-fcn has, and
fcn8s-atonce has two more: scale_pool4 and scale_pool3, of type Scale, so that it says itself how it was trained. Other
networks on VGG-16 give their convolutions, and fc6 and fc7 where these are VGG-16's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from atonce.errors import WeightsError
from atonce.model.fcn import AT_ONCE
from atonce.model.preprocessing import CAFFE_VGG
from atonce.model.vgg import VGG16_CHANNELS
from atonce.weights.imported import POOL5, ImportedWeights, TensorSpec, reverse_inputs, take_tensors, unchanged
from atonce.weights.layouts import pytorch_fcn
from atonce.weights.tensor_files import WeightsFile

LAYOUT = "caffe"

_FORMAT = "caffemodel"
_SCALES = ("scale_pool4", "scale_pool3")
"""The authors' names for the layers of type Scale, in the order of `skip_scales`."""


def recognise(file: WeightsFile) -> str | None:
    """The layout's name for a .caffemodel with a conv1_1; None for others."""
    return LAYOUT if file.format == _FORMAT and "conv1_1.weight" in file.tensors else None


def read(file: WeightsFile) -> ImportedWeights:
    """Read a complete FCN where the file holds the authors' layers, else a VGG-16.

    Raises:
        WeightsError: VGG-19, batch normalisation; blobs missing, of wrong shape or not finite; scales that differ from
            channel to channel.
    """
    if "conv3_4.weight" in file.tensors:
        raise WeightsError(f"{file.path} holds VGG-19", "VGG-16")
    if "BatchNorm" in file.metadata.values() or "BN" in file.metadata.values():
        raise WeightsError(f"{file.path} holds a VGG with batch normalisation", "VGG-16 without")
    if pytorch_fcn.stride_of(file) is not None and "score_fr.weight" in file.tensors:
        return _fcn(file)
    specs = [*_trunk(), *_head(file.tensors)]
    tensors = take_tensors(file, specs, ignored=lambda key: True, network="VGG-16")
    return ImportedWeights(tensors, CAFFE_VGG, LAYOUT)


def _fcn(file: WeightsFile) -> ImportedWeights:
    """Read one of the authors' networks: its layers as pytorch-fcn's, its scales from the layers of type Scale."""
    scales = {name: file.tensors[f"{name}.weight"] for name in _SCALES if f"{name}.weight" in file.tensors}
    tensors = {
        key: _ungrouped(tensor) if file.metadata.get(key.rpartition(".")[0]) == "Deconvolution" else tensor
        for key, tensor in file.tensors.items()
        if key.rpartition(".")[0] not in scales
    }
    imported = pytorch_fcn.read_network(replace(file, tensors=tensors), LAYOUT)
    assert imported.network is not None
    if not scales or imported.network.stride == 32:
        return replace(imported, scales_known_from="no Scale layers")
    factors = tuple(_constant(file, name, scales[name]) if name in scales else 1.0 for name in _SCALES)
    # Single precision: 0.01 in a file is 0.0099999998.
    at_once = all(abs(found / known - 1) < 1e-6 for found, known in zip(factors, AT_ONCE, strict=True))
    network = imported.network.model_copy(update={"skip_scales": "at-once" if at_once else factors})
    return replace(imported, network=network, scales_known_from="its Scale layers")


def _constant(file: WeightsFile, name: str, scale: Tensor) -> float:
    """The one number that a Scale layer multiplies all channels by."""
    value = float(scale.flatten()[0])
    if not bool((scale == value).all()) or not value > 0:
        raise WeightsError(f"{file.path}: {name} scales each channel differently", "one positive factor for a pool")
    if f"{name}.bias" in file.tensors:
        raise WeightsError(f"{file.path}: {name} adds a bias", "a factor alone")
    return value


def _ungrouped(kernel: Tensor) -> Tensor:
    """Turn the kernel (C, 1, k, k) of a deconvolution in C groups into a dense one (C, C, k, k)."""
    classes = len(kernel)
    if kernel.ndim != 4 or kernel.shape[1] != 1 or classes == 1 or classes > 1024:
        return kernel
    dense = torch.zeros(classes, classes, *kernel.shape[2:])
    dense[range(classes), range(classes)] = kernel[:, 0]
    return dense


def _trunk() -> Iterator[TensorSpec]:
    for name, (outputs, inputs) in VGG16_CHANNELS.items():
        convert = reverse_inputs if name == "conv1_1" else unchanged
        yield TensorSpec(f"trunk.{name}.weight", f"{name}.weight", (outputs, inputs, 3, 3), convert)
        yield TensorSpec(f"trunk.{name}.bias", f"{name}.bias", (outputs,))


def _head(tensors: Mapping[str, Tensor]) -> Iterator[TensorSpec]:
    """fc6 and fc7, dense (a row of fc6 is a patch of pool5 laid flat as (C, H, W)) or as convolutions."""
    if not {f"{layer}.{part}" for layer in ("fc6", "fc7") for part in ("weight", "bias")} <= tensors.keys():
        return
    width = len(tensors["fc6.bias"])
    shapes = tuple(tuple(tensors[f"{layer}.weight"].shape) for layer in ("fc6", "fc7"))
    if shapes not in (((width, 25088), (width, width)), ((width, *POOL5), (width, width, 1, 1))):
        return
    for layer, shape, kernel in zip(("fc6", "fc7"), shapes, (POOL5, (width, 1, 1)), strict=True):
        convert = partial(torch.Tensor.reshape, shape=(width, *kernel))
        yield TensorSpec(f"head.{layer}.weight", f"{layer}.weight", shape, convert)
        yield TensorSpec(f"head.{layer}.bias", f"{layer}.bias", (width,))
