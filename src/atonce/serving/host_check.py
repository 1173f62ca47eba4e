"""Protection against the web pages of others: host and origin checks (DNS rebinding, CSRF), security headers."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from atonce.errors import UserError, option
from atonce.serving.request_errors import RequestError, error_response

SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
"""Set on every response; a page states its own policy."""


class HostCheck:
    """ASGI middleware that refuses requests which other web pages make the user's browser send.

    Host: a page may let its own name point to this machine (DNS rebinding), and would then read the responses as its
    own. So names have to be known; addresses cannot be rebound.
    Origin: a page may post a picture here without being able to read the response (CSRF). Nothing would change, but
    the processor would work for it. Decided as by Go's http.CrossOriginProtection.

    Args:
        allowed_hosts: names that are served beside addresses and localhost; "*" for any.
        allowed_origins: those of pages that may send requests, too, as `require_origin` returns them; "*" for any.
    """

    def __init__(self, app: ASGIApp, allowed_hosts: Iterable[str] = (), allowed_origins: Iterable[str] = ()) -> None:
        self.app = app
        self.allowed_origins = frozenset(allowed_origins)
        self.allowed_hosts = {"localhost", *(name.lower() for name in allowed_hosts)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        handler = self.app
        try:
            self._check(scope["method"], Headers(scope=scope))
        except RequestError as error:
            handler = error_response(error, scope)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await handler(scope, receive, send_with_headers)

    def _check(self, method: str, headers: Headers) -> None:
        """Raise RequestError: 400 an unknown host, 403 another origin."""
        host = headers.get("host", "")
        name = _host_name(host)
        if "*" not in self.allowed_hosts and name not in self.allowed_hosts and not _is_address(name):
            raise RequestError(
                400,
                f"the host '{host[:80]}'",
                "a name that is served here",
                f"serve with {option('allow_host', 'NAME')}",
            )
        origin = headers.get("origin")
        if origin is not None and self.allowed_origins & {"*", origin.lower()}:
            return
        # OPTIONS is what a browser asks first where origins are allowed at all; of another origin, the answer is no.
        asked_first = method == "OPTIONS" and origin is not None and bool(self.allowed_origins)
        if method in ("GET", "HEAD", "OPTIONS") and not asked_first:
            return
        # Browsers send the first to https and localhost, the second with every post to another origin.
        site = headers.get("sec-fetch-site")
        if site:
            foreign = site not in ("same-origin", "none")
        else:
            foreign = origin is not None and _host_of_origin(origin) != host.lower()
        if foreign:
            raise RequestError(403, "a request by a web page of another origin", "this server's own page, or a program")


_ORIGIN = re.compile(
    r"(?P<scheme>https?)://(?P<host>\[(?P<ipv6>[0-9a-f:.]+)\]|(?:[a-z0-9_-]+\.)*[a-z0-9_-]+)(?::(?P<port>[0-9]{1,5}))?/?"
)
"""An origin in small letters, as browsers send it, with the slash that people write after it."""


def require_origin(text: str) -> str:
    """Return an origin as browsers send it: scheme, host in small letters, and a port that is not the scheme's own.

    A name that is not ASCII has to be given in punycode, since this is what browsers send; one with `*`, which none
    sends, is refused, but for `*` alone.

    Raises:
        UserError: it is none.
    """
    given = text.strip().lower()
    if given == "*":
        return given
    match = _ORIGIN.fullmatch(given)
    host = _browser_host(match) if match else None
    port = int(match["port"]) if match and match["port"] else None
    if match is None or host is None or (port or 0) > 65535:
        expected = "scheme://host or scheme://host:port as browsers send it, such as https://example.org, or * for any"
        raise UserError(option("cors_origin", text), expected, _remedy_for_origin(given))
    own = {"http": 80, "https": 443}[match["scheme"]]
    return f"{match['scheme']}://{host}" + (f":{port}" if port not in (None, own) else "")


def _browser_host(match: re.Match[str]) -> str | None:
    """Return the host of an origin as browsers write it; None where it is an address that there is not."""
    host = match["host"]
    try:
        if match["ipv6"]:
            return f"[{ipaddress.IPv6Address(match['ipv6']).compressed}]"
        # To browsers, a host whose last part is a number is an address: 127.1 is 127.0.0.1, and 1.2.3.999 is none.
        if host.rpartition(".")[2].isdigit():
            return str(ipaddress.IPv4Address(host))
    except ValueError:
        return None
    return str(host)


def _remedy_for_origin(given: str) -> str:
    """Say what to change in what is no origin."""
    if not given.isascii():
        return "write the name in punycode, xn--..."
    if "@" in given:
        return "leave out the user before the @"
    if "*" in given:
        return f"name each origin with a {option('cors_origin')} of its own"
    return ""


_NO_HOST = frozenset("@/\\?#")
"""Characters that no host has, by which one name hides behind another."""


def _host_name(host: str) -> str:
    """The name in a Host header, without the port; empty where it holds none."""
    if not _NO_HOST.isdisjoint(host):
        return ""  # of a user, or before a path: other programs find another name in it
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _host_of_origin(origin: str) -> str:
    """The host and port in an Origin header, as a Host header writes them; empty where it holds none."""
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
