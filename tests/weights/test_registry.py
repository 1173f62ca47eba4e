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

from atonce import downloads
from atonce.errors import StorageError, WeightsError
from atonce.weights import REGISTRY, read_weights, registry
from atonce.weights.registry import PretrainedWeights, fetch
from tests.commands import Command
from tests.hostile_servers import Answer, answering, endless, trickle
from tests.systems import needs_signals
from tests.weights.torchvision_vgg import TorchvisionVGG

NAME = "vgg16-test"


class Server(ThreadingHTTPServer):
    """Serves one file, and counts.

    Names in the path say how badly: `missing`, `broken` (off in the middle, always), `shaky` (off after a third of the
    file), `busy` (503, twice), `norange` (no ranges).
    """

    content = b""
    asked = 0
    ranges: list[str | None]
    sent = 0

    def handle_error(self, request: object, client_address: object) -> None:
        """Quiet, too: clients hang up."""


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.asked += 1
        content, asked = self.server.content, self.headers.get("Range")
        self.server.ranges.append(asked)
        if "missing" in self.path or ("busy" in self.path and self.server.asked <= 2):
            self.send_error(404 if "missing" in self.path else 503)
            return
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and "norange" not in self.path else 0
        if start >= len(content):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        most = len(content)
        if "broken" in self.path:
            most = max(0, len(content) // 2 - start)
        elif "shaky" in self.path:
            most = len(content) // 3 + 1
        part = content[start : start + most]
        self.server.sent += len(part)
        self.wfile.write(part)

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
    monkeypatch.setattr(registry, "_WAITS", (0.0,) * 4)
    with Server(("127.0.0.1", 0), Handler) as served:
        served.content, served.ranges = content, []
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
    # Nothing has the file's name; what came of a broken one is there to be resumed.
    assert [path.name for path in cache()] == ([".broken.pth.part"] if "broken" in file else [])


def test_a_download_that_breaks_off_goes_on_where_it_was(server: Server) -> None:
    seen: list[tuple[int, int]] = []
    path = fetch(entry(server, "shaky.pth"), lambda done, total: seen.append((done, total)))
    assert path.read_bytes() == server.content and cache() == [path]
    third = len(server.content) // 3 + 1
    assert server.ranges == [None, f"bytes={third}-", f"bytes={2 * third}-"]
    assert server.sent == len(server.content), "nothing is fetched twice"
    assert seen == sorted(seen) and {total for _, total in seen} == {len(server.content)}


def test_another_run_goes_on_where_the_first_one_gave_up(server: Server) -> None:
    broken, half = entry(server, "broken.pth"), len(server.content) // 2
    with pytest.raises(WeightsError, match="broke off"):
        fetch(broken)
    (part,) = cache()
    assert part.stat().st_size == half
    server.ranges.clear()
    # The same name from a server that is well again.
    part.rename(part.with_name(".vgg.pth.part"))
    assert fetch(entry(server)).read_bytes() == server.content
    assert server.ranges == [f"bytes={half}-"] and len(cache()) == 1


@pytest.mark.parametrize("file", ["vgg.pth", "norange.pth"])
@pytest.mark.parametrize("left", [b"of another file", b"longer"])
def test_a_wrong_beginning_is_thrown_away(server: Server, file: str, left: bytes) -> None:
    known = entry(server, file)
    registry.cache_folder().mkdir(parents=True)
    content = left if left != b"longer" else bytes(len(server.content) + 5)
    (registry.cache_folder() / f".{file}.part").write_bytes(content)
    assert fetch(known).read_bytes() == server.content
    assert len(cache()) == 1 and server.asked <= 2


@pytest.mark.parametrize(
    ("answer", "told"), [(endless, "it sends more than 1048576 bytes"), (trickle, "it is too slow: its next 64 KiB")]
)
def test_a_download_is_bounded(server: Server, answer: Answer, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "LARGEST_MODEL", 1 << 20)
    if answer is trickle:
        monkeypatch.setattr(downloads, "PATIENCE", 0.5)
    asked: list[str] = []

    def count(handler: BaseHTTPRequestHandler) -> None:
        asked.append(handler.path)
        answer(handler)

    with answering(count) as address, pytest.raises(WeightsError, match=told):
        fetch(PretrainedWeights(NAME, f"{address}/vgg.pth", "0" * 64, "torchvision-features", "for tests"))
    assert len(asked) == 1, "to ask again would not help"
    assert sum(path.stat().st_size for path in cache()) <= 1 << 20


def test_a_busy_server_is_asked_again(server: Server) -> None:
    assert fetch(entry(server, "busy.pth")).read_bytes() == server.content
    assert server.asked == 3


def test_a_refusal_is_not_asked_about_again(server: Server) -> None:
    with pytest.raises(WeightsError, match="404"):
        fetch(entry(server, "missing.pth"))
    assert server.asked == 1


@needs_signals
def test_an_interrupted_download_is_kept(server: Server) -> None:
    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(entry(server), interrupt)
    (part,) = cache()
    assert part.name == ".vgg.pth.part" and part.read_bytes() == server.content[: part.stat().st_size] != b""


def test_of_two_that_want_the_same_file_one_fetches_it(server: Server) -> None:
    known = entry(server)
    threads = [threading.Thread(target=fetch, args=(known,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert server.asked == 1 and [path.name for path in cache()] == ["vgg.pth"]


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
    assert "--weights none starts afresh" in ran.err


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
