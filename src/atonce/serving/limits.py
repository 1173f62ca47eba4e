"""Limits of the server: sizes, the length of the queue, the memory and the time of its clients."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from atonce.serving.request_errors import RequestError

GRACE_SECONDS = 10.0
MIN_BYTES_PER_SECOND = 16_384
"""Slower clients than this are cut off, as by Apache's mod_reqtimeout: each holds memory while it lasts."""

IDLE_SECONDS = 10.0
"""A connection that is silent for longer is closed: before the head of a request, between two of them, and with the
end of an answer that the client does not take."""

_RESPONSE_BYTES = 512 << 20


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The limits of a server.

    Attributes:
        upload_bytes: the largest file of one picture.
        pixels: the most of one picture and of what the network computes for it, see `PixelLimit`; known from the header
            before anything is decoded.
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

    Where it does not suffice, the slowest transfer that has had its `GRACE_SECONDS` is cut off: a few clients that take
    or send nothing could otherwise hold all of it for as long as the slowest honest one may take.

    Attributes:
        free: bytes that nobody has reserved.
    """

    def __init__(self, size: int) -> None:
        self.free = size
        self._reservations: set[Reservation] = set()

    @contextmanager
    def reserve(self) -> Iterator[Reservation]:
        """Open a reservation of 0 bytes; whatever it has come to is given back at the end."""
        reservation = Reservation(self)
        self._reservations.add(reservation)
        try:
            yield reservation
        finally:
            self._reservations.discard(reservation)
            self.free += reservation.size
            reservation.size = 0

    def make_free(self, count: int, wanted_by: Reservation) -> bool:
        """Cut transfers off until `count` bytes are free. Returns whether they are; if not, nothing is cut off."""
        slowest = sorted(
            (r for r in self._reservations if r is not wanted_by and r.is_overdue), key=lambda r: r.bytes_per_second
        )
        if count > self.free + sum(r.size for r in slowest):
            return False
        for reservation in slowest:
            if count <= self.free:
                break
            reservation.cut_off()
        return True


class Reservation:
    """One request's part of a memory budget.

    Attributes:
        size: bytes.
        transferred: bytes that have been received or sent so far.
        on_cut_off: ends the transfer; None while there is none that could be ended.
    """

    def __init__(self, budget: MemoryBudget) -> None:
        self._budget, self.size, self.transferred = budget, 0, 0
        self.on_cut_off: Callable[[], object] | None = None
        self._began = time.monotonic()

    @property
    def is_overdue(self) -> bool:
        """True for a transfer that has had its grace."""
        return self.on_cut_off is not None and time.monotonic() - self._began > GRACE_SECONDS

    @property
    def bytes_per_second(self) -> float:
        """The average speed of the transfer."""
        return self.transferred / max(time.monotonic() - self._began, 1e-9)

    def begin_transfer(self, on_cut_off: Callable[[], object]) -> None:
        """Let the transfer begin now; `on_cut_off` is called when others need its memory more."""
        self._began, self.on_cut_off = time.monotonic(), on_cut_off

    def cut_off(self) -> None:
        """Give the bytes back and end the transfer."""
        self._budget.free += self.size
        self.size = 0
        if self.on_cut_off:
            self.on_cut_off()
            self.on_cut_off = None

    def extend(self, count: int) -> None:
        """Reserve `count` bytes more. Raises RequestError (503): other requests hold the rest."""
        if count > self._budget.free and not self._budget.make_free(count, self):
            raise RequestError(
                503, "too many pictures are on their way", remedy="try again later", retry_after=5, reason="memory"
            )
        self._budget.free -= count
        self.size += count


def transfer_seconds(count: int) -> float:
    """The time that a client may take, from the beginning, to send or receive `count` bytes."""
    return GRACE_SECONDS + count / MIN_BYTES_PER_SECOND


def piece_deadline(began: float, now: float, count: int) -> float:
    """Return when the next piece of a transfer must have come or gone: a client that stands still is found out early.

    Args:
        began, now: of the event loop's clock.
        count: bytes transferred so far.
    """
    return min(began + transfer_seconds(count), now + GRACE_SECONDS)
