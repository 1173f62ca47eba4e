"""A server on a real socket in a thread of this process, and a client."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from atonce.inference import Predictor
from atonce.serving.access_log import AccessLog
from atonce.serving.http_app import create_app
from atonce.serving.limits import Limits
from atonce.serving.server import Server, create_server, listen
from atonce.serving.service import Service

BOUNDARY = "a7b3"
FORM = f"multipart/form-data; boundary={BOUNDARY}"


@dataclass(frozen=True)
class Reply:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> str:
        """The one line of a refusal."""
        assert 400 <= self.status < 600, self.status
        assert list(self.json) == ["error"]
        text: str = self.json["error"]
        assert "\n" not in text
        assert "Traceback" not in text
        return text

    @property
    def labels(self) -> np.ndarray:
        with Image.open(BytesIO(self.body)) as picture:
            assert picture.mode == "P"
            return np.asarray(picture)


class Live:
    def __init__(self, service: Service, port: int, server: Server) -> None:
        self.service, self.port, self.server = service, port, server

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | Iterator[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body, dict(headers or {}), encode_chunked=isinstance(body, Iterator))
            response = connection.getresponse()
            return Reply(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        finally:
            connection.close()

    def send(self, file: bytes, query: str = "", kind: str = "image/png", **headers: str) -> Reply:
        """A raw body."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.ask("POST", f"/predict?{query}", file, {"Content-Type": kind, **named})

    def post(self, file: bytes, query: str = "") -> Reply:
        """A form."""
        return self.send(form(("picture", file)), query, FORM)

    def open(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=60)


def form(*fields: tuple[str, bytes], filename: str = "../../etc/passwd.png") -> bytes:
    body = b""
    for name, content in fields:
        about = f'Content-Disposition: form-data; name="{name}"; filename="{filename}"\r\nContent-Type: image/png'
        body += f"--{BOUNDARY}\r\n{about}\r\n\r\n".encode() + content + b"\r\n"
    return body + f"--{BOUNDARY}--\r\n".encode()


@contextmanager
def serving(
    model: Path, limits: Limits | None = None, engine: str | None = None, access_log: AccessLog = "text", **options: Any
) -> Iterator[Live]:
    service = Service.from_file(model, device="cpu", engine=engine, limits=limits)
    with listen("127.0.0.1", 0) as listener:
        application = create_app(service, ["served.example"], **options)
        server = create_server(application, service.stop, access_log=access_log)
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            yield Live(service, listener.getsockname()[1], server)
        finally:
            server.should_exit = True
            thread.join(60)
            assert not thread.is_alive()


class Gated:
    """A predictor that begins only when it is let, and counts."""

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor
        self.gate, self.begun, self.most, self._inside = threading.Event(), 0, 0, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._predictor, name)

    def __call__(self, *given: Any) -> Any:
        self.begun += 1
        self._inside += 1
        self.most = max(self.most, self._inside)
        try:
            assert self.gate.wait(60)
            return self._predictor(*given)
        finally:
            self._inside -= 1


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.005)
