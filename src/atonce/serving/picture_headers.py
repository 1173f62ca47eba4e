"""Counting what stands in front of a picture's pixels: Pillow reads it piece by piece, in Python."""

from __future__ import annotations

import re
import struct

from PIL.JpegImagePlugin import MARKER

MAX_PIECES = 10_000
"""Chunks of a PNG, segments of a JPEG, or bytes between them. Cameras write some dozens."""

_LARGE_CHUNK = 256
"""Bytes of pixels from which on a chunk does not count: a large picture has thousands, of 8 KB in general."""

MAX_PROFILES = 100
"""Colour profiles of a PNG, of which there may be one: each is unpacked, a megabyte from a kilobyte."""

MAX_HEADER = 1 << 16
"""Bytes of a PPM in front of its pixels, comments included."""

_PNG, _JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8"
_PPM = re.compile(rb"P[1-6fFy]")
_COMMENT = re.compile(rb"#[^\r\n]*")
_SCAN, _FILL = 0xFFDA, 0xFFFF


def header_problem(file: bytes) -> str | None:
    """Say what makes the header of a small picture long to read; None where nothing does.

    30 MB of empty chunks take Pillow ten seconds, 20 MB of colour profiles a minute, and 30 MB of segments a gigabyte.
    """
    if file.startswith(_PNG):
        return _png_problem(file)
    if file.startswith(_JPEG):
        return _jpeg_problem(file)
    if _PPM.match(file) and len(file) > MAX_HEADER:
        # The kind, two sides, and but for bitmaps the largest value.
        wanted = 3 if file[1:2] in b"14" else 4
        head = _COMMENT.sub(b"", file[:MAX_HEADER])
        tokens = head.split(None, wanted)
        if len(tokens) < wanted or (len(tokens) == wanted and not head[-1:].isspace()):
            return f"a PPM whose size does not stand in its first {MAX_HEADER >> 10} KB"
    return None


def _png_problem(file: bytes) -> str | None:
    position, pieces, profiles = len(_PNG), 0, 0
    while position + 8 <= len(file):
        length, kind = struct.unpack_from(">I4s", file, position)
        if kind == b"IEND":
            break
        pieces += kind != b"IDAT" or length < _LARGE_CHUNK
        profiles += kind == b"iCCP"
        if pieces > MAX_PIECES:
            return f"a PNG of more than {MAX_PIECES} chunks"
        if profiles > MAX_PROFILES:
            return f"a PNG of more than {MAX_PROFILES} colour profiles"
        position += 12 + length
    return None


def _jpeg_problem(file: bytes) -> str | None:
    # As Pillow goes through it: bytes between segments are skipped one by one, and some markers stand alone.
    position, pieces = 2, 0
    while pieces <= MAX_PIECES:
        following = file.find(b"\xff", position)
        if following < 0 or following + 4 > len(file):
            return None
        pieces += 1 + following - position
        marker = int.from_bytes(file[following : following + 2], "big")
        if marker == _SCAN:
            break
        if marker == _FILL:
            position = following + 1
        elif marker not in MARKER or MARKER[marker][2] is None:
            position = following + 2
        else:
            position = following + 2 + int.from_bytes(file[following + 2 : following + 4], "big")
    return f"a JPEG of more than {MAX_PIECES} segments" if pieces > MAX_PIECES else None
