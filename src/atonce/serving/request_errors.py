"""Errors of requests: those that are refused, and those whose client has gone."""

from __future__ import annotations

from atonce.errors import UserError


class RequestError(UserError):
    """A request that is refused: answered with an HTTP status and one line of JSON, {"error": ...}.

    Args:
        status: the HTTP status, 400..503.
        found, expected, remedy: as in `UserError`.
        retry_after: seconds after which the same request may be accepted; sent as the header Retry-After.
    """

    def __init__(
        self, status: int, found: str, expected: str = "", remedy: str = "", *, retry_after: int | None = None
    ) -> None:
        super().__init__(found, expected, remedy)
        self.status = status
        self.headers = {} if retry_after is None else {"Retry-After": str(retry_after)}


class ClientDisconnected(Exception):
    """The client has gone: nobody waits for the response."""
