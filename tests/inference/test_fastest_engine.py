"""The engine that `auto` takes: the fastest here, measured once."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from atonce.inference import NetworkPredictor, fastest_engine, network_predictor
from atonce.inference.engines import EngineName
from atonce.inference.load import load
from tests.networks import small_model_file
from tests.systems import needs_links, needs_pipes

ENGINES: tuple[EngineName, ...] = ("torch", "openvino", "onnxruntime")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ATONCE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "engines.json"


class Opened:
    """Engines that take as long as they are told, and keep a list of those that were opened."""

    def __init__(self, **milliseconds: float) -> None:
        self.names: list[str] = []
        self._seconds = {name: value / 1000 for name, value in milliseconds.items()}

    def __call__(self, name: EngineName) -> Callable[[], None]:
        self.names.append(name)
        return lambda: time.sleep(self._seconds[name])


def test_the_fastest_is_taken_and_measured_once(cache: Path) -> None:
    opened = Opened(torch=30, openvino=30, onnxruntime=5)
    assert fastest_engine.fastest_engine(ENGINES, {"network": 1}, opened) == "onnxruntime"
    assert opened.names == list(ENGINES)
    assert fastest_engine.fastest_engine(ENGINES, {"network": 1}, opened) == "onnxruntime"
    assert opened.names == list(ENGINES), "it was measured again"
    (told,) = json.loads(cache.read_text()).values()
    assert told["engine"] == "onnxruntime"
    assert told["milliseconds"]["torch"] >= 30 > told["milliseconds"]["onnxruntime"] >= 5


def test_another_network_other_threads_or_engines_are_measured_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    def measures(network: int, engines: tuple[EngineName, ...] = ENGINES) -> bool:
        opened = Opened(torch=1, openvino=1, onnxruntime=1)
        fastest_engine.fastest_engine(engines, {"network": network}, opened)
        return bool(opened.names)

    assert measures(1)
    assert not measures(1)
    assert measures(2)
    assert measures(1, ENGINES[:2])
    monkeypatch.setattr(fastest_engine, "compute_threads", lambda: 77)
    assert measures(1)
    monkeypatch.setattr(fastest_engine, "version", lambda name: "other")
    assert measures(1)


def test_the_first_is_kept_where_another_is_hardly_faster() -> None:
    opened = Opened(torch=40, openvino=39.5, onnxruntime=60)
    assert fastest_engine.fastest_engine(ENGINES, {}, opened) == "torch"


def test_one_engine_is_not_measured() -> None:
    assert fastest_engine.fastest_engine(("openvino",), {}, Opened()) == "openvino"


@pytest.mark.parametrize("content", ["", "[", "[1]", '{"a": 1}', "[" * 5000])
def test_a_damaged_memory_is_measured_anew(cache: Path, content: str) -> None:
    cache.parent.mkdir(parents=True)
    cache.write_text(content)
    assert fastest_engine.fastest_engine(ENGINES, {}, Opened(torch=1, openvino=1, onnxruntime=20)) in ENGINES
    assert json.loads(cache.read_text())


@pytest.mark.timeout(60)  # a pipe is waited for
@needs_links
@needs_pipes
@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_what_is_no_file_is_not_read(cache: Path, kind: str) -> None:
    cache.parent.mkdir(parents=True)
    if kind == "pipe":
        os.mkfifo(cache)
    elif kind == "device":
        cache.symlink_to("/dev/zero")
    else:
        cache.mkdir()
    assert fastest_engine.fastest_engine(ENGINES, {}, Opened(torch=20, openvino=1, onnxruntime=20)) == "openvino"


def test_a_home_that_cannot_be_written_does_no_harm(cache: Path) -> None:
    cache.parent.parent.joinpath("cache").write_text("a file")
    opened = Opened(torch=20, openvino=1, onnxruntime=20)
    assert fastest_engine.fastest_engine(ENGINES, {}, opened) == "openvino"


def test_auto_measures_a_model_file_and_takes_what_was_found(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnx", reason="the extra `export` is not installed")
    pytest.importorskip("openvino", reason="the extra `export` is not installed")
    first = NetworkPredictor(small_model_file(), device="cpu", engine="auto")
    (told,) = json.loads(cache.read_text()).values()
    assert first.engine == told["engine"]
    assert {"torch", "openvino"} <= told["milliseconds"].keys()
    # Another network of the same shape is not measured again.
    other = small_model_file()
    other.model.config = other.model.config.model_copy(update={"head_scale": 0.5, "dropout": 0.1})
    NetworkPredictor(other, device="cpu", engine="auto")
    assert len(json.loads(cache.read_text())) == 1
    told["engine"] = "openvino"
    (key,) = json.loads(cache.read_text())
    cache.write_text(json.dumps({key: told}))
    again = NetworkPredictor(small_model_file(), device="cpu", engine="auto")
    assert again.engine == "openvino"
    assert again._network != again._run_torch
    monkeypatch.setattr(network_predictor, "fastest_engine", lambda engines, *_: engines[0])
    assert NetworkPredictor(small_model_file(), device="cpu", engine="openvino").engine == "openvino"


def test_auto_measures_an_exported_file(cache: Path, tiny_model: Path, tmp_path: Path) -> None:
    pytest.importorskip("openvino", reason="the extra `export` is not installed")
    from atonce.exporting import export

    path = export(tiny_model, to="onnx", out=tmp_path / "tiny.onnx").path
    found = load(path, engine="auto")
    (told,) = json.loads(cache.read_text()).values()
    assert found.engine == told["engine"]
    assert set(told["milliseconds"]) == {"onnxruntime", "openvino"}
