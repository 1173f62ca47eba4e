"""VGG-16 with kernels arranged as (H, W, in, out), as TensorFlow and Keras have them: what their layouts share.

Their dense fc6 is given pool5 laid flat as (H, W, C); Caffe and PyTorch lay it flat as (C, H, W).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from torch import Tensor

from atonce.model.vgg import VGG16_CHANNELS
from atonce.weights.imported import POOL5, TensorSpec, reverse_inputs
from atonce.weights.tensor_files import WeightsFile

KeyOf = Callable[[str, str], str]
"""The name in a file of a layer's "weight" or "bias"; layers are conv1_1 ... conv5_3, fc6, fc7."""

POSITIONS = POOL5[1] * POOL5[2] * POOL5[0]
"""The inputs of a dense fc6: 25088."""


def trunk_specs(key_of: KeyOf, *, blue_first: bool) -> Iterator[TensorSpec]:
    """Yield what is to be taken for the convolutions; `blue_first` where conv1_1 is given BGR."""
    for name, (outputs, inputs) in VGG16_CHANNELS.items():
        convert = _blue_first_kernel if blue_first and name == "conv1_1" else kernel_of
        yield TensorSpec(f"trunk.{name}.weight", key_of(name, "weight"), (3, 3, inputs, outputs), convert)
        yield TensorSpec(f"trunk.{name}.bias", key_of(name, "bias"), (outputs,))


def head_specs(file: WeightsFile, key_of: KeyOf) -> Iterator[TensorSpec]:
    """Yield what is to be taken for fc6 and fc7; nothing where the file has none, or others than VGG-16's.

    Both forms are known: dense (25088, width) and (width, width), or convolutions (7, 7, 512, width) and
    (1, 1, width, width).
    """
    keys = {(layer, part): key_of(layer, part) for layer in ("fc6", "fc7") for part in ("weight", "bias")}
    if not all(key in file.tensors for key in keys.values()):
        return
    bias = file.tensors[keys["fc6", "bias"]]
    width = len(bias) if bias.ndim == 1 else 0
    dense = ((POSITIONS, width), (width, width))
    convolutions = ((*POOL5[1:], POOL5[0], width), (1, 1, width, width))
    shapes = tuple(tuple(file.tensors[keys[layer, "weight"]].shape) for layer in ("fc6", "fc7"))
    if shapes not in (dense, convolutions):
        return
    converters = (fc6_of, lambda matrix: matrix.T[:, :, None, None]) if shapes == dense else (kernel_of, kernel_of)
    for layer, shape, convert in zip(("fc6", "fc7"), shapes, converters, strict=True):
        yield TensorSpec(f"head.{layer}.weight", keys[layer, "weight"], shape, convert)
        yield TensorSpec(f"head.{layer}.bias", keys[layer, "bias"], (width,))


def kernel_of(kernel: Tensor) -> Tensor:
    """Turn a kernel (H, W, in, out) into (out, in, H, W)."""
    return kernel.permute(3, 2, 0, 1)


def fc6_of(matrix: Tensor) -> Tensor:
    """Turn a dense fc6, (25088, out) over pool5 laid flat as (H, W, C), into a kernel (out, C, 7, 7)."""
    channels, height, width = POOL5
    return kernel_of(matrix.reshape(height, width, channels, -1))


def _blue_first_kernel(kernel: Tensor) -> Tensor:
    return reverse_inputs(kernel_of(kernel))
