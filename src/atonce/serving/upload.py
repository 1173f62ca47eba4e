"""The upload: the body of a request, read within limits, and the picture's file in it. Nothing touches the disk."""

from __future__ import annotations

import anyio
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from atonce.errors import option
from atonce.serving.limits import Reservation, transfer_seconds
from atonce.serving.request_errors import ClientDisconnected, RequestError

FIELD = "picture"

_MULTIPART = "multipart/form-data"
_EXPECTED = f"the field '{FIELD}' of {_MULTIPART}, or the picture's file itself as image/..."

# What may stand around the picture in a form: boundaries and the headers of its part.
_FORM_OVERHEAD = 16_384


def media_type(request: Request) -> str:
    """Return the Content-Type of the body without parameters.

    Raises:
        RequestError: 415 not a type that holds a picture, or a compressed body.
    """
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding != "identity":
        raise RequestError(
            415, f"a body with Content-Encoding {encoding[:40]}", "the file as it is", "send it uncompressed"
        )
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != _MULTIPART and not kind.startswith("image/"):
        raise RequestError(415, f"a body of type {kind[:80]}" if kind else "a body without Content-Type", _EXPECTED)
    return kind


async def read_body(request: Request, limit: int, reservation: Reservation) -> bytes:
    """Read the whole body.

    It is counted as it arrives: what the client says of its length can only speed a refusal up.

    Args:
        limit: the largest file of a picture, in bytes.
        reservation: grows with what has arrived.

    Raises:
        RequestError: 413 too large, 415 not a picture by its type, 408 too slow, 503 others' uploads take all memory.
        ClientDisconnected: the client has gone.
    """
    allowed = limit + (_FORM_OVERHEAD if media_type(request) == _MULTIPART else 0)
    declared = request.headers.get("content-length", "")
    if declared.isascii() and declared.isdigit() and int(declared[:20]) > allowed:
        raise _too_large(limit)
    body, started = bytearray(), anyio.current_time()
    more = True
    with anyio.CancelScope() as transfer:
        reservation.begin_transfer(transfer.cancel)
        while more:
            with anyio.CancelScope(deadline=started + transfer_seconds(len(body))) as scope:
                message = await request.receive()
            if scope.cancelled_caught:
                raise _too_slow(len(body))
            if message["type"] == "http.disconnect":
                raise ClientDisconnected
            chunk = message.get("body", b"")
            if len(body) + len(chunk) > allowed:
                raise _too_large(limit)
            reservation.extend(len(chunk))
            body += chunk
            reservation.transferred = len(body)
            more = message.get("more_body", False)
        reservation.on_cut_off = None
    if transfer.cancelled_caught:
        raise _too_slow(len(body))
    return bytes(body)


def _too_slow(received: int) -> RequestError:
    return RequestError(408, f"after {received} bytes the picture came too slowly", remedy="send it faster")


def _too_large(limit: int) -> RequestError:
    expected = f"at most {limit / 1e6:g} MB"
    return RequestError(
        413, "the file is too large", expected, f"send a smaller one, or serve with {option('max_upload_mb')}"
    )


def extract_picture(body: bytes, content_type: str, limit: int) -> bytes:
    """Return the picture's file in a body, which is that file or a form with one field.

    Raises:
        RequestError: 422 not a form, or not of this one field; 413 the file is too large.
    """
    kind, options = parse_options_header(content_type)
    file = _FormParser().parse(body, options.get(b"boundary", b"")) if kind == _MULTIPART.encode() else body
    if len(file) > limit:
        raise _too_large(limit)
    if not file:
        raise RequestError(422, "the picture is empty (0 bytes)", "a picture")
    return file


class _FormParser:
    """A parser of multipart/form-data that collects the one field; whatever else is sent is refused where it begins."""

    def __init__(self) -> None:
        self._header, self._disposition = (bytearray(), bytearray()), b""
        self._file: bytearray | None = None
        self._complete = False

    def parse(self, body: bytes, boundary: bytes) -> bytes:
        """Return the field's content. Raises RequestError (422): not a form, or not with this one field."""
        if not boundary:
            raise RequestError(422, f"{_MULTIPART} without a boundary", _EXPECTED)
        try:
            parser = MultipartParser(
                boundary,
                {
                    "on_header_field": lambda data, start, end: self._header[0].extend(data[start:end]),
                    "on_header_value": lambda data, start, end: self._header[1].extend(data[start:end]),
                    "on_header_end": self._end_header,
                    "on_headers_finished": self._begin,
                    "on_part_data": self._add,
                    "on_end": self._end,
                },
            )
            parser.write(body)
            parser.finalize()
        except FormParserError:
            raise RequestError(422, f"the body is not the {_MULTIPART} that it says it is", _EXPECTED) from None
        if not self._complete:
            raise RequestError(422, f"the {_MULTIPART} ends early", "the whole of it", "send it again")
        if self._file is None:
            raise RequestError(422, f"there is no field '{FIELD}'", _EXPECTED)
        return bytes(self._file)

    def _end_header(self) -> None:
        if self._header[0].lower() == b"content-disposition":
            self._disposition = bytes(self._header[1])
        self._header = (bytearray(), bytearray())

    def _begin(self) -> None:
        _, options = parse_options_header(self._disposition)
        name = options.get(b"name", b"").decode("utf-8", "replace")
        if name != FIELD:
            raise RequestError(422, f"the field '{name[:80]}'", f"'{FIELD}' and no other")
        if self._file is not None:
            raise RequestError(422, f"'{FIELD}' twice", "one picture", "send one request for each")
        self._file = bytearray()

    def _add(self, data: bytes, start: int, end: int) -> None:
        assert self._file is not None  # the parser gives a part's headers first
        self._file += data[start:end]

    def _end(self) -> None:
        self._complete = True
