"""The graph that is written node by node is the network, in every variant, at every size, in both engines."""

from __future__ import annotations

import json
from itertools import product

import numpy as np
import pytest
import torch

from atonce.data.input_size import InputSize
from atonce.inference import NetworkPredictor
from atonce.model.preprocessing import CAFFE_VGG
from tests.exporting.networks import bundle, picture

pytest.importorskip("onnx", reason="the extra `export` is not installed")
ENGINES = ("onnxruntime", "openvino")
SIZES = ((1, 1), (33, 47), (64, 96), (97, 31))


def session(engine: str, model: object) -> object:
    from atonce.inference.engines import open_session

    pytest.importorskip(engine, reason="the extra `export` is not installed")
    return open_session(engine, model.SerializeToString())  # type: ignore


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    "stride, alignment, upsampling", list(product((8, 16, 32), ("same", "caffe"), ("fixed", "learned")))
)
def test_network_graph_is_the_network(engine: str, stride: int, alignment: str, upsampling: str) -> None:
    from atonce.onnx_graph.whole_graphs import network_graph

    model = bundle(stride=stride, alignment=alignment, upsampling=upsampling).model
    running = session(engine, network_graph(model))
    for size in SIZES:
        pixels = torch.from_numpy(np.stack([picture(*size, seed) for seed in (0, 1)])).permute(0, 3, 1, 2).float()
        with torch.inference_mode():
            expected = model(pixels).numpy()
        found = running.run(pixels.contiguous().numpy())["logits"]
        np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    "policy",
    [
        InputSize(),
        InputSize(0.65),
        InputSize(1.5, 120),
        InputSize(0.5, 40),
        InputSize(1.0, 90),
        InputSize(size=(48, 100)),
    ],
    ids=str,
)
def test_picture_graph_is_the_predictor(engine: str, policy: InputSize) -> None:
    from atonce.onnx_graph.whole_graphs import picture_graph

    described = bundle(policy, preprocessing=CAFFE_VGG)
    running, predictor = (
        session(engine, picture_graph(described, probabilities=True)),
        NetworkPredictor(described, device="cpu"),
    )
    for size in (*SIZES, (90, 120)):
        images = np.stack([picture(*size, seed) for seed in (0, 1)])
        found = running.run(images)
        assert found["labels"].dtype == np.uint8
        for i, image in enumerate(images):
            expected = predictor(image)
            np.testing.assert_allclose(found["probabilities"][i], expected.probabilities, atol=5e-4)
            assert (found["labels"][i] != expected.labels).mean() <= 0.001
    assert json.loads(running.description()) == json.loads(json.dumps(described.describe()))


def test_sizes_are_those_of_the_policy() -> None:
    """The arithmetic in whole numbers gives the sizes that Python's floats give, but for rare halves."""
    import onnx

    from atonce.onnx_graph.node_builder import GraphBuilder
    from atonce.onnx_graph.resize_nodes import network_input_size

    pytest.importorskip("onnxruntime", reason="the extra `export` is not installed")
    for policy in (
        InputSize(0.65),
        InputSize(0.333),
        InputSize(0.5, 512),
        InputSize(1.25),
        InputSize(1.0, 1000),
        InputSize(size=(160, 576)),
    ):
        b = GraphBuilder()
        b.add("Identity", network_input_size(b, "before", policy), name="after")
        kind = onnx.TensorProto.INT64
        running = session("onnxruntime", b.finish([("before", kind, [2])], [("after", kind, [2])]))
        for height, width in ((1, 1), (2, 7), (360, 480), (375, 1242), (1024, 2048), (999, 1001), (5, 5000)):
            found = running.run(np.array([height, width], np.int64))["after"]
            assert tuple(found.tolist()) == policy.apply(height, width), policy
