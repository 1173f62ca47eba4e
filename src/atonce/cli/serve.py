"""atonce serve: a model behind HTTP."""

from __future__ import annotations

import ipaddress
import os
from pathlib import Path
from typing import Annotated, Literal

import typer

from atonce.cli.app import app
from atonce.cli.completion import complete_device, complete_engine
from atonce.cli.options import Quiet


@app.command()
def serve(
    model: Annotated[
        Path,
        typer.Argument(
            envvar="ATONCE_MODEL",
            help="A run folder (its best model), a model file (.safetensors), an exported one (.onnx, .xml), a "
            "packaged model that is installed, by its name, or hf://user/name.",
        ),
    ],
    host: Annotated[
        str,
        typer.Option(envvar="ATONCE_HOST", help="Address to listen on; 0.0.0.0 for every machine that can reach this."),
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, envvar="ATONCE_PORT", help="0 for any that is free.")] = 8000,
    engine: Annotated[
        str | None,
        typer.Option(
            envvar="ATONCE_ENGINE",
            help="torch, torch-bf16, onnxruntime, openvino, openvino-bf16, or auto for the fastest in fp32, measured "
            "once; torch by default.",
            autocompletion=complete_engine,
        ),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(
            envvar="ATONCE_DEVICE",
            help="cpu, cuda, cuda:1, ...; a GPU by default where there is one.",
            autocompletion=complete_device,
        ),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(
            min=1,
            envvar="ATONCE_THREADS",
            help="Cores that the network uses; by default all that this process may use.",
        ),
    ] = None,
    max_megapixels: Annotated[
        float,
        typer.Option(
            min=0.01, max=500, envvar="ATONCE_MAX_MEGAPIXELS", help="Of a picture, and computed for it; larger: 413."
        ),
    ] = 25,
    max_upload_mb: Annotated[
        float,
        typer.Option(min=0.01, max=2000, envvar="ATONCE_MAX_UPLOAD_MB", help="Of a picture's file; larger ones: 413."),
    ] = 32,
    queue: Annotated[
        int,
        typer.Option(min=0, max=200, envvar="ATONCE_QUEUE", help="Pictures that may wait; more: 503, Retry-After."),
    ] = 16,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            envvar="ATONCE_ALLOW_HOST",
            help="A name that clients call this server by, beside localhost and addresses; * for any.",
        ),
    ] = None,
    cors_origin: Annotated[
        list[str] | None,
        typer.Option(
            envvar="ATONCE_CORS_ORIGIN",
            help="Origin of a web page elsewhere that may use this, https://example.org; * for any.",
        ),
    ] = None,
    token_file: Annotated[
        Path | None,
        typer.Option(
            envvar="ATONCE_TOKEN_FILE",
            help="File of a token that clients must send; or in the environment, ATONCE_TOKEN.",
        ),
    ] = None,
    access_log: Annotated[
        Literal["text", "json", "none"],
        typer.Option(envvar="ATONCE_ACCESS_LOG", help="A line for each request on stderr, as text or JSON, or none."),
    ] = "text",
    quiet: Quiet = False,
) -> None:
    """Serve a model over HTTP: a page at /, POST /predict for programs, /model, /healthz, /livez, /readyz, /metrics,
    /openapi.json.

    There is no encryption, and without a token no password: beyond this machine, put a proxy before it.
    """
    from atonce.model_location import name_of_model, require_model_file

    # What is mistyped is said here, before the seconds that importing torch takes.
    require_model_file(model)
    from atonce.cli.show import print_note
    from atonce.serving import serve as serve_model
    from atonce.serving.limits import Limits

    token = os.environ.get("ATONCE_TOKEN") or None

    def announce(url: str, engine: str) -> None:
        typer.echo(f"{name_of_model(model)} with {engine}: {url} (Ctrl-C ends)")
        if _is_loopback(host):
            return
        if token is None and token_file is None:
            print_note("note: whoever can reach this address can use it; there is no password")
        else:
            print_note("note: the token and the pictures travel unencrypted; put a proxy with TLS before it")

    serve_model(
        model,
        host=host,
        port=port,
        engine=engine,
        device=device,
        threads=threads,
        limits=Limits(upload_bytes=round(max_upload_mb * 1e6), pixels=round(max_megapixels * 1e6), queue=queue),
        allow_host=allow_host or (),
        cors_origin=cors_origin or (),
        token=token,
        token_file=token_file,
        access_log="none" if quiet else access_log,
        on_ready=announce,
    )
    typer.echo("stopped")


def _is_loopback(host: str) -> bool:
    """Tell whether only this machine can reach the address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
