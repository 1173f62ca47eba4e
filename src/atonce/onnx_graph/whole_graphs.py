"""Whole graphs: the bare network for the engines, and picture in, labels out, for shipping."""

from __future__ import annotations

import json

import onnx
from onnx import TensorProto

from atonce.data.input_size import InputSize
from atonce.model import FCN
from atonce.model_file import ModelFile
from atonce.onnx_graph import METADATA_KEY
from atonce.onnx_graph.network_nodes import add_network, resize
from atonce.onnx_graph.node_builder import Axis, Builder
from atonce.onnx_graph.resize_nodes import add_input_size


def network_graph(model: FCN) -> onnx.ModelProto:
    """`pixels` float32 (N, 3, H, W), RGB 0..255 -> `logits` float32 (N, C, H, W); all sizes free."""
    b = Builder()
    b.add("Identity", add_network(b, model, "pixels"), name="logits")
    return b.finish(
        [("pixels", TensorProto.FLOAT, ["batch", 3, "height", "width"])],
        [("logits", TensorProto.FLOAT, ["batch", model.num_classes, "height", "width"])],
    )


def picture_graph(bundle: ModelFile, probabilities: bool = False) -> onnx.ModelProto:
    """`image` uint8 (N, H, W, 3) RGB -> `labels` uint8 (N, H, W), with its description in the metadata.

    Args:
        probabilities: also `probabilities` float32 (N, C, H, W), summing to 1 over C.

    The logits of the picture's own size are there inside, as the value `logits`, for whoever checks the graph.
    """
    b = Builder()
    pixels = b.as_float(b.add("Transpose", "image", perm=[0, 3, 1, 2]))
    if bundle.input_size == InputSize():
        scores = add_network(b, bundle.model, pixels)
    else:
        seen = add_network(b, bundle.model, add_input_size(b, pixels, bundle.input_size))
        whole = b.add("Concat", b.add("Shape", seen, start=0, end=2), b.height_width(pixels), axis=0)
        scores = resize(b, seen, sizes=whole)
    logits = b.add("Identity", scores, name="logits")
    labels = b.add("ArgMax", logits, axis=1, keepdims=0)
    b.add("Cast", labels, name="labels", to=TensorProto.UINT8)
    size: list[Axis] = ["height", "width"]
    outputs: list[tuple[str, int, list[Axis]]] = [("labels", TensorProto.UINT8, ["batch", *size])]
    if probabilities:
        b.add("Softmax", logits, name="probabilities", axis=1)
        outputs.append(("probabilities", TensorProto.FLOAT, ["batch", bundle.labels.num_classes, *size]))
    return b.finish(
        [("image", TensorProto.UINT8, ["batch", *size, 3])],
        outputs,
        {METADATA_KEY: json.dumps(bundle.describe())},
    )
