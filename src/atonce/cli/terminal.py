"""Text for the terminal: characters that it has, and no control codes out of somebody's file.

A file's or a class's name may hold escape sequences, which would move the cursor, recolour or overwrite what was said
before. And a terminal, or a pipe on Windows, may know no more than 256 characters: Python then raises an error in the
middle of a table.
"""

from __future__ import annotations

import codecs
import shutil
import sys
import unicodedata
from typing import Any, TextIO, cast

from atonce.text import printable

_PLAIN = {
    "–": "-", "—": "-", "−": "-", "─": "-", "━": "-", "…": "...", "→": "->", "←": "<-", "×": "x", "·": ".", "•": "*",
    "“": '"', "”": '"', "„": '"', "‘": "'", "’": "'", "≥": ">=", "≤": "<=", "≈": "~", "ß": "ss",
}  # fmt: skip

ERRORS = "atonce.plain"
"""The name of the error handler that replaces characters an encoding does not have by plain ones."""


def plain_characters(error: UnicodeError) -> tuple[str, int]:
    """Replace characters that cannot be encoded by similar ones of ASCII; see `codecs.register_error`."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_plain, error.object[error.start : error.end])), error.end


def _plain(character: str) -> str:
    if "\udc80" <= character <= "\udcff":
        # How Python holds a byte of a file name that is not UTF-8.
        return f"\\x{ord(character) - 0xDC00:02x}"
    if character in _PLAIN:
        return _PLAIN[character]
    return "".join(c for c in unicodedata.normalize("NFKD", character) if " " <= c <= "~") or "?"


def columns_of(stream: TextIO) -> int:
    """Return the columns of the terminal that a stream writes to; 0 where it is none."""
    return shutil.get_terminal_size().columns if stream.isatty() else 0


class PrintableStream:
    """A text stream that writes control codes as they are escaped in Python: \\x1b.

    rich, whose own codes colour and draw, is given the stream behind it; what it prints of ours is made printable by
    `atonce.progress.PrintableConsole`.
    """

    def __init__(self, stream: TextIO) -> None:
        self.rich_proxied_file = stream

    def write(self, text: str) -> int:
        """Write text, made printable."""
        return self.rich_proxied_file.write(printable(text))

    def writelines(self, lines: list[str]) -> None:
        """Write each text, made printable."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        stream = self.rich_proxied_file
        if name == "buffer" and codecs.lookup(stream.encoding or "ascii").name == "ascii":
            # typer would take it to write UTF-8 to a terminal that has asked for ASCII.
            raise AttributeError(name)
        return getattr(stream, name)


def make_streams_printable() -> None:
    """Have stdout and stderr write whatever they are given, in characters that they have and without control codes."""
    codecs.register_error(ERRORS, plain_characters)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None or isinstance(stream, PrintableStream):
            continue
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=ERRORS)
        setattr(sys, name, cast("TextIO", PrintableStream(stream)))
