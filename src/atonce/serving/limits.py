"""Limits of the server: sizes, the length of the queue, the memory and the time of its clients."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from atonce.serving.request_errors import RequestError

GRACE_SECONDS = 10.0
MIN_BYTES_PER_SECOND = 16_384
"""Slower clients than this are cut off, as by Apache's mod_reqtimeout: each holds memory while it lasts."""

MAX_CONNECTIONS = 256
"""Open at the same time, below the 1024 files that a process may usually open."""

_RESPONSE_BYTES = 512 << 20


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The limits of a server.

    Attributes:
        upload_bytes: the largest file of one picture.
        pixels: the most of one picture, known from its header before it is decoded.
        queue: pictures that may wait while others are segmented; more are refused with status 503.
    """

    upload_bytes: int = 32_000_000
    pixels: int = 25_000_000
    queue: int = 16


class ClientMemory:
    """The bytes that all clients hold together: what has arrived of uploads, what is not yet sent of responses.

    So a few hundred connections that never end cannot take more than this, however large each may be alone.
    """

    def __init__(self, limits: Limits) -> None:
        # Whoever is in the queue or in progress has a complete upload.
        self.uploads = MemoryBudget((limits.queue + 2) * limits.upload_bytes)
        self.responses = MemoryBudget(_RESPONSE_BYTES)


class MemoryBudget:
    """A number of bytes that requests share. Not thread-safe: the event loop's thread alone may use it.

    Attributes:
        free: bytes that nobody has reserved.
    """

    def __init__(self, size: int) -> None:
        self.free = size

    @contextmanager
    def reserve(self) -> Iterator[Reservation]:
        """Open a reservation of 0 bytes; whatever it has come to is given back at the end."""
        reservation = Reservation(self)
        try:
            yield reservation
        finally:
            self.free += reservation.size
            reservation.size = 0


class Reservation:
    """One request's part of a memory budget.

    Attributes:
        size: bytes.
    """

    def __init__(self, budget: MemoryBudget) -> None:
        self._budget, self.size = budget, 0

    def extend(self, count: int) -> None:
        """Reserve `count` bytes more. Raises RequestError (503): other requests hold the rest."""
        if count > self._budget.free:
            raise RequestError(503, "too many pictures are on their way", remedy="try again later", retry_after=5)
        self._budget.free -= count
        self.size += count


def transfer_seconds(count: int) -> float:
    """The time that a client may take, from the beginning, to send or receive `count` bytes."""
    return GRACE_SECONDS + count / MIN_BYTES_PER_SECOND
