"""The HTTP application: paths, parameters and errors."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

from fastapi import FastAPI, Query
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import ASGIApp

from atonce.errors import UserError
from atonce.serving import paths
from atonce.serving.admission import Admission
from atonce.serving.bearer_token import BearerToken
from atonce.serving.host_check import HostCheck
from atonce.serving.observation import Observation
from atonce.serving.request_errors import ClientDisconnected, RequestError, error_response
from atonce.serving.responses import ResponseFormat, ResponseOptions, negotiate_format
from atonce.serving.server_metrics import ServerMetrics
from atonce.serving.service import Service
from atonce.serving.upload import FIELD
from atonce.serving.web_page import build_page
from atonce.version import __version__

_BINARY = {"type": "string", "format": "binary"}
_FORM = {"type": "object", "properties": {FIELD: _BINARY}, "required": [FIELD]}
_BODY = {
    "required": True,
    "content": {"multipart/form-data": {"schema": _FORM}, "image/*": {"schema": _BINARY}},
}
_ERROR = {"application/json": {"schema": {"type": "object", "properties": {"error": {"type": "string"}}}}}
_ERROR_STATUSES = {
    401: "no token, or a wrong one; only where the server asks for one",
    403: "asked for by a web page of another origin",
    406: "no such format for the Accept header",
    408: "the picture came too slowly",
    413: "the file or the picture is too large",
    415: "not a picture, or of a kind that is not read",
    422: "a damaged picture, or a parameter that is wrong",
    503: "the queue is full, or the server is being stopped; Retry-After says when to come again",
}
_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"content": {kind: {} for kind in ("application/json", "image/png", "application/octet-stream")}},
    **{status: {"description": text, "content": _ERROR} for status, text in _ERROR_STATUSES.items()},
}


def create_app(
    service: Service,
    allowed_hosts: Iterable[str] = (),
    *,
    allowed_origins: Iterable[str] = (),
    token: str | None = None,
) -> ASGIApp:
    """Create the ASGI application.

    Args:
        allowed_hosts: names that it is called by beside addresses and localhost; "*" for any (see `HostCheck`).
        allowed_origins: of pages elsewhere that may use it, as `require_origin` returns them; "*" for any.
        token: the token that clients have to send; None asks for none.
    """
    # FastAPI's own pages for humans load scripts from elsewhere.
    app = FastAPI(
        title="atonce",
        version=__version__,
        openapi_url=paths.OPENAPI,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    _handle_errors(app)
    page, description = build_page(), service.describe()
    metrics = ServerMetrics(service.queue, service.model, service.predictor.engine)

    @app.get(paths.HOME, response_class=HTMLResponse, summary="A page to try the model")
    async def home() -> HTMLResponse:
        return HTMLResponse(page.html, headers={"Content-Security-Policy": page.policy})

    @app.get(paths.HEALTHZ, summary="Alive and ready: the model is loaded before the first answer")
    async def health() -> dict[str, Any]:
        queue = service.queue
        counts = {"at_work": queue.in_progress, "waiting": queue.waiting, "queue": queue.max_waiting}
        return {"status": "ok", **counts}

    @app.get(paths.LIVEZ, summary="Alive: the process answers")
    async def alive() -> dict[str, str]:
        return {"status": "ok"}

    @app.get(paths.READYZ, summary="Ready for a picture; 503 when the queue is full or the server is being stopped")
    async def ready() -> dict[str, str]:
        try:
            service.queue.require_capacity()
        except RequestError as error:
            # The probe is answered: it asked whether there is room, not for any. Refusals are counted by reason.
            error.reason = ""
            raise
        return {"status": "ok"}

    @app.get(paths.METRICS, summary="Metrics for Prometheus", response_class=Response)
    async def exposition() -> Response:
        content, kind = metrics.exposition()
        return Response(content, media_type=kind)

    @app.get(paths.MODEL, summary="What the model is")
    async def model() -> dict[str, Any]:
        return description

    @app.post(
        paths.PREDICT, summary="Segment a picture", responses=_RESPONSES, openapi_extra={"requestBody": _BODY},
        response_class=Response,
    )  # fmt: skip
    async def predict(
        request: Request,
        *,
        format: Annotated[
            ResponseFormat | None, Query(description="By the Accept header, or json, where it is left out")
        ] = None,
        opacity: Annotated[float, Query(ge=0, le=1, description="Of the colours in an overlay")] = 0.5,
        simplify: Annotated[float, Query(ge=0, le=1000, description="polygons: pixels they may be off")] = 1.0,
        labels: Annotated[bool, Query(description="json: with the label picture, PNG in base64")] = False,
        layer: Annotated[bool, Query(description="json: with what an overlay lays over the picture, PNG")] = False,
    ) -> Response:
        known = ("format", "opacity", "simplify", "labels", "layer")
        unknown = [key for key in request.query_params if key not in known]
        if unknown:
            raise RequestError(422, f"the parameter '{unknown[0][:40]}'", f"one of {', '.join(known)}")
        chosen = format or negotiate_format(request.headers.get("accept", ""))
        options = ResponseOptions(chosen, opacity, simplify=simplify, with_labels=labels, with_layer=layer)
        try:
            return await service.predict(request, options, metrics.observe_steps)
        except ClientDisconnected:
            return Response(status_code=499)  # nobody reads it

    handler: ASGIApp = Admission(app, service.queue)
    if token is not None:
        handler = BearerToken(handler, token)
    if origins := [*allowed_origins]:
        # Around the token: a browser asks what it may do before it sends one.
        handler = CORSMiddleware(
            handler,
            allow_origins=origins,
            allow_methods=["GET", "HEAD", "POST"],
            allow_headers=["Authorization", "Content-Type"],
            expose_headers=["Server-Timing", "Retry-After"],
        )
    return Observation(HostCheck(handler, allowed_hosts, origins), metrics)


def _handle_errors(app: FastAPI) -> None:
    """Answer every error with one line of JSON."""

    @app.exception_handler(UserError)
    async def user_error(request: Request, error: Exception) -> JSONResponse:
        if isinstance(error, RequestError):
            return error_response(error, request.scope)
        assert isinstance(error, UserError)
        return error_response(RequestError(422, *error.parts), request.scope)

    @app.exception_handler(RequestValidationError)
    async def invalid_parameter(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        return error_response(RequestError(422, f"{first['loc'][-1]}: {first['msg']}"), request.scope)

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        text = f"{request.method} {request.url.path[:80]}: {error.detail}"
        response = error_response(RequestError(error.status_code, text), request.scope)
        response.headers.update(error.headers or {})
        return response

    @app.exception_handler(Exception)
    async def internal_error(request: Request, _: Exception) -> JSONResponse:
        # The exception is raised again behind this response, and goes into the server's log.
        return error_response(RequestError(500, "the server failed at this; its log says why"), request.scope)
