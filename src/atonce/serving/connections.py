"""Connections: how many may be open, how long one may be silent, and when what a client does not take is given up."""

from __future__ import annotations

import asyncio
from collections.abc import Set
from importlib.util import find_spec
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from atonce.serving.limits import IDLE_SECONDS

MAX_OPEN = 768
"""Connections at the most, below the 1024 files that a process may usually open; beyond, one is closed for each."""

CROWD = 512
"""Connections from which on those that are refused are closed at once, before they come to `MAX_OPEN`."""

ACCEPT_BACKLOG = 128
"""Connections that the system keeps for the server, and that are accepted in one go."""

# Files that a process has open beside its connections: the model, the libraries, pictures being written.
_OTHER_FILES = 96

_CHECK_SECONDS = 1.0

OPEN_CONNECTIONS, ABORT, REFUSED = "atonce.open_connections", "atonce.abort", "atonce.refused"
"""Keys of an ASGI scope's state: the set of open connections, a function that cuts this one off at once, and whether
this request is about to be refused."""


class Connection(H11Protocol):
    """A client's connection over HTTP/1.1, which ends by itself.

    uvicorn's own waits for ever for the head of the first request, and for a client to take the end of an answer.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.app_state = {**self.app_state, OPEN_CONNECTIONS: self.connections}
        self._idle_since = self.loop.time()
        self._closing_since: float | None = None
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_idle(self) -> bool:
        """True where no request has come, or the last one has been answered."""
        return self.cycle is None or self.cycle.response_complete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin; where too many are open, another one gives way."""
        super().connection_made(transport)
        self.app_state[ABORT] = transport.abort
        self._timer = self.loop.call_later(_CHECK_SECONDS, self._check)
        if len(self.connections) > _max_open():
            _abort_one(self, self.connections)

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        if self._timer:
            self._timer.cancel()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """Begin to wait for the next request."""
        self._idle_since = self.loop.time()
        super().on_response_complete()

    def _should_upgrade(self) -> bool:
        """Answer as if no other protocol had been asked for, without two lines of uvicorn about it in the log."""
        return False

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP, in JSON as every other error."""
        import h11

        headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
        body = b'{"error": "this is not HTTP/1.1, or its head is too long; expected a request of HTTP/1.1"}'
        for event in (
            h11.Response(status_code=400, headers=headers, reason=b"Bad Request"),
            h11.Data(data=body),
            h11.EndOfMessage(),
        ):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def _check(self) -> None:
        """Close the connection of a client that says nothing; abort it where it does not take the rest either."""
        now = self.loop.time()
        if self.transport.is_closing():
            self._closing_since = self._closing_since or now
            if now - self._closing_since > IDLE_SECONDS:
                self.transport.abort()
        elif self.is_idle and now - self._idle_since > IDLE_SECONDS:
            self.transport.close()
        self._timer = self.loop.call_later(_CHECK_SECONDS, self._check)

    def _gives_way(self) -> bool:
        return self.is_idle or bool(self.scope["state"].get(REFUSED))

    def _rank(self) -> tuple[bool, float]:
        return (not self.is_idle, self._idle_since)


def _max_open() -> int:
    if not find_spec("resource"):
        return MAX_OPEN  # not a POSIX system
    import resource

    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return MAX_OPEN if allowed == resource.RLIM_INFINITY else min(MAX_OPEN, allowed - ACCEPT_BACKLOG - _OTHER_FILES)


def _abort_one(newest: Connection, connections: Set[Any]) -> None:
    """Abort the connection that has been silent for longest, else one that waits to be refused, else the newest."""
    others = [c for c in connections if c is not newest and not c.transport.is_closing()]
    if len(others) < _max_open():
        return
    givers = [c for c in others if c._gives_way()]
    min(givers, key=Connection._rank, default=newest).transport.abort()
