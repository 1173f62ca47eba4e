"""Signals after networks that OpenVINO has run are gone: they ended the process by SIGSEGV."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from atonce.openvino_core import one_core_for_all, openvino_core
from tests.processes import PATIENCE
from tests.systems import needs_signals
from tests.tiny import ENVIRONMENT

SCRIPT = """
import gc, signal, sys, threading
import numpy as np
import atonce

def opened():
    segment = atonce.load(sys.argv[1], engine="openvino", device="cpu")
    segment(np.zeros((32, 32, 3), np.uint8))
    return [segment]

signal.signal(signal.SIGTERM, lambda *_: print("handled"))
{go}
gc.collect()
signal.raise_signal(signal.SIGTERM)
"""

WAYS = {
    "the first goes first": "first, second = opened(), opened(); first.clear(); gc.collect(); second.clear()",
    "another thread lets it go": "thread = threading.Thread(target=opened().clear); thread.start(); thread.join()",
    "a thread had it": "thread = threading.Thread(target=opened); thread.start(); thread.join()",
}


@needs_signals
@pytest.mark.parametrize("way", WAYS)
def test_a_signal_is_handled_after_networks_are_gone(tiny_model: Path, way: str) -> None:
    pytest.importorskip("openvino", reason="the extra `export` is not installed")
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(go=WAYS[way]), str(tiny_model)],
        capture_output=True, text=True, timeout=PATIENCE, env=ENVIRONMENT,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "handled\n"), done.stderr


def test_there_is_one_core_for_others_too() -> None:
    openvino = pytest.importorskip("openvino", reason="the extra `export` is not installed")
    core = openvino_core("a test")
    assert openvino_core("another test") is core
    with one_core_for_all():
        assert openvino.Core() is core
    assert openvino.Core() is not core


def test_others_do_without_openvino_where_it_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """NNCF's quantization of ONNX graphs is one of them."""
    monkeypatch.setattr("atonce.openvino_core.find_spec", lambda _: None)
    monkeypatch.setitem(sys.modules, "openvino", None)
    entered = False
    with one_core_for_all():
        entered = True
    assert entered
