"""Ctrl-C, SIGTERM and SIGHUP between two updates, not in the middle of one."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType

from atonce.signals import (
    TERMINATION_SIGNALS,
    Terminated,
    leave_dead_terminal,
    raise_terminated,
    terminal_descriptors,
)
from atonce.training.callbacks import Callback

_SAME_PRESS = 2.0
"""Seconds within which a second SIGINT is the first one once more: under torchrun, Ctrl-C reaches a process from the
terminal and from torchrun."""


@dataclass
class Interrupt:
    """The wish to stop.

    Attributes:
        signal: the number of the signal that asked for it; None while nobody has.
    """

    signal: int | None = None

    @property
    def asked(self) -> bool:
        """True once somebody has asked."""
        return self.signal is not None

    def error(self) -> KeyboardInterrupt:
        """Return what a training that is stopped raises: KeyboardInterrupt after Ctrl-C, else `Terminated`.

        Another process of the run may have been asked, and this one not.
        """
        return KeyboardInterrupt() if self.signal in (None, signal.SIGINT) else Terminated(self.signal or 0)


class StopValidation(Exception):
    """Raised in the middle of a validation, when it is time to save the state."""


class StoppableValidation(Callback):
    """Ends a validation at the next picture once somebody has asked to stop: it may take minutes, and a scheduler kills
    after half a minute. The session that goes on makes it."""

    may_stop = False

    def __init__(self, interrupt: Interrupt) -> None:
        self.interrupt = interrupt

    def on_validation_progress(self, done: int, total: int) -> None:
        if self.interrupt.signal in TERMINATION_SIGNALS:
            raise StopValidation


@contextmanager
def deferred_interrupt(callback: Callback) -> Iterator[Interrupt]:
    """Remember the first Ctrl-C, SIGTERM or SIGHUP for the body to act upon; a second Ctrl-C strikes at once.

    Python would raise KeyboardInterrupt anywhere, between the update of the weights and that of the step, too:
    a state saved then would not be one that the run has ever been in.
    """
    interrupt = Interrupt()
    terminals, pressed = terminal_descriptors(), 0.0

    def remember(number: int, frame: FrameType | None) -> None:
        nonlocal pressed
        if number in TERMINATION_SIGNALS:
            leave_dead_terminal(terminals)
        elif interrupt.asked:
            if "TORCHELASTIC_RUN_ID" in os.environ and time.monotonic() - pressed < _SAME_PRESS:
                return
            raise KeyboardInterrupt
        if interrupt.asked:
            return
        interrupt.signal, pressed = number, time.monotonic()
        again = "; press Ctrl-C again to stop at once and lose what is not saved" if number == signal.SIGINT else ""
        # Where the note cannot be written, the state still can.
        with suppress(OSError, ValueError):
            callback.on_note(f"stopping after this step{again}")

    # Python allows handlers in the main thread only; those that somebody else has set are theirs.
    if threading.current_thread() is not threading.main_thread():
        yield interrupt
        return
    replaced = (signal.default_int_handler, signal.SIG_DFL, raise_terminated)
    before = {}
    for number in (signal.SIGINT, *TERMINATION_SIGNALS):
        if signal.getsignal(number) in replaced:
            before[number] = signal.signal(number, remember)
    try:
        yield interrupt
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
