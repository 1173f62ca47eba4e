"""pytorch-fcn (torchfcn) checkpoints of FCN-32s, FCN-16s and FCN-8s: the authors' Caffe nets, and trained ones.

They take BGR minus the mean of the authors' voc_layers.py; conv1_1 is turned to RGB here, once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from atonce.errors import WeightsError, option
from atonce.model.preprocessing import CAFFE_FCN
from atonce.model.upsampling import bilinear_kernel
from atonce.model.vgg import BLOCKS, VGG16_CHANNELS
from atonce.recipes import FCNConfig
from atonce.weights.imported import ImportedWeights, TensorSpec, reverse_inputs, take_tensors, unchanged
from atonce.weights.tensor_files import WeightsFile

LAYOUT = "pytorch-fcn"

# The layer that upsamples to pixels, by the variant's stride, and those before it, by the pool whose scores they meet.
_UPSAMPLING_TO_PIXELS = {32: "upscore", 16: "upscore16", 8: "upscore8"}
_UPSAMPLING_TO_POOL = {4: "upscore2", 3: "upscore_pool4"}

FILE_NAME = "the file's name"
"""The evidence that the published FCN8sAtOnce was trained at once."""
_AT_ONCE_NAME = re.compile(r"fcn[-_]?8s[-_]?at[-_]?once", re.IGNORECASE)
"""The part of a name that says so: the published checkpoint is called fcn8s-atonce_from_caffe.pth."""


def recognise(file: WeightsFile) -> str | None:
    """The layout's name where a convolution is called conv1_1, as in Caffe, and the scores score_fr; None otherwise."""
    return LAYOUT if {"conv1_1.weight", "score_fr.weight"} <= file.tensors.keys() else None


def read(file: WeightsFile) -> ImportedWeights:
    """Read a complete network; see `read_network`.

    Its keys are the same whether an FCN-8s was trained in stages or at once. The checkpoints of pytorch-fcn's trainer
    say which, `arch: FCN8sAtOnce`; of the published ones only the file's name does. Without either it is taken to be
    trained in stages, and `trained_at_once` makes it the other one.

    Raises:
        WeightsError: tensors missing, unexpected, of wrong shape or not finite.
    """
    imported = read_network(file, LAYOUT)
    assert imported.network is not None
    if imported.network.stride != 8:
        return imported
    if arch := file.metadata.get("arch"):
        known = {"FCN8s": False, "FCN8sAtOnce": True}.get(arch.rpartition(".")[2])
        if known is not None:
            imported = replace(imported, scales_known_from=f"arch: {arch[:40]}")
            return trained_at_once(imported) if known else imported
    if _AT_ONCE_NAME.search(file.path.name):
        return trained_at_once(replace(imported, scales_known_from=FILE_NAME))
    return imported


def stride_of(file: WeightsFile) -> int | None:
    """The stride of the FCN in a file, by the layer that upsamples to pixels; None where there is no such layer."""
    return next((s for s, name in _UPSAMPLING_TO_PIXELS.items() if f"{name}.weight" in file.tensors), None)


def read_network(file: WeightsFile, layout: str) -> ImportedWeights:
    """Read a complete network whose layers have the names of the authors' nets, with skip scales of 1.

    Upsampling kernels that interpolate bilinearly, each class by itself, become fixed ones.

    Args:
        layout: the name of the layout that the file is of.

    Raises:
        WeightsError: tensors missing, unexpected, of wrong shape or not finite.
    """
    stride = stride_of(file)
    if stride is None:
        raise WeightsError(
            f"{file.path} holds no upsampling of scores to pixels",
            "upscore8.weight, upscore16.weight or upscore.weight",
        )
    classes, width = _length(file, "score_fr.bias"), _length(file, "fc6.bias")
    network = FCNConfig.model_validate(
        {"stride": stride, "alignment": "caffe", "skip_scales": "unit", "upsampling": "learned", "head_width": width}
    )
    specs = [*_layers(network, classes), *_upsampling(network, classes)]
    tensors = take_tensors(file, specs, ignored=lambda key: False, network=f"FCN-{stride}s with {classes} classes")
    if all(_is_bilinear(tensors[spec.name]) for spec in _upsampling(network, classes)):
        network = network.model_copy(update={"upsampling": "fixed"})
        tensors = {name: tensor for name, tensor in tensors.items() if not name.startswith("up_")}
    return ImportedWeights(tensors, CAFFE_FCN, layout, network=network)


def trained_at_once(imported: ImportedWeights) -> ImportedWeights:
    """Take weights for those of an FCN-8s trained at once: its keys are those of a staged one, its scales are not.

    Raises:
        WeightsError: not an FCN-8s.
    """
    if imported.network is None or imported.network.stride != 8:
        found = f"FCN-{imported.network.stride}s" if imported.network else f"VGG-16 ({imported.layout})"
        raise WeightsError(
            f"{option('at_once', value=True)} with {found}", "an FCN-8s", f"leave out {option('at_once', value=True)}"
        )
    return replace(imported, network=imported.network.model_copy(update={"skip_scales": "at-once"}))


def _layers(network: FCNConfig, classes: int) -> Iterator[TensorSpec]:
    for name, (outputs, inputs) in VGG16_CHANNELS.items():
        convert = reverse_inputs if name == "conv1_1" else unchanged
        yield TensorSpec(f"trunk.{name}.weight", f"{name}.weight", (outputs, inputs, 3, 3), convert)
        yield TensorSpec(f"trunk.{name}.bias", f"{name}.bias", (outputs,))
    width = network.head_width
    scored = [("head.fc6", "fc6", (width, 512, 7, 7)), ("head.fc7", "fc7", (width, width, 1, 1))]
    scored += [("score_fc7", "score_fr", (classes, width, 1, 1))]
    scored += [
        (f"score_pools.pool{pool}", f"score_pool{pool}", (classes, BLOCKS[pool - 1][0], 1, 1)) for pool in network.skips
    ]
    for ours, theirs, shape in scored:
        yield TensorSpec(f"{ours}.weight", f"{theirs}.weight", shape)
        yield TensorSpec(f"{ours}.bias", f"{theirs}.bias", shape[:1])


def _upsampling(network: FCNConfig, classes: int) -> Iterator[TensorSpec]:
    layers = [(f"up_pools.pool{pool}", _UPSAMPLING_TO_POOL[pool], 2) for pool in network.skips]
    layers += [("up_output", _UPSAMPLING_TO_PIXELS[network.stride], network.stride)]
    for ours, theirs, factor in layers:
        yield TensorSpec(f"{ours}.weight", f"{theirs}.weight", (classes, classes, 2 * factor, 2 * factor))


def _is_bilinear(kernel: Tensor) -> bool:
    """Tell whether a kernel (C, C, 2 f, 2 f) interpolates each class and mixes none."""
    expected = torch.zeros_like(kernel)
    for k in range(len(kernel)):
        expected[k, k] = bilinear_kernel(kernel.shape[2] // 2)
    # Caffe computes its filler in single precision, pytorch-fcn in double.
    return torch.allclose(kernel, expected, rtol=0, atol=1e-6)


def _length(file: WeightsFile, key: str) -> int:
    """The number of entries of a bias; where it is missing, a number that lets `take_tensors` say so."""
    bias = file.tensors.get(key)
    return len(bias) if bias is not None and bias.ndim == 1 else 1
