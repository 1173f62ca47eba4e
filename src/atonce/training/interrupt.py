"""Ctrl-C between two updates, not in the middle of one."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from atonce.training.callbacks import Callback


@dataclass
class Interrupt:
    """The wish to stop.

    Attributes:
        asked: whether Ctrl-C has been pressed.
    """

    asked: bool = False


@contextmanager
def deferred_interrupt(callback: Callback) -> Iterator[Interrupt]:
    """Remember the first Ctrl-C for the body to act upon; the second strikes at once.

    Python would raise KeyboardInterrupt anywhere, between the update of the weights and that of the step, too:
    a state saved then would not be one that the run has ever been in.
    """
    interrupt = Interrupt()

    def remember(*_: Any) -> None:
        if interrupt.asked:
            raise KeyboardInterrupt
        interrupt.asked = True
        callback.on_note("stopping after this step; press Ctrl-C again to stop at once and lose what is not saved")

    # Python allows handlers in the main thread only; those that somebody else has set are theirs.
    if threading.current_thread() is not threading.main_thread() or (
        signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    ):
        yield interrupt
        return
    before = signal.signal(signal.SIGINT, remember)
    try:
        yield interrupt
    finally:
        signal.signal(signal.SIGINT, before)
