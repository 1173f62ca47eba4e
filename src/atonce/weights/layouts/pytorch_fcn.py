"""FCN checkpoints as pytorch-fcn (torchfcn) names them: the authors' Caffe nets, and what is trained with it.

They take BGR minus the mean of the authors' voc_layers.py; conv1_1 is turned to RGB here, once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from atonce.errors import WeightsError, option
from atonce.model.preprocessing import CAFFE_FCN
from atonce.model.skips import bilinear_kernel
from atonce.recipes import FCNConfig
from atonce.weights.imported import VGG16_CHANNELS, ImportedWeights, Take, as_it_is, reverse_inputs, take_all
from atonce.weights.tensor_files import WeightsFile

LAYOUT = "pytorch-fcn"

# Upsampling layers of each variant, theirs and ours, with the factor by which each enlarges.
_UPSAMPLING: dict[int, tuple[tuple[str, str, int], ...]] = {
    32: (("upscore", "up_output", 32),),
    16: (("upscore2", "up_pools.pool4", 2), ("upscore16", "up_output", 16)),
    8: (("upscore2", "up_pools.pool4", 2), ("upscore_pool4", "up_pools.pool3", 2), ("upscore8", "up_output", 8)),
}
_POOLS = {4: 512, 3: 256}


def recognise(file: WeightsFile) -> str | None:
    """The layout's name where a convolution is called conv1_1, as in Caffe, and the scores score_fr."""
    return LAYOUT if {"conv1_1.weight", "score_fr.weight"} <= file.tensors.keys() else None


def read(file: WeightsFile) -> ImportedWeights:
    """A complete network, taken to be trained in stages; `trained_at_once` makes it the other one.

    Upsampling kernels that interpolate bilinearly, each class by itself, become fixed ones.

    Raises:
        WeightsError: tensors missing, unexpected, of wrong shape or not finite.
    """
    stride = next((s for s, ups in _UPSAMPLING.items() if f"{ups[-1][0]}.weight" in file.tensors), None)
    if stride is None:
        raise WeightsError(
            f"{file.path} holds no upsampling of scores to pixels",
            "upscore8.weight, upscore16.weight or upscore.weight",
        )
    classes, width = _length(file, "score_fr.bias"), _length(file, "fc6.bias")
    takes = [*_layers(stride, classes, width), *_upsampling(stride, classes)]
    tensors = take_all(file, takes, lambda key: False, f"FCN-{stride}s with {classes} classes")
    fixed = all(_is_bilinear(tensors[f"{ours}.weight"], factor) for _, ours, factor in _UPSAMPLING[stride])
    if fixed:
        tensors = {key: tensor for key, tensor in tensors.items() if not key.startswith("up_")}
    network = FCNConfig.model_validate(
        {
            "stride": stride,
            "alignment": "caffe",
            "skip_scales": "unit",
            "upsampling": "fixed" if fixed else "learned",
            "head_width": width,
        }
    )
    return ImportedWeights(tensors, CAFFE_FCN, LAYOUT, network=network)


def trained_at_once(imported: ImportedWeights) -> ImportedWeights:
    """The same weights as those of an FCN-8s at once: its keys are those of the staged one, its scales are not.

    Raises:
        WeightsError: not an FCN-8s.
    """
    if imported.network is None or imported.network.stride != 8:
        found = f"FCN-{imported.network.stride}s" if imported.network else f"VGG-16 ({imported.layout})"
        raise WeightsError(
            f"{option('at_once', True)} with {found}", "an FCN-8s", f"leave out {option('at_once', True)}"
        )
    return replace(imported, network=imported.network.model_copy(update={"skip_scales": "at-once"}))


def _layers(stride: int, classes: int, width: int) -> Iterator[Take]:
    for name, (outputs, inputs) in VGG16_CHANNELS.items():
        convert = reverse_inputs if name == "conv1_1" else as_it_is
        yield Take(f"trunk.{name}.weight", f"{name}.weight", (outputs, inputs, 3, 3), convert)
        yield Take(f"trunk.{name}.bias", f"{name}.bias", (outputs,))
    scored = [("head.fc6", "fc6", (width, 512, 7, 7)), ("head.fc7", "fc7", (width, width, 1, 1))]
    scored += [("score_fc7", "score_fr", (classes, width, 1, 1))]
    scored += [
        (f"score_pools.pool{pool}", f"score_pool{pool}", (classes, channels, 1, 1))
        for pool, channels in _POOLS.items()
        if 2**pool >= stride
    ]
    for ours, theirs, shape in scored:
        yield Take(f"{ours}.weight", f"{theirs}.weight", shape)
        yield Take(f"{ours}.bias", f"{theirs}.bias", shape[:1])


def _upsampling(stride: int, classes: int) -> Iterator[Take]:
    for theirs, ours, factor in _UPSAMPLING[stride]:
        yield Take(f"{ours}.weight", f"{theirs}.weight", (classes, classes, 2 * factor, 2 * factor))


def _is_bilinear(kernel: Tensor, factor: int) -> bool:
    """Whether a (C, C, 2 f, 2 f) kernel interpolates each class and mixes none."""
    expected = torch.zeros_like(kernel)
    for k in range(len(kernel)):
        expected[k, k] = bilinear_kernel(factor)
    # Caffe computes its filler in single precision, pytorch-fcn in double.
    return torch.allclose(kernel, expected, rtol=0, atol=1e-6)


def _length(file: WeightsFile, key: str) -> int:
    """Entries of a bias; where it is missing, a number that lets `take_all` say so."""
    bias = file.tensors.get(key)
    return len(bias) if bias is not None and bias.ndim == 1 else 1
