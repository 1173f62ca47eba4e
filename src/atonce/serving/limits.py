"""How much clients may ask for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from atonce.serving.refusal import Refusal

GRACE_SECONDS = 10.0
LEAST_BYTES_PER_SECOND = 16_384
"""Slower clients than this are cut off, as by Apache's mod_reqtimeout: each holds memory while it lasts."""

CONNECTIONS = 256
"""Open at the same time, below the 1024 files that a process may usually open."""

_ANSWER_BYTES = 512 << 20


@dataclass(frozen=True)
class Limits:
    """Attributes:
    upload_bytes: of the file of one picture.
    pixels: of one picture, known from its header before it is decoded.
    queue: pictures that wait while others are segmented; for more the answer is 503.
    """

    upload_bytes: int = 32_000_000
    pixels: int = 25_000_000
    queue: int = 16


class Memory:
    """Bytes that all clients hold together: what has arrived of their uploads, what is not yet sent of the answers.

    So a few hundred connections that never end cannot take more than this, however large each may be alone.
    """

    def __init__(self, limits: Limits) -> None:
        # Whoever is in the queue or at work has a complete upload.
        self.uploads = Account((limits.queue + 2) * limits.upload_bytes)
        self.answers = Account(_ANSWER_BYTES)


class Account:
    """A number of bytes to be shared out. Of one thread only: the event loop's."""

    def __init__(self, size: int) -> None:
        self.free = size

    @contextmanager
    def open(self) -> Iterator[Holding]:
        """What is taken within goes back at the end."""
        holding = Holding(self)
        try:
            yield holding
        finally:
            self.free += holding.taken
            holding.taken = 0


class Holding:
    """One client's part of an account."""

    def __init__(self, account: Account) -> None:
        self._account, self.taken = account, 0

    def take(self, count: int) -> None:
        """Raises Refusal (503): others hold the rest."""
        if count > self._account.free:
            raise Refusal(503, "too many pictures are on their way", remedy="try again later", retry_after=5)
        self._account.free -= count
        self.taken += count


def seconds_for(count: int) -> float:
    """How long a client may take, from the beginning, for so many bytes."""
    return GRACE_SECONDS + count / LEAST_BYTES_PER_SECOND
