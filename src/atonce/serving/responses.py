"""Responses: the format that a client asks for, and a result encoded and sent in it."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from io import BytesIO
from typing import Any

import anyio
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from atonce.inference import Result
from atonce.inference.result import OverlayBlender
from atonce.labels import LabelSpec
from atonce.serving.connections import ABORT
from atonce.serving.limits import MemoryBudget, piece_deadline
from atonce.serving.request_errors import RequestError

MAX_PROBABILITIES = 1 << 26
"""Float16 values of one response, 128 MB, which have to be held until the client has received them."""

MAX_OUTLINES = 300_000
"""Pixels of the outlines of all areas of a picture that become polygons; photos have tens of thousands, noise millions,
which would take minutes: 200,000 around single pixels took 12 s of a core."""

_CHUNK = 1 << 16


class ResponseFormat(str, Enum):
    """The format of a response; a value of the parameter `format`."""

    JSON = "json"
    POLYGONS = "polygons"
    LABELS = "labels"
    OVERLAY = "overlay"
    PROBABILITIES = "probabilities"


MEDIA_TYPES = {
    ResponseFormat.JSON: "application/json",
    ResponseFormat.POLYGONS: "application/json",
    ResponseFormat.LABELS: "image/png",
    ResponseFormat.OVERLAY: "image/png",
    ResponseFormat.PROBABILITIES: "application/octet-stream",
}

# What an Accept header asks for; overlays are asked for by name, since labels are PNG files too.
_BY_TYPE = {
    MEDIA_TYPES[kind]: kind for kind in (ResponseFormat.JSON, ResponseFormat.LABELS, ResponseFormat.PROBABILITIES)
}
_BY_RANGE = {"*/*": ResponseFormat.JSON, "application/*": ResponseFormat.JSON, "image/*": ResponseFormat.LABELS}


@dataclass(frozen=True)
class ResponseOptions:
    """The options of one response.

    Attributes:
        opacity: of the colours in an overlay, 0..1.
        simplify: pixels by which polygons may be off.
        with_labels: JSON also holds the label picture, PNG in base64.
        with_layer: JSON also holds what an overlay lays over the picture, PNG in base64, transparent where it lays
            nothing.
    """

    format: ResponseFormat = ResponseFormat.JSON
    opacity: float = 0.5
    simplify: float = field(default=1.0, kw_only=True)
    with_labels: bool = field(default=False, kw_only=True)
    with_layer: bool = field(default=False, kw_only=True)


def negotiate_format(header: str) -> ResponseFormat:
    """Return the format that an Accept header prefers (content negotiation); JSON where it says nothing.

    Raises:
        RequestError: 406 none of the formats is accepted.
    """
    best, best_weight = None, 0.0
    for item in header.split(",") if header.strip() else ["*/*"]:
        kind, *parameters = (part.strip().lower() for part in item.split(";"))
        quality = next((p[2:] for p in parameters if p.startswith("q=")), "1")
        try:
            weight = float(quality)
        except ValueError:
            weight = 0.0
        found = _BY_TYPE.get(kind) or _BY_RANGE.get(kind)
        if found and weight > best_weight:
            best, best_weight = found, weight
    if best is None:
        raise RequestError(406, f"Accept: {header[:120]}", f"one of {', '.join(_BY_TYPE)}", "or ask with ?format=")
    return best


def require_probabilities_fit(classes: int, size: tuple[int, int]) -> None:
    """Raise RequestError (413) if the probabilities of a picture of this (height, width) are too many to be held."""
    max_pixels = MAX_PROBABILITIES // classes
    if size[0] * size[1] > max_pixels:
        found = f"probabilities of {classes} classes for {size[1]}x{size[0]} pixels"
        raise RequestError(
            413, found, f"at most {max_pixels / 1e6:.1f} megapixels", "scale the picture down, or ask for labels"
        )


def require_outlines_fit(labels: NDArray[np.uint8]) -> None:
    """Raise RequestError (413) if the outlines of labels (H, W) are too long to be traced for a client."""
    length = sum(int(np.count_nonzero(np.diff(labels, axis=axis))) for axis in (0, 1))
    if length > MAX_OUTLINES:
        found = f"the outlines of this picture's areas are {length} pixels long"
        raise RequestError(413, found, f"at most {MAX_OUTLINES}", "scale the picture down, or ask for labels")


def encode_result(result: Result, options: ResponseOptions, about: Mapping[str, Any]) -> bytes:
    """Encode a result as the body of a response.

    Args:
        about: entries that stand first in JSON.
    """
    if options.format is ResponseFormat.LABELS:
        return _png(result.label_image())
    if options.format is ResponseFormat.OVERLAY:
        return _png(result.overlay(options.opacity))
    if options.format is ResponseFormat.PROBABILITIES:
        file = BytesIO()
        np.save(file, result.probabilities.astype(np.float16))
        return file.getvalue()
    if options.format is ResponseFormat.POLYGONS:
        require_outlines_fit(result.labels)
        told = result.to_dict(simplify=options.simplify)
        del told["picture"]
        return json.dumps({**about, **told}, ensure_ascii=False).encode()
    labels = result.label_image()
    data = {
        **about,
        "width": labels.width,
        "height": labels.height,
        "notes": list(result.notes),
        "classes": class_shares(labels, result.label_spec),
    }
    if options.with_labels:
        data["labels_png"] = base64.b64encode(_png(labels)).decode()
    if options.with_layer:
        data["layer_png"] = base64.b64encode(_png(labels, transparency=overlay_alpha(result.label_spec))).decode()
    return json.dumps(data, ensure_ascii=False).encode()


def class_shares(labels: Image.Image, spec: LabelSpec) -> list[dict[str, Any]]:
    """Count the pixels of each class, in the order of the ids.

    Args:
        labels: a palette picture whose indices are ids.
    """
    counts = labels.histogram()
    pixels = labels.width * labels.height
    return [
        {**entry, "pixels": counts[entry["id"]], "share": counts[entry["id"]] / pixels} for entry in class_table(spec)
    ]


def class_table(spec: LabelSpec) -> list[dict[str, Any]]:
    """List id, name and colour (RGB, 0..255) of each class."""
    rows = enumerate(zip(spec.names, spec.palette, strict=True))
    return [{"id": index, "name": name, "colour": list(colour)} for index, (name, colour) in rows]


def overlay_alpha(spec: LabelSpec) -> bytes:
    """Return the alpha of each id in a palette, 256 bytes: 255 where an overlay paints a class, 0 where it does not."""
    alpha = OverlayBlender(spec).painted.astype(np.uint8) * 255
    return alpha.tobytes()


def _png(image: Image.Image, **options: Any) -> bytes:
    file = BytesIO()
    # The fastest compression: labels are small with any, and pictures little larger than with the best.
    image.save(file, "PNG", compress_level=1, **options)
    return file.getvalue()


class DeadlineResponse(Response):
    """A response that is sent in pieces, each with a deadline.

    A client that receives them too slowly is cut off, since the rest has to be kept in memory.

    Args:
        budget: holds the body until it is sent.
    """

    def __init__(self, content: bytes, budget: MemoryBudget, *, media_type: str, headers: Mapping[str, str]) -> None:
        super().__init__(content, 200, headers, media_type)
        self._budget = budget

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = memoryview(bytes(self.body))
        started = anyio.current_time()
        with self._budget.reserve() as reservation, anyio.CancelScope() as transfer:
            reservation.begin_transfer(transfer.cancel)
            reservation.extend(len(body))
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            for start in range(0, max(len(body), 1), _CHUNK):
                piece, last = bytes(body[start : start + _CHUNK]), start + _CHUNK >= len(body)
                deadline = piece_deadline(started, anyio.current_time(), start)
                with anyio.CancelScope(deadline=deadline) as scope_of_piece:
                    await send({"type": "http.response.body", "body": piece, "more_body": not last})
                if scope_of_piece.cancelled_caught:
                    transfer.cancel()
                    break
                reservation.transferred = start + len(piece)
        if transfer.cancel_called:
            await _abort(scope)


async def _abort(scope: Scope) -> None:
    """Cut a connection off whose response ends early, with whatever the system still keeps for it."""
    if abort := scope.get("state", {}).get(ABORT):
        abort()
        await anyio.sleep(0.01)  # until the server has noticed
