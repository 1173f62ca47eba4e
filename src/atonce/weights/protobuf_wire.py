"""The wire format of protocol buffers: a message's fields, one after the other, without a schema.

What it is given may be forged: it looks only at bytes that are there, never recurses, and yields views of them.
"""

from __future__ import annotations

from collections.abc import Iterator

Value = int | memoryview

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MOST_FIELDS = 1_000_000
"""The most fields of one message; a VGG-16 has hundreds."""


class WireError(ValueError):
    """Bytes that are no message."""


def fields(message: memoryview) -> Iterator[tuple[int, Value]]:
    """Yield the number and value of each field: an int for a varint, the bytes of everything else.

    Raises:
        WireError: the bytes are no message, or one with more than a million fields.
    """
    position, end, count = 0, len(message), 0
    while position < end:
        tag, position = varint(message, position)
        number, wire_type = tag >> 3, tag & 7
        if wire_type == _VARINT:
            value, position = varint(message, position)
            yield number, value
        else:
            if wire_type == _BYTES:
                length, position = varint(message, position)
            elif wire_type in (_FIXED64, _FIXED32):
                length = 8 if wire_type == _FIXED64 else 4
            else:
                raise WireError(f"wire type {wire_type}")
            if not number > 0 or length > end - position:
                raise WireError("a field beyond the end")
            yield number, message[position : position + length]
            position += length
        count += 1
        if count > _MOST_FIELDS:
            raise WireError(f"more than {_MOST_FIELDS} fields in one message")


def varint(data: memoryview, position: int) -> tuple[int, int]:
    """Read an integer of up to 64 bits, seven a byte; returns it and the position behind it.

    Raises:
        WireError: the data end inside it, or it is longer than 64 bits.
    """
    result = 0
    for shift in range(0, 70, 7):
        if position >= len(data):
            raise WireError("an integer beyond the end")
        byte = data[position]
        position += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            if result >> 64:
                break
            return result, position
    raise WireError("an integer of more than 64 bits")


def integers(value: Value, most: int) -> list[int]:
    """Read a repeated integer field's value: a single one, or several packed into bytes.

    Raises:
        WireError: not integers, or more than `most`.
    """
    if isinstance(value, int):
        return [value]
    found: list[int] = []
    position = 0
    while position < len(value):
        if len(found) == most:
            raise WireError(f"more than {most} integers")
        number, position = varint(value, position)
        found.append(number)
    return found


def as_bytes(value: Value) -> memoryview:
    """Take the value of a field that holds bytes. Raises WireError for an integer."""
    if isinstance(value, int):
        raise WireError("an integer instead of bytes")
    return value


def as_integer(value: Value) -> int:
    """Take the value of a field that holds an integer. Raises WireError for bytes."""
    if isinstance(value, int):
        return value
    raise WireError("bytes instead of an integer")


def as_text(value: Value) -> str:
    """Take the value of a field that holds text of up to 4096 bytes, as names do. Raises WireError."""
    data = as_bytes(value)
    if len(data) > 4096:
        raise WireError(f"a name of {len(data)} bytes")
    try:
        return str(data, "utf-8")
    except UnicodeDecodeError:
        raise WireError("a name that is not text") from None
