"""The listening socket, and uvicorn behind it."""

from __future__ import annotations

import ipaddress
import os
import signal
import socket
from collections.abc import Callable
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from atonce.errors import UserError, option
from atonce.serving.access_log import AccessLog, log_config
from atonce.serving.connections import ACCEPT_BACKLOG, Connection

_SHUTDOWN_SECONDS = 10


def listen(host: str, port: int) -> socket.socket:
    """Open a listening socket; port 0 takes a free one. To be called before the model is loaded, which takes longer.

    Raises:
        UserError: the port is taken or not allowed, or there is no such address here.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return _bound(family, address)
    except (socket.gaierror, UnicodeError):
        raise UserError(
            f"there is no address '{host}' here", f"127.0.0.1, 0.0.0.0 or another {option('host')}"
        ) from None
    except OSError as error:
        # Without the address that Python adds to the system's own words.
        reason, remedy = os.strerror(error.errno or 0), f"choose another {option('port')}, or 0 for any"
        raise UserError(f"cannot listen on {address_of(host, port)} ({reason})", "a free port", remedy) from None


def _bound(family: int, address: tuple[Any, ...]) -> socket.socket:
    # With the protocol by its number: asyncio sets TCP_NODELAY on no other, and an answer in two pieces, head and body,
    # then waits 40 ms for the client's delayed acknowledgement. `socket.create_server` leaves it at 0.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if os.name == "posix":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind(address)
        listener.listen(ACCEPT_BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener


def address_of(host: str, port: int) -> str:
    """Return host and port as a URL writes them."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_wildcard_address(host: str) -> bool:
    """Tell whether `host` stands for all addresses of this machine: 0.0.0.0 or ::."""
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False


class Server(uvicorn.Server):
    """uvicorn's server, which tells the application when its end begins.

    Args:
        on_shutdown: called in the event loop, before what is in progress gets its time to end.
    """

    def __init__(self, config: uvicorn.Config, on_shutdown: Callable[[], None] | None) -> None:
        super().__init__(config)
        self._on_shutdown = on_shutdown

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the server."""
        if self._on_shutdown:
            self._on_shutdown()
        await super().shutdown(sockets)


def create_server(
    app: ASGIApp, on_shutdown: Callable[[], None] | None = None, *, access_log: AccessLog = "text"
) -> Server:
    """Create a server with a bounded number of connections, which logs requests and failures on stderr.

    Args:
        access_log: see `AccessLog`.
        on_shutdown: see `Server`; `Service.stop` refuses whoever still waits.
    """
    config = uvicorn.Config(
        app,
        http=Connection,
        log_config=log_config(access_log),
        ws="none",
        lifespan="off",
        server_header=False,
        # A proxy's word on who the client is matters to the log only, and anyone could claim to be a proxy.
        proxy_headers=False,
        backlog=ACCEPT_BACKLOG,
        timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
    )
    return Server(config, on_shutdown)


def run(
    app: ASGIApp,
    listener: socket.socket,
    on_shutdown: Callable[[], None] | None = None,
    *,
    access_log: AccessLog = "text",
) -> None:
    """Serve until SIGINT or SIGTERM; requests in progress then have ten seconds to end."""
    server = create_server(app, on_shutdown, access_log=access_log)
    # When it has ended, uvicorn raises the signal once more for whoever was there before it.
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: None)
    server.run(sockets=[listener])
