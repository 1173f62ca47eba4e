"""Serving: a network behind HTTP, with a page for people and an API for programs. Nothing of training is imported."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from os import PathLike
from typing import TYPE_CHECKING

from atonce.errors import UserError, option
from atonce.extras import require_extra
from atonce.threads import set_threads

if TYPE_CHECKING:
    from atonce.serving.access_log import AccessLog
    from atonce.serving.limits import Limits

__all__ = ["serve"]


def serve(
    model: str | PathLike[str],
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    engine: str | None = None,
    device: str | None = None,
    threads: int | None = None,
    limits: Limits | None = None,
    allow_host: Iterable[str] = (),
    cors_origin: Iterable[str] = (),
    token: str | None = None,
    token_file: str | PathLike[str] | None = None,
    access_log: AccessLog = "text",
    on_ready: Callable[[str, str], None] | None = None,
) -> None:
    """Serve a model over HTTP until SIGINT or SIGTERM; what `atonce serve` does. To be called in the main thread.

    Args:
        model: a run folder, a model file, an exported file, or what `atonce.train` returned.
        host: the address to listen on; "0.0.0.0" for every machine that can reach this one.
        port: 0 for any that is free.
        engine, device: as in `atonce.load`.
        threads: cores that the network uses; all by default.
        limits: how much clients may ask for.
        allow_host: names that clients call this server by, beside localhost, `host` and addresses; "*" for any.
        cors_origin: origins of web pages elsewhere that may use this server ("https://example.org"); "*" for any.
        token: the token that clients have to send, `Authorization: Bearer TOKEN`; None asks for none.
        token_file: a file that holds it, instead; both are a mistake.
        access_log: the lines of requests on stderr: "text", "json" or "none".
        on_ready: called with the URL and the engine, once the model is loaded and has segmented a first picture.

    Raises:
        UserError: a package of the extra `serve` is missing, the model cannot be loaded, the port is taken, the token
            is too short or given twice, or an origin is none.
    """
    for package in ("fastapi", "uvicorn", "python_multipart", "prometheus_client"):
        require_extra(package, "atonce serve", "serve")
    from atonce.model_location import find_model_file
    from atonce.serving.access_log import log_config
    from atonce.serving.bearer_token import read_token, require_token
    from atonce.serving.host_check import require_origin
    from atonce.serving.http_app import create_app
    from atonce.serving.server import address_of, is_wildcard_address, listen, run
    from atonce.serving.service import Service

    if token is not None and token_file is not None:
        found = f"both {option('token')} and {option('token_file')} are given"
        raise UserError(found, "one of them", "leave the other out")
    log_config(access_log)
    origins = [require_origin(origin) for origin in cors_origin]
    if token_file is not None:
        token = read_token(token_file)
    elif token is not None:
        require_token(token, option("token"))
    if threads:
        set_threads(threads)
    with listen(host, port) as listener:
        service = Service.from_file(find_model_file(model), device=device, engine=engine, limits=limits)
        service.warm_up()
        hosts = [*allow_host, *([] if is_wildcard_address(host) else [host])]
        application = create_app(service, hosts, allowed_origins=origins, token=token)
        if on_ready:
            on_ready(f"http://{address_of(host, listener.getsockname()[1])}", service.predictor.engine)
        run(application, listener, service.stop, access_log=access_log)
