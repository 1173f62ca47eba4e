"""Load: many clients at once, slow ones, and those that disconnect."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import atonce
from atonce.serving import limits
from atonce.serving.limits import ClientMemory, Limits
from atonce.serving.request_errors import RequestError
from atonce.serving.request_queue import QueuedRequest
from tests.pictures import encoded, noise
from tests.serving.live import Gated, Live, serving, until

PICTURE = encoded(noise(40, 40))
HEAD = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\nContent-Length: %d\r\n\r\n"


@pytest.fixture
def gated(tiny_model: Path) -> Iterator[tuple[Live, Gated]]:
    with serving(tiny_model, Limits(queue=1)) as live:
        gate = Gated(live.service.predictor)
        live.service.predictor = gate  # type: ignore[assignment]
        try:
            yield live, gate
        finally:
            gate.gate.set()


def test_several_at_once_get_their_own(live: Live, tiny_model: Path) -> None:
    segment = atonce.load(tiny_model, device="cpu")
    pictures = [noise(30 + 3 * seed, 50 - seed, seed) for seed in range(8)]
    with ThreadPoolExecutor(4) as clients:
        replies = list(clients.map(lambda picture: live.post(encoded(picture), "format=labels"), pictures))
    for picture, reply in zip(pictures, replies, strict=True):
        np.testing.assert_array_equal(reply.labels, segment(picture).labels)


def test_beyond_the_queue_clients_are_sent_away(gated: tuple[Live, Gated]) -> None:
    live, gate = gated
    queue = live.service.queue
    with ThreadPoolExecutor(3) as clients:
        inside = [clients.submit(live.send, PICTURE) for _ in range(2)]
        until(lambda: queue.in_progress == 2)
        inside.append(clients.submit(live.send, PICTURE))
        until(lambda: queue.waiting == 1)
        reply = live.send(PICTURE)
        assert reply.status == 503
        assert "3 pictures in work or waiting; try again in" in reply.error
        assert int(reply.headers["retry-after"]) >= 1
        # Others are answered meanwhile: the network does not stand in their way.
        assert live.ask("GET", "/healthz").json == {"status": "ok", "at_work": 2, "waiting": 1, "queue": 1}
        gate.gate.set()
        assert [reply.result().status for reply in inside] == [200, 200, 200]
    assert gate.most == 1, "one at a time"
    assert live.send(PICTURE).status == 200


def half_sent(live: Live) -> socket.socket:
    client = live.open()
    client.sendall(HEAD % len(PICTURE) + PICTURE[:100])
    return client


def test_a_slow_client_holds_nobody_up(gated: tuple[Live, Gated]) -> None:
    live, gate = gated
    gate.gate.set()
    slow = [half_sent(live) for _ in range(5)]
    assert live.send(PICTURE).status == 200
    slow[0].sendall(PICTURE[100:])
    assert slow[0].recv(1000).startswith(b"HTTP/1.1 200")
    for client in slow:
        client.close()


def test_a_client_that_is_too_slow_is_cut_off(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "GRACE_SECONDS", 0.2)
    with half_sent(live) as client:
        answer = client.recv(1000)
        assert answer.startswith(b"HTTP/1.1 408")
        assert b"after 100 bytes the picture came too slowly" in answer + client.recv(1000)


def test_memory_is_given_back(live: Live) -> None:
    whole = ClientMemory(live.service.limits)
    half_sent(live).close()
    assert live.send(bytes(300_001)).status == 413
    assert live.send(PICTURE).status == 200
    until(lambda: live.service.memory.uploads.free == whole.uploads.free)
    until(lambda: live.service.memory.responses.free == whole.responses.free)


def test_uploads_share_the_memory_there_is(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live.service.memory.uploads, "free", len(PICTURE) + 50)
    with half_sent(live):
        until(lambda: live.service.memory.uploads.free < len(PICTURE))
        reply = live.send(PICTURE)
        assert reply.status == 503
        assert "too many pictures are on their way" in reply.error
    until(lambda: live.service.memory.uploads.free == len(PICTURE) + 50)
    assert live.send(PICTURE).status == 200


def test_a_client_that_goes_leaves_the_queue(gated: tuple[Live, Gated]) -> None:
    live, gate = gated
    queue = live.service.queue
    with ThreadPoolExecutor(2) as clients:
        inside = [clients.submit(live.send, PICTURE) for _ in range(2)]
        until(lambda: queue.in_progress == 2)
        with live.open() as client:
            client.sendall(HEAD % len(PICTURE) + PICTURE)
            until(lambda: queue.waiting == 1)
        until(lambda: queue.waiting == 0)
        gate.gate.set()
        assert [reply.result().status for reply in inside] == [200, 200]
    assert gate.begun == 2


def test_nobody_computes_for_a_client_that_has_gone(gated: tuple[Live, Gated], monkeypatch: pytest.MonkeyPatch) -> None:
    live, gate = gated
    noticed, mark_disconnected = threading.Event(), QueuedRequest.mark_disconnected
    monkeypatch.setattr(QueuedRequest, "mark_disconnected", lambda queued: (mark_disconnected(queued), noticed.set()))
    queue = live.service.queue
    with ThreadPoolExecutor(1) as clients:
        inside = clients.submit(live.send, PICTURE)
        until(lambda: gate.begun == 1)
        with live.open() as client:
            client.sendall(HEAD % len(PICTURE) + PICTURE)
            until(lambda: queue.in_progress == 2)
        # It has its slot but not yet the network; it gives the slot up when the network would be free.
        assert noticed.wait(60)
        gate.gate.set()
        assert inside.result().status == 200
        until(lambda: queue.in_progress == 0)
    assert gate.begun == 1


def test_tiles_stop_when_the_client_has_gone(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    steps, stopped = threading.Event(), threading.Event()

    class Tiled:
        def __getattr__(self, name: str) -> object:
            return getattr(segment, name)

        def __call__(self, image: object, progress: object) -> None:
            steps.set()
            try:
                while not stopped.wait(0.005):
                    progress(1, 2)  # type: ignore[operator]
            finally:
                stopped.set()

    segment = live.service.predictor
    monkeypatch.setattr(live.service, "predictor", Tiled())
    with live.open() as client:
        client.sendall(HEAD % len(PICTURE) + PICTURE)
        assert steps.wait(60)
        assert not stopped.is_set()
    assert stopped.wait(60)
    until(lambda: live.service.queue.in_progress == 0)


def test_a_response_that_is_not_received_is_cut_off(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "GRACE_SECONDS", 0.5)
    monkeypatch.setattr(limits, "MIN_BYTES_PER_SECOND", 10**9)
    file = encoded(np.zeros((400, 500, 3), np.uint8))
    before = live.service.memory.responses.free
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(60)
        client.connect(("127.0.0.1", live.port))
        request = HEAD.replace(b"/predict", b"/predict?format=probabilities") % len(file) + file
        client.sendall(request)
        until(lambda: live.service.memory.responses.free < before)
        until(lambda: live.service.memory.responses.free == before)
        assert sum(len(part) for part in iter(lambda: client.recv(1 << 16), b"")) < 11 * 400 * 500 * 2


def test_a_budget_refuses_what_it_has_not() -> None:
    budget = ClientMemory(Limits(upload_bytes=100, queue=0)).uploads
    with budget.reserve() as one, budget.reserve() as other:
        one.extend(150)
        with pytest.raises(RequestError, match="too many pictures"):
            other.extend(51)
        other.extend(50)
        assert budget.free == 0
    assert budget.free == 200
