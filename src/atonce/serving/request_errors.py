"""Errors of requests: those that are refused, and those whose client has gone."""

from __future__ import annotations

from starlette.responses import JSONResponse
from starlette.types import Scope

from atonce.errors import UserError

REASON = "atonce.reason"
"""Key of an ASGI scope's state: why the request has been refused, in a word."""


class RequestError(UserError):
    """A request that is refused: answered with an HTTP status and one line of JSON, {"error": ...}.

    Args:
        status: the HTTP status, 400..503.
        found, expected, remedy: as in `UserError`.
        retry_after: seconds after which the same request may be accepted; sent as the header Retry-After.
        reason: a word for metrics, where the status does not say it: of 503.
    """

    def __init__(
        self,
        status: int,
        found: str,
        expected: str = "",
        remedy: str = "",
        *,
        retry_after: int | None = None,
        reason: str = "",
    ) -> None:
        super().__init__(found, expected, remedy)
        self.status, self.reason = status, reason
        self.headers = {} if retry_after is None else {"Retry-After": str(retry_after)}


def error_response(error: RequestError, scope: Scope) -> JSONResponse:
    """Build the response for a request that is refused: {"error": one line}; the reason is noted in its state."""
    if error.reason:
        scope.setdefault("state", {})[REASON] = error.reason
    return JSONResponse({"error": error.for_command_line()}, error.status, error.headers)


class ClientDisconnected(Exception):
    """The client has gone: nobody waits for the response."""
