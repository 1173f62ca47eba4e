"""Downloads of bounded size and slowness: whoever is asked may send without end, or a byte now and then."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from email.message import Message
from http.client import HTTPException
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, TypeVar
from urllib.error import HTTPError
from urllib.request import HTTPRedirectHandler, Request, build_opener

from atonce.text import words_of

T = TypeVar("T")

LARGEST_MODEL = 4 << 30
"""The largest file of weights that is downloaded; an FCN-8s of full width has 0.54 GB."""

PATIENCE = 60.0
"""Seconds within which an answer begins, and each further block of it has come: about 1 kB a second."""

_BLOCK = 1 << 16
_SILENCE = 30  # seconds without a byte


class DownloadError(Exception):
    """No answer, one that says no, one that breaks off, or one beyond the bounds.

    Attributes:
        status: that of an answer that says no; None for the others.
        is_final: whether to ask again would not help, since the answer goes beyond the bounds.
    """

    def __init__(self, reason: str, status: int | None = None, *, is_final: bool = False) -> None:
        super().__init__(reason)
        self.status, self.is_final = status, is_final


@dataclass(frozen=True)
class Download:
    """An answer whose headers have come.

    Attributes:
        blocks: its bytes as they were sent, nothing unpacked; the iterator raises DownloadError.
    """

    status: int
    headers: Message
    blocks: Iterator[bytes]

    @property
    def length(self) -> int:
        """The number of bytes that it says to have; 0 where it does not say."""
        length = self.headers.get("Content-Length", "")
        return int(length) if length.isdecimal() else 0


@contextmanager
def open_download(request: Request, largest: int) -> Iterator[Download]:
    """Ask for what is at an http address, and hang up at the end.

    Args:
        largest: bytes that are taken of it.

    Raises:
        DownloadError: there is none to be had.
    """
    # A hub may name any place, and urllib would read files of this machine.
    if not request.full_url.lower().startswith(("http://", "https://")):
        raise DownloadError("it is at no http address")
    with closing(_paced(_answer(request))) as items:
        response = next(items)
        yield Download(response.status, response.headers, _bounded(items, largest))


def in_time(ask: Callable[[], T]) -> T:
    """Return what a function gives that asks somebody. Raises DownloadError: it takes longer than `PATIENCE`."""
    return next(_paced(ask() for _ in range(1)))


def _paced(items: Iterator[T]) -> Generator[T, None, None]:
    """Take items from an iterator that runs in a thread of its own, and leave it alone where one takes too long.

    A socket's timeout begins anew with each byte, so whoever waits for it may be held for years.

    Raises:
        DownloadError: one takes longer than `PATIENCE`.
    """
    asked: SimpleQueue[str] = SimpleQueue()
    taken: SimpleQueue[tuple[T | None, BaseException | None]] = SimpleQueue()

    def take() -> None:
        while asked.get() == "next":
            try:
                taken.put((next(items), None))
            except BaseException as error:
                taken.put((None, error))
                return
        if close := getattr(items, "close", None):
            close()

    Thread(target=take, name="download", daemon=True).start()
    try:
        while True:
            asked.put("next")
            try:
                item, error = taken.get(timeout=PATIENCE)
            except Empty:
                slow = f"it is too slow: its next {_BLOCK >> 10} KiB take more than {PATIENCE:g} s"
                raise DownloadError(slow, is_final=True) from None
            if isinstance(error, StopIteration):
                return
            if error is not None:
                raise error
            yield item  # type: ignore[misc]
    finally:
        asked.put("enough")


class _ClosedRedirects(HTTPRedirectHandler):
    """Follows redirects without reading what else they say, which urllib reads to its end."""

    def redirect_request(self, req: Request, fp: Any, *about: Any) -> Request | None:
        fp.close()
        return super().redirect_request(req, fp, *about)


def _answer(request: Request) -> Iterator[Any]:
    """Give the response once its headers are there, then its bytes, block by block."""
    try:
        with build_opener(_ClosedRedirects).open(request, timeout=_SILENCE) as response:
            yield response
            while block := response.read(_BLOCK):
                yield block
    except HTTPError as error:
        error.close()
        raise DownloadError(f"the server says {error.code} {error.reason}", error.code) from None
    except (OSError, HTTPException, ValueError) as error:
        reason = getattr(error, "reason", None)
        raise DownloadError(words_of(reason if isinstance(reason, Exception) else error)) from None


def _bounded(blocks: Iterator[Any], largest: int) -> Iterator[bytes]:
    count = 0
    for block in blocks:
        count += len(block)
        if count > largest:
            raise DownloadError(f"it sends more than {largest} bytes", is_final=True)
        yield block
