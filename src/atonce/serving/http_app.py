"""The HTTP interface: paths, parameters and errors."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

from fastapi import FastAPI, Query
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import ASGIApp

from atonce.errors import UserError
from atonce.serving.host_check import Guard
from atonce.serving.refusal import Abandoned, Refusal
from atonce.serving.responses import Format, Wanted, accepted
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
_REFUSALS = {
    403: "asked for by a web page of another origin",
    406: "no such format for the Accept header",
    408: "the picture came too slowly",
    413: "the file or the picture is too large",
    415: "not a picture, or of a kind that is not read",
    422: "a damaged picture, or a parameter that is wrong",
    503: "the queue is full; Retry-After says when to come again",
}
_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"content": {kind: {} for kind in ("application/json", "image/png", "application/octet-stream")}},
    **{status: {"description": text, "content": _ERROR} for status, text in _REFUSALS.items()},
}


def create_app(service: Service, names: Iterable[str] = ()) -> ASGIApp:
    """The ASGI application.

    Args:
        names: hosts that it answers to beside addresses and localhost; "*" for any (see `Guard`).
    """
    # FastAPI's own pages for humans load scripts from elsewhere.
    app = FastAPI(title="atonce", version=__version__, docs_url=None, redoc_url=None)
    _handle_errors(app)
    page, described = build_page(), service.describe()

    @app.get("/", response_class=HTMLResponse, summary="A page to try the model")
    async def home() -> HTMLResponse:
        return HTMLResponse(page.html, headers={"Content-Security-Policy": page.policy})

    @app.get("/healthz", summary="Alive and ready: the model is loaded before the first answer")
    async def health() -> dict[str, Any]:
        desk = service.desk
        return {"status": "ok", "at_work": desk.at_work, "waiting": desk.waiting, "queue": desk.queue}

    @app.get("/model", summary="What the model is")
    async def model() -> dict[str, Any]:
        return described

    @app.post(
        "/predict", summary="Segment a picture", responses=_RESPONSES, openapi_extra={"requestBody": _BODY},
        response_class=Response,
    )  # fmt: skip
    async def predict(
        request: Request,
        format: Annotated[
            Format | None, Query(description="By the Accept header, or json, where it is left out")
        ] = None,
        opacity: Annotated[float, Query(ge=0, le=1, description="Of the colours in an overlay")] = 0.5,
        labels: Annotated[bool, Query(description="json: with the label picture, PNG in base64")] = False,
    ) -> Response:
        known = ("format", "opacity", "labels")
        unknown = [key for key in request.query_params if key not in known]
        if unknown:
            raise Refusal(422, f"the parameter '{unknown[0][:40]}'", f"one of {', '.join(known)}")
        wanted = Wanted(format or accepted(request.headers.get("accept", "")), opacity, labels)
        try:
            return await service.predict(request, wanted)
        except Abandoned:
            return Response(status_code=499)  # nobody reads it

    return Guard(app, names)


def _handle_errors(app: FastAPI) -> None:
    """Every error is one line of JSON."""

    @app.exception_handler(UserError)
    async def mistake(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, UserError)
        status, headers = (error.status, error.headers) if isinstance(error, Refusal) else (422, {})
        return JSONResponse({"error": error.for_command_line()}, status, headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        return JSONResponse({"error": f"{first['loc'][-1]}: {first['msg']}"}, 422)

    @app.exception_handler(HTTPException)
    async def unknown(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        text = f"{request.method} {request.url.path[:80]}: {error.detail}"
        return JSONResponse({"error": text}, error.status_code, error.headers)

    @app.exception_handler(Exception)
    async def fault(_: Request, __: Exception) -> JSONResponse:
        # What happened is raised again behind this answer, and goes into the server's log.
        return JSONResponse({"error": "the server failed at this; its log says why"}, 500)
