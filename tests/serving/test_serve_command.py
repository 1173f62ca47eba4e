"""`atonce serve` as it is given, and its listening socket."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from atonce.errors import UserError
from atonce.serving.server import address_of, listen
from tests.cli.commands import atonce as command
from tests.serving.live import noise, saved
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


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_until_it_is_stopped(tiny_model: Path, ending: signal.Signals) -> None:
    with started(tiny_model) as (process, port):
        told = post(port, saved(noise(20, 30)))
        assert (told["width"], told["height"]) == (30, 20)
        process.send_signal(ending)
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0
        assert out == "stopped\n"
        assert '"POST /predict HTTP/1.1" 200' in err
        assert len(err.splitlines()) == 1, err


def test_a_port_that_is_taken(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        assert command(monkeypatch, "serve", tiny_model, "--port", port) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"atonce: cannot listen on 127.0.0.1:{port} (Address already in use)")
    assert said.count("\n") == 1


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
def test_mistakes(
    words: list[str], text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    port = [] if "--port" in words else ["--port", "0"]
    assert command(monkeypatch, "serve", *words, *port) == 2
    said = capsys.readouterr().err
    assert text in said
    assert said.startswith("atonce: ")
    assert said.count("\n") == 1


@pytest.mark.parametrize("package", ["fastapi", "uvicorn", "python_multipart"])
def test_a_missing_package_is_named_with_its_remedy(
    package: str, tiny_model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    assert command(monkeypatch, "serve", tiny_model) == 2
    assert (
        f"needs the package {package}, which is not installed; pip install 'atonce[serve]'" in capsys.readouterr().err
    )


def test_addresses_of_both_kinds() -> None:
    assert address_of("::1", 80) == "[::1]:80"
    if socket.has_ipv6:
        try:
            listen("::1", 0).close()
        except UserError as error:
            pytest.skip(f"no IPv6 here: {error}")
