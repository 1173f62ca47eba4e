"""Choosing what multiplies."""

from __future__ import annotations

import re
import sys

import numpy as np
import pytest

from atonce.errors import UserError
from atonce.extras import how_to_install
from atonce.inference import NetworkPredictor, engines
from tests.networks import small_model_file
from tests.pictures import blocks


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_every_engine_gives_the_same(engine: str) -> None:
    pytest.importorskip("onnx", reason="the extra `export` is not installed")
    pytest.importorskip(engine, reason="the extra `export` is not installed")
    described = small_model_file()
    torch_says, engine_says = (
        NetworkPredictor(described, device="cpu"),
        NetworkPredictor(described, device="cpu", engine=engine),
    )
    for size in ((1, 1), (45, 70), (64, 64)):
        image = blocks(*size)
        expected, found = torch_says(image), engine_says(image)
        np.testing.assert_allclose(found.logits.numpy(), expected.logits.numpy(), atol=1e-4)


def test_results_do_not_share_memory() -> None:
    pytest.importorskip("onnx", reason="the extra `export` is not installed")
    pytest.importorskip("openvino", reason="the extra `export` is not installed")
    segment = NetworkPredictor(small_model_file(), device="cpu", engine="openvino")
    first = segment(blocks(40, 40, 0))
    kept = first.logits.clone()
    segment(blocks(40, 40, 1))
    assert (first.logits == kept).all()


def test_auto_takes_the_fastest_that_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    installed = {"onnx", "onnxruntime", "openvino"}
    monkeypatch.setattr(engines, "find_spec", lambda name: name if name in installed else None)
    assert engines.choose_engine("auto", "cpu") == "openvino"
    assert engines.choose_engine("auto", "cuda") == "torch"
    installed.remove("openvino")
    assert engines.choose_engine("auto", "cpu") == "onnxruntime"
    installed.remove("onnx")
    assert engines.choose_engine("auto", "cpu") == "torch"
    assert engines.choose_engine(None, "cpu") == "torch"


def test_mistakes() -> None:
    with pytest.raises(UserError, match="no engine 'tensorrt'; expected one of torch, torch-bf16, onnxruntime"):
        engines.choose_engine("tensorrt")
    with pytest.raises(UserError, match="engine='openvino' with device='cuda"):
        engines.choose_engine("openvino", "cuda")


def test_bf16_is_nearly_the_same() -> None:
    image = np.random.default_rng(0).integers(0, 256, (70, 90, 3), np.uint8)
    one = small_model_file()
    exact, rounded = (NetworkPredictor(one, device="cpu", engine=engine)(image) for engine in ("torch", "torch-bf16"))
    scale = float(exact.logits.std())
    assert 0 < float((exact.logits - rounded.logits).abs().mean()) < 0.02 * scale


@pytest.mark.parametrize("package", ["onnx", "openvino"])
def test_a_missing_package_is_named_with_its_remedy(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if package != "onnx":
        pytest.importorskip("onnx", reason="the extra `export` is not installed")
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UserError, match=f"needs the package {package}.*{re.escape(how_to_install('export'))}"):
        NetworkPredictor(small_model_file(), device="cpu", engine="openvino")
