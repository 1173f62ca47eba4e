"""Text for the terminal: characters that it has, and no control codes out of somebody's file.

A file's or a class's name may hold escape sequences, which would move the cursor, recolour or overwrite what was said
before. And a terminal, or a pipe on Windows, may know no more than 256 characters: Python then raises an error in the
middle of a table.
"""

from __future__ import annotations

import codecs
import os
import shutil
import sys
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO, cast

from atonce.errors import StorageError
from atonce.signals import send_nowhere
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


class AnsweringStream:
    """A text stream that cannot be written to (the disk is full) says so in one line, once.

    Of stdout it is an error, for what was asked for is lost. Of stderr it is none: there is nobody left to be told, and
    the work and its exit code matter more than what is said of them. A reader who has gone (BrokenPipeError) is left
    to typer.
    """

    def __init__(self, stream: TextIO, name: str) -> None:
        self._stream, self._name = stream, name

    def write(self, text: str) -> int:
        """Write text. Raises StorageError: stdout cannot be written to."""
        if text:  # with none, typer asks what kind of stream this is, and takes every error for an answer
            with self._answers():
                self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Hand on what is kept. Raises StorageError: stdout cannot be written to."""
        with self._answers():
            self._stream.flush()

    @contextmanager
    def _answers(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            raise
        except OSError as error:
            # What is kept would otherwise be tried once more, when Python ends.
            send_nowhere(self._stream.fileno())
            if self._name == "stdout":
                found = f"cannot write to {self._name}: {error.strerror or error}"
                raise StorageError(found, remedy="free some space, or send it elsewhere") from None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


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
        if isinstance(stream, PrintableStream):
            continue
        if stream is None:
            # It was closed before this program began, whose next file would get its number.
            stream = os.fdopen(os.open(os.devnull, os.O_WRONLY), "w", encoding="utf-8")
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=ERRORS)
        answering = cast("TextIO", AnsweringStream(stream, name))
        setattr(sys, name, cast("TextIO", PrintableStream(answering)))
