"""`atonce serve` as it is given, and its listening socket."""

from __future__ import annotations

import errno
import http.client
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from atonce.extras import how_to_install
from atonce.serving.server import listen
from tests.commands import Command
from tests.pictures import encoded, noise
from tests.systems import needs_signals
from tests.tiny import ENVIRONMENT


@contextmanager
def started(*words: object) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A process that serves, and its port."""
    process = subprocess.Popen(
        [sys.executable, "-m", "atonce", "serve", *map(str, words), "--port", "0"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert "http://" in line, line + process.communicate()[1]
        yield process, int(line.split("http://")[1].split(" ")[0].rpartition(":")[2])
    finally:
        process.kill()
        process.communicate()


def post(port: int, file: bytes) -> dict[str, object]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    connection.request("POST", "/predict", file, {"Content-Type": "image/png"})
    found: dict[str, object] = json.loads(connection.getresponse().read())
    connection.close()
    return found


@needs_signals
@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_until_it_is_stopped(tiny_model: Path, ending: signal.Signals) -> None:
    with started(tiny_model) as (process, port):
        told = post(port, encoded(noise(20, 30)))
        assert (told["width"], told["height"]) == (30, 20)
        process.send_signal(ending)
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0
        assert out == "stopped\n"
        assert '"POST /predict HTTP/1.1" 200' in err
        assert len(err.splitlines()) == 1, err


def test_a_port_that_is_taken(atonce: Command, tiny_model: Path) -> None:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        outcome = atonce("serve", tiny_model, "--port", port)
    assert outcome.mistake.startswith(f"atonce: cannot listen on 127.0.0.1:{port} ({os.strerror(errno.EADDRINUSE)})")
    assert outcome.err == outcome.mistake + "\n"


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["no.safetensors"], "no.safetensors does not exist"),
        (["no.onnx"], "no.onnx does not exist"),
        ([__file__, "--engine", "tensorrt"], "no engine 'tensorrt'"),
        ([__file__, "--host", "nowhere.invalid"], "there is no address 'nowhere.invalid' here"),
        (["no.safetensors", "--port", "70000"], "65535"),
        (["no.safetensors", "--queue", "-1"], "--queue"),
    ],
)
def test_mistakes(atonce: Command, words: list[str], text: str) -> None:
    # A free port, unless the case is about one: the last --port given counts.
    outcome = atonce("serve", "--port", "0", *words)
    assert text in outcome.mistake
    assert outcome.err == outcome.mistake + "\n"


@pytest.mark.parametrize("package", ["fastapi", "uvicorn", "python_multipart", "prometheus_client"])
def test_a_missing_package_is_named_with_its_remedy(
    atonce: Command, package: str, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    remedy = f"needs the package {package}, which is not installed; {how_to_install('serve')}"
    assert remedy in atonce("serve", tiny_model).mistake
