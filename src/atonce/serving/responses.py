"""What a client may ask for, and a result as bytes of that kind."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from io import BytesIO
from typing import Any

import anyio
import numpy as np
from PIL import Image
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from atonce.inference import Result
from atonce.labels import LabelSpec
from atonce.serving.limits import Account, seconds_for
from atonce.serving.refusal import Refusal

MOST_PROBABILITIES = 1 << 26
"""Values: 128 MB, which have to be held until the client has taken them."""

_CHUNK = 1 << 18


class Format(str, Enum):
    """Of an answer."""

    JSON = "json"
    LABELS = "labels"
    OVERLAY = "overlay"
    PROBABILITIES = "probabilities"


MEDIA_TYPES = {
    Format.JSON: "application/json",
    Format.LABELS: "image/png",
    Format.OVERLAY: "image/png",
    Format.PROBABILITIES: "application/octet-stream",
}

# What an Accept header asks for; overlays are asked for by name, since labels are PNG files too.
_BY_TYPE = {MEDIA_TYPES[kind]: kind for kind in (Format.JSON, Format.LABELS, Format.PROBABILITIES)}
_BY_RANGE = {"*/*": Format.JSON, "application/*": Format.JSON, "image/*": Format.LABELS}


@dataclass(frozen=True)
class Wanted:
    """Attributes: opacity: of overlays, 0..1. with_labels: JSON also holds the label picture."""

    format: Format = Format.JSON
    opacity: float = 0.5
    with_labels: bool = False


def accepted(header: str) -> Format:
    """The format that an Accept header likes best; JSON where it says nothing. Raises Refusal (406)."""
    best, most = None, 0.0
    for item in header.split(",") if header.strip() else ["*/*"]:
        kind, *parameters = (part.strip().lower() for part in item.split(";"))
        quality = next((p[2:] for p in parameters if p.startswith("q=")), "1")
        try:
            weight = float(quality)
        except ValueError:
            weight = 0.0
        found = _BY_TYPE.get(kind) or _BY_RANGE.get(kind)
        if found and weight > most:
            best, most = found, weight
    if best is None:
        raise Refusal(406, f"Accept: {header[:120]}", f"one of {', '.join(_BY_TYPE)}", "or ask with ?format=")
    return best


def check_probabilities(classes: int, size: tuple[int, int]) -> None:
    """Raises Refusal (413): those of a picture of this (height, width) are too many to be held."""
    most = MOST_PROBABILITIES // classes
    if size[0] * size[1] > most:
        found = f"probabilities of {classes} classes for {size[1]}x{size[0]} pixels"
        raise Refusal(413, found, f"at most {most / 1e6:.1f} megapixels", "scale the picture down, or ask for labels")


def encode(result: Result, wanted: Wanted, about: Mapping[str, Any]) -> bytes:
    """A result as the wanted kind of file.

    Args:
        about: stands in JSON before the rest.
    """
    if wanted.format is Format.LABELS:
        return _png(result.label_image())
    if wanted.format is Format.OVERLAY:
        return _png(result.overlay(wanted.opacity))
    if wanted.format is Format.PROBABILITIES:
        file = BytesIO()
        np.save(file, result.probabilities.astype(np.float16))
        return file.getvalue()
    labels = result.label_image()
    data = {**about, "width": labels.width, "height": labels.height, "classes": shares(labels, result.label_spec)}
    if wanted.with_labels:
        data["labels_png"] = base64.b64encode(_png(labels)).decode()
    return json.dumps(data, ensure_ascii=False).encode()


def shares(labels: Image.Image, spec: LabelSpec) -> list[dict[str, Any]]:
    """Of a palette picture whose indices are ids: what each class has of it, in the order of the ids."""
    counts = labels.histogram()
    pixels = labels.width * labels.height
    return [
        {**entry, "pixels": counts[entry["id"]], "share": counts[entry["id"]] / pixels} for entry in class_table(spec)
    ]


def class_table(spec: LabelSpec) -> list[dict[str, Any]]:
    """Id, name and colour (RGB, 0..255) of each class."""
    rows = enumerate(zip(spec.names, spec.palette, strict=True))
    return [{"id": index, "name": name, "colour": list(colour)} for index, (name, colour) in rows]


def _png(image: Image.Image) -> bytes:
    file = BytesIO()
    # The fastest compression: labels are small with any, and pictures little larger than with the best.
    image.save(file, "PNG", compress_level=1)
    return file.getvalue()


class Answer(Response):
    """Sent in pieces; whoever takes them too slowly is cut off, since the rest has to be kept in memory."""

    def __init__(self, content: bytes, account: Account, media_type: str, headers: Mapping[str, str]) -> None:
        super().__init__(content, 200, headers, media_type)
        self._account = account

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = memoryview(bytes(self.body))
        started = anyio.current_time()
        with self._account.open() as holding:
            holding.take(len(body))
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            for start in range(0, max(len(body), 1), _CHUNK):
                piece, last = bytes(body[start : start + _CHUNK]), start + _CHUNK >= len(body)
                with anyio.CancelScope(deadline=started + seconds_for(start)) as patience:
                    await send({"type": "http.response.body", "body": piece, "more_body": not last})
                if patience.cancelled_caught:
                    # The server closes connections whose answer ends early.
                    return
