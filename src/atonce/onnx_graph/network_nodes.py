"""FCN.forward as ONNX nodes. Whoever changes one of the two changes the other: tests compare every variant."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from atonce.model.fcn import CAFFE_OUTPUT_CROP, CAFFE_SKIP_CROP, FCN
from atonce.model.upsampling import FixedUpsample, LearnedUpsample, bilinear_kernel
from atonce.onnx_graph.node_builder import GraphBuilder


def add_network(b: GraphBuilder, model: FCN, pixels: str) -> str:
    """Add the nodes from `pixels`, float32 (N, 3, H, W) RGB 0..255, to the logits, float32 (N, C, H, W).

    Returns:
        The name of the logits.
    """
    height_width, caffe = b.height_width(pixels), model.config.caffe_geometry
    pools = _trunk(b, model, _pad(b, model, _normalise(b, model, pixels), height_width))
    head = model.head
    x = _convolution(b, head.fc6, "fc6", pools[5], scale=model.head_scale, padding=head.padding)
    x = b.add("Relu", x, name="relu6")
    x = b.add("Relu", _convolution(b, head.fc7, "fc7", x), name="relu7")
    scores = _convolution(b, model.score_fc7, "score_fc7", x)
    for pool, scale in model.scales.items():
        name = f"pool{pool}"
        scores = _upsample(b, model.up_pools[name], f"up_{name}", scores, classes=model.num_classes)
        skip = _convolution(b, model.score_pools[name], f"score_{name}", pools[pool], scale=scale)
        if caffe:
            skip = _crop(b, skip, CAFFE_SKIP_CROP[pool], b.height_width(scores))
        scores = b.add("Add", scores, skip, name=f"fuse_{name}")
    scores = _upsample(b, model.up_output, "up_output", scores, classes=model.num_classes)
    return _crop(b, scores, CAFFE_OUTPUT_CROP[model.config.stride] if caffe else 0, height_width)


def _normalise(b: GraphBuilder, model: FCN, pixels: str) -> str:
    x = b.add("Sub", pixels, b.constant(model.normalise.mean, "mean"), name="centred")
    if bool((model.normalise.std == 1).all()):
        return x
    return b.add("Div", x, b.constant(model.normalise.std, "std"), name="normalised")


def _pad(b: GraphBuilder, model: FCN, x: str, height_width: str) -> str:
    """Pad as FCN.pad does: zeros at the right and below, up to multiples of 32."""
    if model.config.caffe_geometry:
        return x
    stride = b.integers(32, 32)
    beyond = b.add("Mod", b.add("Sub", stride, b.add("Mod", height_width, stride)), stride)
    return b.add("Pad", x, b.add("Concat", b.integers(*[0] * 6), beyond, axis=0), name="padded")


def _trunk(b: GraphBuilder, model: FCN, x: str) -> dict[int, str]:
    pools = {}
    for block, layers in enumerate(model.trunk.convolutions(), 1):
        for name, layer in layers.items():
            x = b.add("Relu", _convolution(b, layer, name, x), name=name.replace("conv", "relu"))
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
    b: GraphBuilder, layer: nn.Module, name: str, x: str, *, scale: float = 1.0, padding: int | None = None
) -> str:
    """Add a convolution of `scale * x`, the factor taken into the kernel: that saves a pass over the pool."""
    assert isinstance(layer, nn.Conv2d)
    assert layer.bias is not None
    kernel = (layer.weight.detach().double() * scale).float()
    pads = [int(layer.padding[0]) if padding is None else padding] * 4
    parameters = (b.constant(kernel, f"{name}.weight"), b.constant(layer.bias, f"{name}.bias"))
    return b.add("Conv", x, *parameters, name=name, kernel_shape=list(layer.kernel_size), pads=pads)


def _upsample(b: GraphBuilder, layer: nn.Module, name: str, x: str, *, classes: int) -> str:
    if isinstance(layer, LearnedUpsample):
        weight, padding = layer.weight, int(layer.padding[0])
        return _transposed(b, name, x, weight, stride=layer.stride[0], padding=padding, groups=1)
    assert isinstance(layer, FixedUpsample)
    factor = layer.factor
    if layer.keep_border:
        kernel = bilinear_kernel(factor).expand(classes, 1, -1, -1)
        return _transposed(b, name, x, kernel, stride=factor, padding=0, groups=classes)
    scales = b.constant(torch.tensor([1.0, 1.0, factor, factor]))
    return resize(b, x, scales=scales, name=name)


def _transposed(b: GraphBuilder, name: str, x: str, kernel: Tensor, *, stride: int, padding: int, groups: int) -> str:
    weight = b.constant(kernel, f"{name}.weight")
    shape: dict[str, Any] = {"kernel_shape": list(kernel.shape[2:]), "strides": [stride] * 2, "pads": [padding] * 4}
    return b.add("ConvTranspose", x, weight, name=name, group=groups, **shape)


def _crop(b: GraphBuilder, x: str, offset: int, height_width: str) -> str:
    start = b.integers(offset, offset)
    return b.add("Slice", x, start, b.add("Add", height_width, start), b.integers(2, 3))


def resize(b: GraphBuilder, x: str, *, scales: str = "", sizes: str = "", name: str = "") -> str:
    """Add a bilinear interpolation, as F.interpolate(align_corners=False).

    Args:
        scales: the name of float32 (4,), factors on N, C, H and W; or else
        sizes: the name of int64 (4,), the new N, C, H and W.
    """
    inputs = [x, "", scales, sizes] if sizes else [x, "", scales]
    return b.add("Resize", *inputs, name=name, mode="linear", coordinate_transformation_mode="half_pixel")
