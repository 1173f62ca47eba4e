"""The graph that is written node by node is the network, in every variant, at every size, in both engines."""

from __future__ import annotations

import json
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch

from atonce.data.input_size import InputSize
from atonce.inference import NetworkPredictor
from atonce.model.preprocessing import CAFFE_VGG
from tests.networks import small_model_file
from tests.onnx_graph.sessions import session
from tests.pictures import blocks

pytest.importorskip("onnx", reason="the extra `export` is not installed")
ENGINES = ("onnxruntime", "openvino")
SIZES = ((1, 1), (33, 47), (64, 96), (97, 31))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    "stride, alignment, upsampling", list(product((8, 16, 32), ("same", "caffe"), ("fixed", "learned")))
)
def test_network_graph_is_the_network(engine: Any, stride: int, alignment: str, upsampling: str) -> None:
    from atonce.onnx_graph.whole_graphs import network_graph

    model = small_model_file(stride=stride, alignment=alignment, upsampling=upsampling).model
    running = session(engine, network_graph(model))
    for size in SIZES:
        pixels = torch.from_numpy(np.stack([blocks(*size, seed) for seed in (0, 1)])).permute(0, 3, 1, 2).float()
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
def test_picture_graph_is_the_predictor(engine: Any, policy: InputSize) -> None:
    from atonce.onnx_graph.whole_graphs import picture_graph

    described = small_model_file(policy, preprocessing=CAFFE_VGG)
    running, predictor = (
        session(engine, picture_graph(described, probabilities=True)),
        NetworkPredictor(described, device="cpu"),
    )
    for size in (*SIZES, (90, 120)):
        images = np.stack([blocks(*size, seed) for seed in (0, 1)])
        found = running.run(images)
        assert found["labels"].dtype == np.uint8
        for i, image in enumerate(images):
            expected = predictor(image)
            np.testing.assert_allclose(found["probabilities"][i], expected.probabilities, atol=5e-4)
            assert (found["labels"][i] != expected.labels).mean() <= 0.001
    assert json.loads(running.description()) == json.loads(json.dumps(described.describe()))
