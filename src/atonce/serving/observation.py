"""Observation: every request is counted, and written into the access log, when its answer has ended."""

from __future__ import annotations

import logging
import time
from typing import Any

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from atonce.serving.access_log import ACCESS
from atonce.serving.request_errors import REASON
from atonce.serving.server_metrics import ServerMetrics

_REASONS = {
    400: "host",
    401: "token",
    403: "origin",
    404: "path",
    405: "method",
    406: "format",
    408: "slow",
    413: "size",
    415: "kind",
    422: "content",
}
"""Reasons of refusals whose status says it all."""


class Observation:
    """ASGI middleware around all others, so that what they refuse is seen, too."""

    def __init__(self, app: ASGIApp, metrics: ServerMetrics) -> None:
        self.app, self._metrics = app, metrics
        self._log = logging.getLogger(ACCESS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began, status, sent, timing = time.perf_counter(), 0, 0, ""

        async def send_noticed(message: Message) -> None:
            nonlocal status, sent, timing
            if message["type"] == "http.response.start":
                status = message["status"]
                timing = Headers(raw=message["headers"]).get("server-timing", "")
            elif message["type"] == "http.response.body":
                # Of HEAD, the application's answer is that of GET; the body is left out on the way to the client.
                sent += len(message.get("body", b"")) if scope["method"] != "HEAD" else 0
            await send(message)

        state = scope.setdefault("state", {})
        try:
            await self.app(scope, receive, send_noticed)
        finally:
            seconds = time.perf_counter() - began
            # Without an answer: it was cut off, by the client or by the end of the server.
            status = status or 499
            reason = state.get(REASON) or _REASONS.get(status)
            self._metrics.count_request(scope["method"], scope["path"], status=status, seconds=seconds, reason=reason)
            entry = {
                "client": (scope.get("client") or ("",))[0],
                "method": scope["method"],
                "path": scope["path"],
                "status": status,
                "milliseconds": round(1000 * seconds, 1),
                "bytes": sent,
                **({"steps": steps} if (steps := _steps(timing)) else {}),
                **({"refused": reason} if reason else {}),
            }
            self._log.info("%s %s %d", scope["method"], scope["path"], status, extra={"entry": entry})


def _steps(timing: str) -> dict[str, Any]:
    """Read a header Server-Timing of ours: "queue;dur=0.1, decode;dur=3"."""
    parts = (part.strip().partition(";dur=") for part in timing.split(",") if ";dur=" in part)
    return {name: float(value) for name, _, value in parts}
