"""Graphs that run in one engine or another."""

from __future__ import annotations

from typing import Any, Literal

import pytest


def session(engine: Literal["onnxruntime", "openvino"], graph: Any) -> Any:
    """The session of an engine for an `onnx.ModelProto`; the test is skipped where the engine is not installed."""
    from atonce.inference.engines import open_session

    pytest.importorskip(engine, reason="the extra `export` is not installed")
    return open_session(engine, graph.SerializeToString())
