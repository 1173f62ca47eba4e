"""atonce serve: a model behind HTTP."""

from __future__ import annotations

import ipaddress
from typing import Annotated

import typer

from atonce.cli.app import app
from atonce.cli.options import Device, Engine, Model


@app.command()
def serve(
    model: Model,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for every machine that can reach this.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 for any that is free.")] = 8000,
    engine: Engine = None,
    device: Device = None,
    threads: Annotated[
        int | None,
        typer.Option(min=1, help="Cores that the network uses; all by default. Containers with few: say so."),
    ] = None,
    max_megapixels: Annotated[
        float, typer.Option(min=0.01, max=500, help="Of a picture, and computed for it; larger: 413.")
    ] = 25,
    max_upload_mb: Annotated[float, typer.Option(min=0.01, max=2000, help="Of a picture's file; larger ones: 413.")] = (
        32
    ),
    queue: Annotated[int, typer.Option(min=0, max=200, help="Pictures that may wait; more: 503, Retry-After.")] = 16,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(help="A name that clients call this server by, beside localhost and addresses; * for any."),
    ] = None,
) -> None:
    """Serve a model over HTTP: a page at /, POST /predict for programs, /model, /healthz, /openapi.json.

    There is no password and no encryption: beyond this machine, put a proxy before it.
    """
    from atonce.model_location import name_of_model, require_model_file

    # What is mistyped is said here, before the seconds that importing torch takes.
    require_model_file(model)
    from atonce.serving import serve as serve_model
    from atonce.serving.limits import Limits

    def announce(url: str, engine: str) -> None:
        typer.echo(f"{name_of_model(model)} with {engine}: {url} (Ctrl-C ends)")
        if not _is_loopback(host):
            typer.echo("note: whoever can reach this address can use it; there is no password", err=True)

    serve_model(
        model,
        host=host,
        port=port,
        engine=engine,
        device=device,
        threads=threads,
        limits=Limits(upload_bytes=round(max_upload_mb * 1e6), pixels=round(max_megapixels * 1e6), queue=queue),
        allow_host=allow_host or (),
        on_ready=announce,
    )
    typer.echo("stopped")


def _is_loopback(host: str) -> bool:
    """Tell whether only this machine can reach the address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
