"""What the server does beyond its capacity: who is refused, how, and who is cut off."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from atonce.serving import admission, connections, limits
from atonce.serving.http_app import create_app
from atonce.serving.limits import Limits, MemoryBudget
from atonce.serving.request_errors import RequestError
from atonce.serving.server import create_server, listen
from atonce.serving.service import Service
from tests.pictures import encoded, noise
from tests.serving.live import Gated, Live, serving, until

PICTURE = encoded(noise(40, 40))
HEAD = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\nContent-Length: %d\r\n\r\n"
GET = b"GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture
def gated(tiny_model: Path) -> Iterator[tuple[Live, Gated]]:
    with serving(tiny_model, Limits(queue=1)) as live:
        gate = Gated(live.service.predictor)
        live.service.predictor = gate  # type: ignore[assignment]
        try:
            yield live, gate
        finally:
            gate.gate.set()


def test_answers_do_not_wait_for_the_acknowledgement_of_their_head(live: Live) -> None:
    # asyncio sets TCP_NODELAY on sockets of this protocol alone.
    with listen("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()[:2]):
        assert listener.proto == socket.IPPROTO_TCP
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.proto == socket.IPPROTO_TCP
    # Sent in two pieces over a connection that has been used, each answer took 40 ms.
    with live.open() as client:
        times = []
        for _ in range(12):
            began = time.perf_counter()
            client.sendall(GET % b"/healthz")
            until(lambda: b"}" in client.recv(1000))
            times.append(time.perf_counter() - began)
    assert sorted(times[2:])[5] < 0.03


def test_head_is_answered_as_get_without_the_body(live: Live) -> None:
    for path in ("/", "/healthz", "/model", "/openapi.json"):
        reply, whole = live.ask("HEAD", path), live.ask("GET", path)
        assert (reply.status, reply.body) == (200, b"")
        assert reply.headers["content-length"] == whole.headers["content-length"]
        assert reply.headers["x-content-type-options"] == "nosniff"
    assert live.ask("HEAD", "/predict").status == 405


def test_three_hundred_connections_are_answered_and_refused_in_json(tiny_model: Path) -> None:
    # From 256 on there was a plain 503 without Retry-After, to health checks and those in the queue, too.
    with serving(tiny_model, Limits(queue=1)) as live, ExitStack() as stack:
        gate = Gated(live.service.predictor)
        live.service.predictor = gate  # type: ignore[assignment]
        stack.callback(gate.gate.set)
        for _ in range(300):
            stack.enter_context(live.open())
        until(lambda: len(live.server.server_state.connections) >= 300)
        assert live.ask("GET", "/healthz").json["status"] == "ok"
        with ThreadPoolExecutor(4) as clients:
            inside = [clients.submit(live.send, PICTURE) for _ in range(2)]
            until(lambda: live.service.queue.in_progress == 2)
            inside.append(clients.submit(live.send, PICTURE))
            until(lambda: live.service.queue.waiting == 1)
            refused = live.send(PICTURE)
            assert refused.status == 503
            assert refused.error.startswith("3 pictures in work or waiting")
            assert int(refused.headers["retry-after"]) >= 1
            assert refused.headers["x-content-type-options"] == "nosniff"
            gate.gate.set()
            assert [reply.result().status for reply in inside] == [200] * 3


def test_in_a_crowd_those_that_are_refused_do_not_stay(
    gated: tuple[Live, Gated], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission, "CROWD", 3)
    monkeypatch.setattr(admission, "_BURST", 0)
    monkeypatch.setattr(admission, "_REFUSALS_PER_SECOND", 0.01)
    live, gate = gated
    with ThreadPoolExecutor(3) as clients, ExitStack() as stack:
        for _ in range(4):
            stack.enter_context(live.open())
        inside = [clients.submit(live.send, PICTURE) for _ in range(2)]
        until(lambda: live.service.queue.in_progress == 2)
        inside.append(clients.submit(live.send, PICTURE))
        until(lambda: live.service.queue.waiting == 1)
        refused = live.send(PICTURE)
        assert (refused.status, refused.headers["connection"]) == (503, "close")
        gate.gate.set()
        assert [reply.result().status for reply in inside] == [200] * 3


def test_refusals_are_spaced_out(gated: tuple[Live, Gated], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "_BURST", 1)
    monkeypatch.setattr(admission, "_REFUSALS_PER_SECOND", 10)
    live, gate = gated
    with ThreadPoolExecutor(9) as clients:
        inside = [clients.submit(live.send, PICTURE) for _ in range(2)]
        until(lambda: live.service.queue.in_progress == 2)
        inside.append(clients.submit(live.send, PICTURE))
        until(lambda: live.service.queue.waiting == 1)
        began = time.monotonic()
        refused = [clients.submit(live.send, PICTURE) for _ in range(6)]
        assert live.ask("GET", "/healthz").status == 200
        assert time.monotonic() - began < 0.4, "the health check waits for nobody"
        assert [reply.result().status for reply in refused] == [503] * 6
        assert time.monotonic() - began > 0.4
        gate.gate.set()
        assert [reply.result().status for reply in inside] == [200] * 3


def test_a_refusal_whose_turn_comes_when_there_is_capacity_is_none(
    gated: tuple[Live, Gated], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission, "_BURST", 0)
    monkeypatch.setattr(admission, "_REFUSALS_PER_SECOND", 1)
    live, gate = gated
    with ThreadPoolExecutor(4) as clients:
        replies = [clients.submit(live.send, PICTURE) for _ in range(2)]
        until(lambda: live.service.queue.in_progress == 2)
        replies.append(clients.submit(live.send, PICTURE))
        until(lambda: live.service.queue.waiting == 1)
        replies.append(clients.submit(live.send, PICTURE))
        time.sleep(0.2)
        gate.gate.set()
        assert [reply.result().status for reply in replies] == [200] * 4


def closed(client: socket.socket) -> bool:
    try:
        return client.recv(1) == b""
    except ConnectionError:
        return True


def test_silent_connections_are_closed(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "IDLE_SECONDS", 0.2)
    monkeypatch.setattr(connections, "_CHECK_SECONDS", 0.05)
    with live.open() as silent, live.open() as slow:
        slow.sendall(b"POST /predict HTTP/1.1\r\nHost: loc")
        assert closed(silent)
        assert closed(slow)


def test_the_longest_silent_gives_way_where_too_many_are_open(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    before = len(live.server.server_state.connections)
    monkeypatch.setattr(connections, "MAX_OPEN", before + 3)
    with ExitStack() as stack:
        silent = []
        for count in range(3):
            silent.append(stack.enter_context(live.open()))
            wanted = before + count + 1
            until(lambda: len(live.server.server_state.connections) >= wanted)  # noqa: B023
            time.sleep(0.02)
        assert live.ask("GET", "/healthz").status == 200
        assert closed(silent[0])


def test_an_answer_that_nobody_takes_gives_its_memory_to_one_that_is_taken(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "GRACE_SECONDS", 30.0)
    file = encoded(np.zeros((400, 500, 3), np.uint8))
    size = 11 * 400 * 500 * 2 + 128
    memory = live.service.memory.responses
    monkeypatch.setattr(memory, "free", size + 1000)
    request = HEAD.replace(b"/predict", b"/predict?format=probabilities") % len(file) + file
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(60)
        client.connect(("127.0.0.1", live.port))
        client.sendall(request)
        until(lambda: memory.free < size)
        refused = live.send(file, "format=probabilities")
        assert refused.status == 503, "within its grace it keeps what it has"
        assert refused.headers["retry-after"]
        monkeypatch.setattr(limits, "GRACE_SECONDS", 2.0)
        time.sleep(2.1)
        # Not the deadline of the next piece, which was set before: its memory is wanted.
        assert len(live.send(file, "format=probabilities").body) == size
        until(lambda: memory.free == size + 1000)


def test_a_transfer_that_stands_still_ends_early() -> None:
    # 16 KB a second leave ten minutes for ten megabytes; ten seconds without a byte of them are enough.
    assert limits.piece_deadline(0, 1, 10_000_000) == 11
    assert limits.piece_deadline(0, 9, 0) == 10


def test_the_slowest_transfer_is_cut_off_and_only_where_that_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "GRACE_SECONDS", 0.0)
    budget, cut = MemoryBudget(100), list[str]()
    with budget.reserve() as slow, budget.reserve() as fast, budget.reserve() as queued, budget.reserve() as new:
        for reservation, name, done in ((slow, "slow", 1), (fast, "fast", 1000)):
            reservation.begin_transfer(partial(cut.append, name))
            reservation.extend(30)
            reservation.transferred = done
        queued.extend(30)
        time.sleep(0.001)
        with pytest.raises(RequestError):
            new.extend(80)
        assert cut == []
        new.extend(40)
        assert cut == ["slow"]
        assert (slow.size, budget.free) == (0, 0)
    assert budget.free == 100


def test_clients_that_wait_when_the_server_ends_are_told_to_come_again(tiny_model: Path) -> None:
    service = Service.from_file(tiny_model, device="cpu", limits=Limits(queue=4))
    gate = Gated(service.predictor)
    service.predictor = gate  # type: ignore[assignment]
    with listen("127.0.0.1", 0) as listener, ThreadPoolExecutor(4) as clients:
        server = create_server(create_app(service), service.stop)
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            live = Live(service, listener.getsockname()[1], server)
            replies = [clients.submit(live.send, PICTURE) for _ in range(2)]
            until(lambda: service.queue.in_progress == 2)
            replies += [clients.submit(live.send, PICTURE) for _ in range(2)]
            until(lambda: service.queue.waiting == 2)
            server.should_exit = True
            told = [reply.result() for reply in replies[2:]]
            assert [reply.status for reply in told] == [503, 503]
            assert all(reply.error == "the server is being stopped; try again later" for reply in told)
            assert all(reply.headers["retry-after"] for reply in told)
            gate.gate.set()
            assert [reply.result().status for reply in replies[:2]] == [200, 200]
        finally:
            gate.gate.set()
            server.should_exit = True
            thread.join(60)
        assert not thread.is_alive()


def test_work_that_outlasts_the_grace_of_a_shutdown_gets_no_500(tiny_model: Path) -> None:
    service = Service.from_file(tiny_model, device="cpu")
    gate = Gated(service.predictor)
    service.predictor = gate  # type: ignore[assignment]
    with listen("127.0.0.1", 0) as listener, ThreadPoolExecutor(1) as clients:
        server = create_server(create_app(service), service.stop)
        server.config.timeout_graceful_shutdown = 1
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            reply = clients.submit(Live(service, listener.getsockname()[1], server).send, PICTURE)
            until(lambda: gate.begun == 1)
            server.should_exit = True
            assert reply.result().status == 503
            assert reply.result().headers["retry-after"]
        finally:
            gate.gate.set()
            thread.join(60)
        assert not thread.is_alive()


def test_what_is_no_http_is_told_in_json(live: Live) -> None:
    with live.open() as client:
        client.sendall(b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n")
        answer = b"".join(iter(lambda: client.recv(2000), b""))
    assert answer.startswith(b"HTTP/1.1 400")
    assert "HTTP/1.1" in json.loads(answer.partition(b"\r\n\r\n")[2])["error"]
