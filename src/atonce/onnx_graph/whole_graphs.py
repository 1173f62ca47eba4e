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
from atonce.onnx_graph.node_builder import Axis, GraphBuilder
from atonce.onnx_graph.resize_nodes import add_input_size


def network_graph(model: FCN) -> onnx.ModelProto:
    """Build the graph from `pixels` float32 (N, 3, H, W), RGB 0..255, to `logits` float32 (N, C, H, W).

    All sizes are free.
    """
    b = GraphBuilder()
    b.add("Identity", add_network(b, model, "pixels"), name="logits")
    return b.finish(
        [("pixels", TensorProto.FLOAT, ["batch", 3, "height", "width"])],
        [("logits", TensorProto.FLOAT, ["batch", model.num_classes, "height", "width"])],
    )


def picture_graph(model_file: ModelFile, *, probabilities: bool = False) -> onnx.ModelProto:
    """Build the graph from `image` uint8 (N, H, W, 3) RGB to `labels` uint8 (N, H, W), for shipping.

    Its metadata holds the model's description. The logits at the picture's own size are there inside, as the value
    `logits`, for whoever checks the graph.

    Args:
        probabilities: give `probabilities` float32 (N, C, H, W) as well, which sum to 1 over C.
    """
    b = GraphBuilder()
    pixels = b.as_float(b.add("Transpose", "image", perm=[0, 3, 1, 2]))
    if model_file.input_size == InputSize():
        scores = add_network(b, model_file.model, pixels)
    else:
        network_logits = add_network(b, model_file.model, add_input_size(b, pixels, model_file.input_size))
        whole = b.add("Concat", b.add("Shape", network_logits, start=0, end=2), b.height_width(pixels), axis=0)
        scores = resize(b, network_logits, sizes=whole)
    logits = b.add("Identity", scores, name="logits")
    labels = b.add("ArgMax", logits, axis=1, keepdims=0)
    b.add("Cast", labels, name="labels", to=TensorProto.UINT8)
    size: list[Axis] = ["height", "width"]
    outputs: list[tuple[str, int, list[Axis]]] = [("labels", TensorProto.UINT8, ["batch", *size])]
    if probabilities:
        b.add("Softmax", logits, name="probabilities", axis=1)
        outputs.append(("probabilities", TensorProto.FLOAT, ["batch", model_file.labels.num_classes, *size]))
    return b.finish(
        [("image", TensorProto.UINT8, ["batch", *size, 3])],
        outputs,
        {METADATA_KEY: json.dumps(model_file.describe())},
    )
