"""Before every request: is it meant for this server? After it: headers that bind the browser."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from atonce.errors import option
from atonce.serving.refusal import Refusal

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
"""Of every answer; a page states its own policy."""


class Guard:
    """Refuses requests that web pages of others make the user's browser send, and names others.

    Host: a page may let its own name point to this machine (DNS rebinding), and would then read the answers as its
    own. So names have to be known; addresses cannot be rebound.
    Origin: a page may post a picture here without being able to read the answer. Nothing would change, but the
    processor would work for it. Decided as by Go's http.CrossOriginProtection.

    Args:
        names: hosts that are served beside addresses and localhost; "*" for any.
    """

    def __init__(self, app: ASGIApp, names: Iterable[str] = ()) -> None:
        self.app, self.names = app, {"localhost", *(name.lower() for name in names)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        handler = self.app
        try:
            self._check(scope["method"], Headers(scope=scope))
        except Refusal as refusal:
            handler = JSONResponse({"error": refusal.for_command_line()}, refusal.status)

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await handler(scope, receive, guarded)

    def _check(self, method: str, headers: Headers) -> None:
        host = headers.get("host", "")
        name = _name(host)
        if "*" not in self.names and name not in self.names and not _is_address(name):
            raise Refusal(
                400,
                f"the host '{host[:80]}'",
                "a name that is served here",
                f"serve with {option('allow_host', 'NAME')}",
            )
        if method in ("GET", "HEAD", "OPTIONS"):
            return
        # Browsers send the first to https and localhost, the second with every post to another place.
        site, origin = headers.get("sec-fetch-site"), headers.get("origin")
        foreign = site not in ("same-origin", "none") if site else origin is not None and _place(origin) != host.lower()
        if foreign:
            raise Refusal(403, "a request by a web page of another origin", "this server's own page, or a program")


def _name(host: str) -> str:
    """Of a Host header, without the port; empty where it is none."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _place(origin: str) -> str:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
