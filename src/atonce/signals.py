"""SIGTERM and SIGHUP as an exception, so that a job that is ended by its scheduler cleans up as after Ctrl-C.

Slurm and Kubernetes send SIGTERM before they kill, a terminal or an ssh connection that is closed sends SIGHUP.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from types import FrameType

TERMINATION_SIGNALS = tuple(number for name in ("SIGTERM", "SIGHUP") if (number := getattr(signal, name, None)))
"""Those that end a program and leave it time to save its work; Windows has no SIGHUP."""


class Terminated(KeyboardInterrupt):
    """A signal has ended the program; a KeyboardInterrupt, so that whoever saves at Ctrl-C saves then, too.

    Attributes:
        signal: its number.
    """

    def __init__(self, number: int) -> None:
        super().__init__(f"ended by {signal.Signals(number).name}")
        self.signal = number


def exit_code_of(error: BaseException) -> int:
    """Return the exit code of a program that was ended: 128 and the signal's number, 130 for Ctrl-C."""
    return 128 + (error.signal if isinstance(error, Terminated) else signal.SIGINT)


def raise_terminated(number: int, frame: FrameType | None = None) -> None:
    """Raise `Terminated`; the handler of a signal."""
    raise Terminated(number)


def raise_at_termination() -> None:
    """Have SIGTERM and SIGHUP raise `Terminated` in the main thread from now on.

    Where they are ignored (nohup) or somebody else handles them, they are left as they are.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    for number in TERMINATION_SIGNALS:
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, raise_terminated)
    if sys.unraisablehook is sys.__unraisablehook__:
        sys.unraisablehook = _send_lost_signal_again


def _take_signals_as_python_does() -> None:
    """Take handlers of this package away from a process that has just been forked.

    Libraries fork processes, by multiprocessing for one, and end them by SIGTERM; a handler of ours would make a
    traceback of that, or remember the signal and let the process live.
    """
    for number in (signal.SIGINT, *TERMINATION_SIGNALS):
        module = getattr(signal.getsignal(number), "__module__", None) or ""
        if module.partition(".")[0] == __package__:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_take_signals_as_python_does)


def _send_lost_signal_again(unraisable: sys.UnraisableHookArgs) -> None:
    """Send a signal once more whose exception was thrown away, for it came while Python cleaned an object up: in a
    `__del__` or the callback of a weak reference, where no exception gets any further."""
    error = unraisable.exc_value
    if not isinstance(error, KeyboardInterrupt):
        sys.__unraisablehook__(unraisable)
        return
    number = error.signal if isinstance(error, Terminated) else signal.SIGINT
    # In a moment, when that is done.
    again = threading.Timer(0.02, os.kill, (os.getpid(), number))
    again.daemon = True
    again.start()


def leave_dead_terminal(descriptors: list[int]) -> None:
    """Send what goes to a terminal that has been closed nowhere: writing there is an error, whoever writes.

    Args:
        descriptors: those of 1 (stdout) and 2 (stderr) that were terminals.
    """
    for descriptor in descriptors:
        if not os.isatty(descriptor):
            send_nowhere(descriptor)


def send_nowhere(descriptor: int) -> None:
    """Have a descriptor take whatever is written to it, and keep nothing."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)


def terminal_descriptors() -> list[int]:
    """Return those of 1 (stdout) and 2 (stderr) that are terminals."""
    return [descriptor for descriptor in (1, 2) if os.isatty(descriptor)]
