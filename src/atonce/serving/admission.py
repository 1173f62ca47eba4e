"""Admission: what the server has no capacity for is turned away before it is read, and slowly enough to cost little."""

from __future__ import annotations

import asyncio
import math

import anyio
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from atonce.serving.connections import CROWD, OPEN_CONNECTIONS, REFUSED
from atonce.serving.request_errors import RequestError, error_response
from atonce.serving.request_queue import RequestQueue

_REFUSALS_PER_SECOND = 50
_BURST = 20


class Admission:
    """ASGI middleware around the application: it refuses what there is no capacity for, and answers to the end.

    - Pictures beyond the queue get 503 with Retry-After. Refusals are spaced out: clients that ask again at once would
      otherwise take the processor from the answers. One that has waited for its refusal is served if there is capacity
      by then. While more than `CROWD` connections are open nobody waits for a refusal, and its connection is closed.
    - HEAD is answered as GET, without the body.
    - A request that a shutdown cuts off gets 503.
    """

    def __init__(self, app: ASGIApp, queue: RequestQueue) -> None:
        self.app, self._queue, self._pace = app, queue, RefusalPace()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun = False

        async def send_noticed(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        if scope["method"] == "HEAD":
            scope = {**scope, "method": "GET"}  # the server itself leaves the body out
        try:
            if scope["method"] == "POST":
                await self._admit(scope)
            await self.app(scope, receive, send_noticed)
        except RequestError as error:
            response = error_response(error, scope)
            if _is_crowded(scope):
                response.headers["Connection"] = "close"
            await response(scope, receive, send)
        except asyncio.CancelledError:
            if begun:
                raise
            await error_response(self._queue.shutdown_error(), scope)(scope, receive, send)

    async def _admit(self, scope: Scope) -> None:
        """Return where there is capacity for a picture. Raises RequestError (503) where there is none."""
        try:
            self._queue.require_capacity()
        except RequestError:
            if _is_crowded(scope):
                raise
            state = scope.get("state", {})
            state[REFUSED] = True
            await self._pace.wait(self._queue.stopping)
            self._queue.require_capacity()
            state[REFUSED] = False


def _is_crowded(scope: Scope) -> bool:
    return len(scope.get("state", {}).get(OPEN_CONNECTIONS, ())) > CROWD


class RefusalPace:
    """A pace for refusals: so many at once, then so many a second."""

    def __init__(self) -> None:
        self._next = -math.inf

    async def wait(self, stopping: anyio.Event) -> None:
        """Wait for this refusal's turn, or for the server to stop."""
        now = anyio.current_time()
        self._next = max(self._next, now - _BURST / _REFUSALS_PER_SECOND) + 1 / _REFUSALS_PER_SECOND
        if self._next > now:
            with anyio.move_on_after(self._next - now):
                await stopping.wait()
