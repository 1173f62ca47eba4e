"""Answers of servers that mean no good: without end, byte by byte, unfolding, or none that HTTP knows."""

from __future__ import annotations

import gzip
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Answer = Callable[[BaseHTTPRequestHandler], None]

_MOST = 64
"""MiB after which an answer "without end" ends all the same, and the seconds for which one is slow, should a test fail."""


@contextmanager
def answering(answer: Answer) -> Iterator[str]:
    """A server on this machine that answers each GET and HEAD so; yields its address."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            answer(self)

        def do_HEAD(self) -> None:
            answer(self)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads, server.block_on_close = True, False
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _head(handler: BaseHTTPRequestHandler, status: int, **headers: str) -> None:
    handler.close_connection = True
    handler.send_response(status)
    for name, value in {**headers, "Connection": "close"}.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()


def _send(handler: BaseHTTPRequestHandler, parts: Iterator[bytes]) -> None:
    handler.close_connection = True
    try:
        for part in parts:
            handler.wfile.write(part)
            handler.wfile.flush()
    except OSError:
        """The client has hung up, as it should."""


def _byte_by_byte(byte: bytes) -> Iterator[bytes]:
    for _ in range(_MOST * 20):
        time.sleep(0.05)
        yield byte


def _chunks() -> Iterator[bytes]:
    """A MiB each, as HTTP has them in an answer of unknown length."""
    return (b"100000\r\n" + bytes(1 << 20) + b"\r\n" for _ in range(_MOST))


def endless(handler: BaseHTTPRequestHandler) -> None:
    _head(handler, 200, Transfer_Encoding="chunked")
    _send(handler, _chunks())


def gzip_of_zeros(handler: BaseHTTPRequestHandler) -> None:
    content = gzip.compress(bytes(4 << 20))
    _head(handler, 200, Content_Encoding="gzip", Content_Length=str(len(content)))
    _send(handler, iter([content]))


def trickle(handler: BaseHTTPRequestHandler) -> None:
    _head(handler, 200, Content_Length=str(1 << 20))
    _send(handler, _byte_by_byte(b"x"))


def trickling_headers(handler: BaseHTTPRequestHandler) -> None:
    _send(handler, (part for parts in (iter([b"HTTP/1.1 200 OK\r\nA: "]), _byte_by_byte(b"x")) for part in parts))


def wordy_redirect(handler: BaseHTTPRequestHandler) -> None:
    _head(handler, 302, Location=handler.path, Transfer_Encoding="chunked")
    _send(handler, _chunks())


def redirect_to(place: str) -> Answer:
    return lambda handler: _head(handler, 302, Location=place, Content_Length="0")


def without_an_etag(handler: BaseHTTPRequestHandler) -> None:
    _head(handler, 200, Content_Length="1000", X_Linked_Size="1000", X_Repo_Commit="0" * 40)


def garbage(handler: BaseHTTPRequestHandler) -> None:
    _send(handler, iter([b"\x00\xff what is this\r\n\r\n"]))
