"""FCN.forward, node by node. Whoever changes one of the two changes the other: tests compare every variant."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from atonce.model.fcn import CAFFE_OUTPUT_CROP, CAFFE_SKIP_CROP, FCN
from atonce.model.skips import FixedUpsample, LearnedUpsample, bilinear_kernel
from atonce.model.vgg import BLOCKS
from atonce.onnx_graph.node_builder import Builder


def add_network(b: Builder, model: FCN, pixels: str) -> str:
    """float32 (N, 3, H, W) RGB 0..255 -> logits float32 (N, C, H, W); returns their name."""
    height_width = b.height_width(pixels)
    pools = _trunk(b, model, _pad(b, model, _normalise(b, model, pixels), height_width))
    head = model.head
    x = _convolution(b, head.fc6, "fc6", pools[5], scale=model.head_scale, padding=head.padding)
    x = b.add("Relu", x, name="relu6")
    x = b.add("Relu", _convolution(b, head.fc7, "fc7", x), name="relu7")
    scores = _convolution(b, model.score_fc7, "score_fc7", x)
    for pool, scale in model.scales.items():
        name = f"pool{pool}"
        scores = _enlarge(b, model.up_pools[name], f"up_{name}", scores)
        skip = _convolution(b, model.score_pools[name], f"score_{name}", pools[pool], scale=scale)
        if model.caffe:
            skip = _crop(b, skip, CAFFE_SKIP_CROP[pool], b.height_width(scores))
        scores = b.add("Add", scores, skip, name=f"fuse_{name}")
    scores = _enlarge(b, model.up_output, "up_output", scores)
    return _crop(b, scores, CAFFE_OUTPUT_CROP[model.config.stride] if model.caffe else 0, height_width)


def _normalise(b: Builder, model: FCN, pixels: str) -> str:
    x = b.add("Sub", pixels, b.constant(model.normalise.mean, "mean"), name="centred")
    if bool((model.normalise.std == 1).all()):
        return x
    return b.add("Div", x, b.constant(model.normalise.std, "std"), name="normalised")


def _pad(b: Builder, model: FCN, x: str, height_width: str) -> str:
    """FCN.pad: zeros at the right and below, up to multiples of 32."""
    if model.caffe:
        return x
    stride = b.integers(32, 32)
    beyond = b.add("Mod", b.add("Sub", stride, b.add("Mod", height_width, stride)), stride)
    return b.add("Pad", x, b.add("Concat", b.integers(*[0] * 6), beyond, axis=0), name="padded")


def _trunk(b: Builder, model: FCN, x: str) -> dict[int, str]:
    pools = {}
    for block, (_, count) in enumerate(BLOCKS, 1):
        for index in range(1, count + 1):
            name = f"{block}_{index}"
            layer = model.trunk.get_submodule(f"conv{name}")
            x = b.add("Relu", _convolution(b, layer, f"conv{name}", x), name=f"relu{name}")
        x = pools[block] = b.add(
            "MaxPool",
            x,
            name=f"pool{block}",
            kernel_shape=[2, 2],
            strides=[2, 2],
            ceil_mode=int(model.trunk.ceil_pooling),
        )
    return pools


def _convolution(
    b: Builder, layer: nn.Module, name: str, x: str, scale: float = 1.0, padding: int | None = None
) -> str:
    """A convolution of `scale * x`, the factor taken into the kernel: that saves a pass over the pool."""
    assert isinstance(layer, nn.Conv2d)
    assert layer.bias is not None
    kernel = (layer.weight.detach().double() * scale).float()
    pads = [int(layer.padding[0]) if padding is None else padding] * 4
    parameters = (b.constant(kernel, f"{name}.weight"), b.constant(layer.bias, f"{name}.bias"))
    return b.add("Conv", x, *parameters, name=name, kernel_shape=list(layer.kernel_size), pads=pads)


def _enlarge(b: Builder, layer: nn.Module, name: str, x: str) -> str:
    if isinstance(layer, LearnedUpsample):
        return _transposed(b, name, x, layer.weight, layer.stride[0], int(layer.padding[0]), groups=1)
    assert isinstance(layer, FixedUpsample)
    factor = layer.factor
    if layer.exact:
        channels = _channels(b, x)
        kernel = bilinear_kernel(factor).expand(channels, 1, -1, -1)
        return _transposed(b, name, x, kernel, factor, 0, groups=channels)
    scales = b.constant(torch.tensor([1.0, 1.0, factor, factor]))
    return resize(b, x, scales=scales, name=name)


def _channels(b: Builder, x: str) -> int:
    """Classes: the length of the only bias that all scores have."""
    return next(int(c.dims[0]) for c in b.constants if c.name == "score_fc7.bias")


def _transposed(b: Builder, name: str, x: str, kernel: Tensor, stride: int, padding: int, groups: int) -> str:
    weight = b.constant(kernel, f"{name}.weight")
    shape: dict[str, Any] = {"kernel_shape": list(kernel.shape[2:]), "strides": [stride] * 2, "pads": [padding] * 4}
    return b.add("ConvTranspose", x, weight, name=name, group=groups, **shape)


def _crop(b: Builder, x: str, offset: int, height_width: str) -> str:
    start = b.integers(offset, offset)
    return b.add("Slice", x, start, b.add("Add", height_width, start), b.integers(2, 3))


def resize(b: Builder, x: str, scales: str = "", sizes: str = "", name: str = "") -> str:
    """Bilinear, as F.interpolate(align_corners=False)."""
    inputs = [x, "", scales, sizes] if sizes else [x, "", scales]
    return b.add("Resize", *inputs, name=name, mode="linear", coordinate_transformation_mode="half_pixel")
