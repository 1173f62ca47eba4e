"""Weights by name, from a server on this machine."""

from __future__ import annotations

import hashlib
import threading
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch

from atonce.errors import StorageError, WeightsError
from atonce.weights import REGISTRY, read_weights, registry
from atonce.weights.registry import PretrainedWeights, fetch
from tests.commands import Command
from tests.weights.torchvision_vgg import TorchvisionVGG

NAME = "vgg16-test"


class Server(ThreadingHTTPServer):
    """Serves one file, and counts."""

    content = b""
    asked = 0


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.asked += 1
        if "missing" in self.path:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.server.content)))
        self.end_headers()
        broken = "broken" in self.path
        self.wfile.write(self.server.content[: len(self.server.content) // 2] if broken else self.server.content)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("served") / "vgg.pth"
    vgg = TorchvisionVGG().randomise(1.0)
    torch.save({k: v for k, v in vgg.state_dict().items() if k.startswith("features.")}, path)
    return path.read_bytes()


@pytest.fixture
def server(content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")
    with Server(("127.0.0.1", 0), Handler) as served:
        served.content = content
        thread = threading.Thread(target=served.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield served
        served.shutdown()
        thread.join()


def entry(server: Server, file: str = "vgg.pth", sha256: str = "") -> PretrainedWeights:
    digest = sha256 or hashlib.sha256(server.content).hexdigest()
    url = f"http://127.0.0.1:{server.server_port}/{file}"
    return PretrainedWeights(NAME, url, digest, "torchvision-features", "for tests")


def cache() -> list[Path]:
    return sorted(registry.cache_folder().iterdir())


def test_downloaded_once_with_progress(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(REGISTRY, NAME, entry(server))
    seen: list[tuple[int, int]] = []
    imported = read_weights(NAME, lambda done, total: seen.append((done, total)))
    # The registry says which layout it is; the file by itself does not tell.
    assert imported.layout == "torchvision-features"
    assert len(seen) > 10 and seen == sorted(seen) and seen[-1] == (len(server.content),) * 2
    assert cache() == [tmp_path / "cache" / "hub" / "checkpoints" / "vgg.pth"]
    server.content = b"not asked for again"
    read_weights(NAME)
    assert server.asked == 1


def test_cached_file_needs_no_network(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    known = entry(server)
    fetch(known)
    monkeypatch.setattr(urllib.request, "urlopen", lambda *_, **__: pytest.fail("asked the network"))
    assert fetch(known) == cache()[0]


def test_damaged_cache_is_found(server: Server) -> None:
    known = entry(server)
    fetch(known).write_bytes(b"overwritten")
    with pytest.raises(WeightsError, match=r"vgg.pth has sha256 .*; expected .*; delete it and try again"):
        fetch(known)


def test_wrong_bytes_are_not_kept(server: Server) -> None:
    with pytest.raises(WeightsError, match=r"gave a file with sha256 .*; expected 0000.*put it at .*vgg.pth"):
        fetch(entry(server, sha256="0" * 64))
    assert cache() == []


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("broken.pth", r"the connection broke off after \d+ of \d+ bytes"),
        ("missing.pth", "the server says 404 Not Found"),
    ],
)
def test_failed_download_leaves_nothing(server: Server, file: str, said: str) -> None:
    with pytest.raises(WeightsError, match=said) as caught:
        fetch(entry(server, file))
    assert f"fetch http://127.0.0.1:{server.server_port}/{file} elsewhere and put it at" in str(caught.value)
    assert cache() == []


def test_offline_is_one_clear_line(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, atonce: Command
) -> None:
    # A port that was free a moment ago: nobody listens.
    with Server(("127.0.0.1", 0), Handler) as closed:
        unreachable = entry(closed, sha256="0" * 64)
    monkeypatch.setitem(REGISTRY, NAME, unreachable)
    ran = atonce("weights", "convert", NAME, "--out", tmp_path / "o.safetensors")
    assert ran.code == 2 and ran.err.count("\n") == 1
    assert f"cannot download {NAME}" in ran.err and "refused" in ran.err
    assert f"or fetch {unreachable.url} elsewhere and put it at {registry.cache_folder() / 'vgg.pth'}" in ran.err


def test_cache_that_cannot_be_written(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    with pytest.raises(StorageError, match=r"cannot write .*set TORCH_HOME"):
        fetch(entry(server))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "readonly"))
    registry.cache_folder().mkdir(parents=True)

    def refuse(self: Path, *_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    # chmod would not stop root, whom tests in containers run as.
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(StorageError, match="Permission denied; set TORCH_HOME"):
        fetch(entry(server))


def test_verify(server: Server, monkeypatch: pytest.MonkeyPatch, atonce: Command) -> None:
    monkeypatch.setitem(REGISTRY, NAME, entry(server))
    missing = atonce("weights", "verify", NAME)
    assert missing.code == 2 and "is not at" in missing.err and "vgg.pth and put it there" in missing.err
    path = fetch(REGISTRY[NAME])
    everything = atonce("weights", "verify")
    assert everything.code == 0 and f"{NAME}: sha256" in everything.out
    assert "vgg16-imagenet1k-v1: not downloaded" in everything.out
    path.write_bytes(b"overwritten")
    spoilt = atonce("weights", "verify")
    assert spoilt.code == 2 and "delete it and try again" in spoilt.err
