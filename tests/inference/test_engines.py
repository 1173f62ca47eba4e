"""Choosing what multiplies."""

from __future__ import annotations

import re
import sys

import numpy as np
import pytest
import torch

from atonce.devices import has_bf16
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


def test_auto_allows_what_is_installed_and_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    installed = {"onnx", "onnxruntime", "openvino"}
    monkeypatch.setattr(engines, "find_spec", lambda name: name if name in installed else None)
    assert engines.engines_for("auto", "cpu") == ("torch", "openvino", "onnxruntime")
    assert engines.engines_for("auto", "cuda") == ("torch",)
    installed.remove("openvino")
    assert engines.engines_for("auto", "cpu") == ("torch", "onnxruntime")
    installed.remove("onnx")
    assert engines.engines_for("auto", "cpu") == ("torch",)
    assert engines.engines_for(None, "cpu") == ("torch",)


def test_mistakes() -> None:
    with pytest.raises(UserError, match="no engine 'tensorrt'; expected one of torch, torch-bf16, onnxruntime"):
        engines.engines_for("tensorrt")
    with pytest.raises(UserError, match="engine='openvino' with device='cuda"):
        engines.engines_for("openvino", "cuda")


@pytest.mark.parametrize("engine", ["torch-bf16", "openvino-bf16"])
def test_bf16_is_nearly_the_same(engine: str) -> None:
    if engine == "openvino-bf16":
        pytest.importorskip("onnx", reason="the extra `export` is not installed")
        pytest.importorskip("openvino", reason="the extra `export` is not installed")
        if not has_bf16(torch.device("cpu")):
            pytest.skip("this processor has no bf16 products")
    image = np.random.default_rng(0).integers(0, 256, (70, 90, 3), np.uint8)
    one = small_model_file()
    exact, rounded = (NetworkPredictor(one, device="cpu", engine=name)(image) for name in ("torch", engine))
    scale = float(exact.logits.std())
    assert 0 < float((exact.logits - rounded.logits).abs().mean()) < 0.02 * scale


def test_bf16_that_the_processor_does_not_have_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnx", reason="the extra `export` is not installed")
    pytest.importorskip("openvino", reason="the extra `export` is not installed")
    monkeypatch.setattr(engines, "has_bf16", lambda device: False)
    with pytest.raises(UserError, match=r"engine='openvino-bf16' on a processor without bf16.*engine='openvino'"):
        NetworkPredictor(small_model_file(), device="cpu", engine="openvino-bf16")


@pytest.mark.parametrize("package", ["onnx", "openvino"])
def test_a_missing_package_is_named_with_its_remedy(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if package != "onnx":
        pytest.importorskip("onnx", reason="the extra `export` is not installed")
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UserError, match=f"needs the package {package}.*{re.escape(how_to_install('export'))}"):
        NetworkPredictor(small_model_file(), device="cpu", engine="openvino")
