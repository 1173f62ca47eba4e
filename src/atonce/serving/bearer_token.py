"""A bearer token: requests that do not carry it are refused, before anything of them is read."""

from __future__ import annotations

import hashlib
import hmac
import re
from os import PathLike
from pathlib import Path

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from atonce.errors import UserError, option
from atonce.serving.paths import OPEN_PATHS
from atonce.serving.request_errors import RequestError, error_response

_SHORTEST = 16
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")
"""The characters of a token in a header (RFC 6750)."""


def read_token(file: str | PathLike[str]) -> str:
    """Read a token from a file; white space around it does not count.

    Raises:
        UserError: the file cannot be read, or holds no token.
    """
    path = Path(file)
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not a text"
        found = f"{option('token_file', path)} cannot be read ({reason})"
        raise UserError(found, "a file that holds a token") from None
    return require_token(text.strip(), str(path))


def require_token(token: str, source: str) -> str:
    """Return a token that can be sent in a header and is not guessed.

    Args:
        source: where it comes from, for the message, which does not show it.

    Raises:
        UserError: it is too short, or of other characters.
    """
    if len(token) < _SHORTEST or not _TOKEN.fullmatch(token):
        raise UserError(
            f"the token in {source} has {len(token)} characters"
            + ("" if _TOKEN.fullmatch(token) or not token else ", some of which no token has"),
            f"{_SHORTEST} or more of A-Z a-z 0-9 . _ ~ + / -",
            "make one with `openssl rand -hex 32`",
        )
    return token


class BearerToken:
    """ASGI middleware that answers 401 to requests without the token, but for `OPEN_PATHS`.

    Args:
        token: what is to stand in the header `Authorization: Bearer TOKEN`.
    """

    def __init__(self, app: ASGIApp, token: str) -> None:
        self.app, self._digest = app, _digest(token.encode())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] not in OPEN_PATHS and not self._is_known(Headers(scope=scope)):
            error = RequestError(401, "no token, or a wrong one", "the header Authorization: Bearer TOKEN")
            response = error_response(error, scope)
            response.headers["WWW-Authenticate"] = 'Bearer realm="atonce"'
            await response(scope, receive, send)
            return
        await self.app(scope, receive, send)

    def _is_known(self, headers: Headers) -> bool:
        scheme, _, given = headers.get("authorization", "").partition(" ")
        # Digests are of one length, and compared in a time that says nothing of how many bytes agree.
        same = hmac.compare_digest(_digest(given.strip().encode("latin-1")), self._digest)
        return same and scheme.lower() == "bearer"


def _digest(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()
