"""The size of the network's input, computed in the graph."""

from __future__ import annotations

import numpy as np
import pytest

from atonce.data.input_size import InputSize
from tests.onnx_graph.sessions import session


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
