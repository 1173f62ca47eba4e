"""The body of a request: read within limits, and the picture's file found in it. Nothing touches the disk."""

from __future__ import annotations

import anyio
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from atonce.errors import option
from atonce.serving.limits import Holding, seconds_for
from atonce.serving.refusal import Abandoned, Refusal

FIELD = "picture"

_MULTIPART = "multipart/form-data"
_EXPECTED = f"the field '{FIELD}' of {_MULTIPART}, or the picture's file itself as image/..."

# What may stand around the picture in a form: boundaries and the headers of its part.
_ENVELOPE = 16_384


def media_type(request: Request) -> str:
    """Without parameters. Raises Refusal (415): not one that holds a picture, or a compressed body."""
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding != "identity":
        raise Refusal(415, f"a body with Content-Encoding {encoding[:40]}", "the file as it is", "send it uncompressed")
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != _MULTIPART and not kind.startswith("image/"):
        raise Refusal(415, f"a body of type {kind[:80]}" if kind else "a body without Content-Type", _EXPECTED)
    return kind


async def read_body(request: Request, limit: int, holding: Holding) -> bytes:
    """The whole body. It is counted as it arrives: what the client says of its length can only speed a refusal up.

    Raises:
        Refusal: 413 too large, 415 not a picture by its type, 408 too slow, 503 others' uploads take all memory.
        Abandoned: the client has gone.
    """
    allowed = limit + (_ENVELOPE if media_type(request) == _MULTIPART else 0)
    declared = request.headers.get("content-length", "")
    if declared.isascii() and declared.isdigit() and int(declared[:20]) > allowed:
        raise too_large(limit)
    body, started = bytearray(), anyio.current_time()
    more = True
    while more:
        with anyio.CancelScope(deadline=started + seconds_for(len(body))) as patience:
            message = await request.receive()
        if patience.cancelled_caught:
            raise Refusal(408, f"after {len(body)} bytes the picture came too slowly", remedy="send it faster")
        if message["type"] == "http.disconnect":
            raise Abandoned
        chunk = message.get("body", b"")
        if len(body) + len(chunk) > allowed:
            raise too_large(limit)
        holding.take(len(chunk))
        body += chunk
        more = message.get("more_body", False)
    return bytes(body)


def too_large(limit: int) -> Refusal:
    expected = f"at most {limit / 1e6:g} MB"
    return Refusal(
        413, "the file is too large", expected, f"send a smaller one, or serve with {option('max_upload_mb')}"
    )


def picture_file(body: bytes, content_type: str, limit: int) -> bytes:
    """The picture's file in a body, which is that file or a form with one field.

    Raises:
        Refusal: 422 not a form, or not of this one field; 413 the file is too large.
    """
    kind, options = parse_options_header(content_type)
    file = _Form().read(body, options.get(b"boundary", b"")) if kind == _MULTIPART.encode() else body
    if len(file) > limit:
        raise too_large(limit)
    if not file:
        raise Refusal(422, "the picture is empty (0 bytes)", "a picture")
    return file


class _Form:
    """Collects the one field of a form; whatever else is sent is refused where it begins."""

    def __init__(self) -> None:
        self._header, self._disposition = (bytearray(), bytearray()), b""
        self._file: bytearray | None = None
        self._complete = False

    def read(self, body: bytes, boundary: bytes) -> bytes:
        if not boundary:
            raise Refusal(422, f"{_MULTIPART} without a boundary", _EXPECTED)
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
            raise Refusal(422, f"the body is not the {_MULTIPART} that it says it is", _EXPECTED) from None
        if not self._complete:
            raise Refusal(422, f"the {_MULTIPART} ends early", "the whole of it", "send it again")
        if self._file is None:
            raise Refusal(422, f"there is no field '{FIELD}'", _EXPECTED)
        return bytes(self._file)

    def _end_header(self) -> None:
        if self._header[0].lower() == b"content-disposition":
            self._disposition = bytes(self._header[1])
        self._header = (bytearray(), bytearray())

    def _begin(self) -> None:
        _, options = parse_options_header(self._disposition)
        name = options.get(b"name", b"").decode("utf-8", "replace")
        if name != FIELD:
            raise Refusal(422, f"the field '{name[:80]}'", f"'{FIELD}' and no other")
        if self._file is not None:
            raise Refusal(422, f"'{FIELD}' twice", "one picture", "send one request for each")
        self._file = bytearray()

    def _add(self, data: bytes, start: int, end: int) -> None:
        assert self._file is not None  # the parser gives a part's headers first
        self._file += data[start:end]

    def _end(self) -> None:
        self._complete = True
