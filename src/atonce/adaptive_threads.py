"""Threads beside busy programs: as many as make a training or a prediction in torch fastest, decided while it runs.

Each loop of a network is cut into equal parts, one for a thread, and ends with the last of them. Where another program
holds one of two cores, two threads are slower than one: the part on the busy core takes twice as long, or more.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import psutil
import torch

from atonce.threads import affinity, fixed_threads, physical_cores, threads_per_process

_WINDOW = 0.8
"""Seconds of work that a speed is measured over; a piece of work that takes longer is measured by itself."""

_BUSY = 0.25
"""Cores that others use, from which on it is tried whether other numbers of threads are faster."""

_FASTER = 1.04
"""Ratio of speeds from which on a number of threads replaces the one before."""

_PAUSE = 0.2
"""Seconds between two pieces of work after which a window begins anew: what ran meanwhile was beside no work."""

_REST, _LONGEST_REST = 8.0, 64.0
"""Seconds of work from a trial to the next; doubled by each that changes nothing, up to the longest."""

_REMEMBERED = 60.0
"""Seconds for which a number that has been found is where the next training or prediction begins."""

_one_at_a_time = threading.Lock()
"""torch's number is that of the process: of several threads that compute at once, the first decides."""


class Use(NamedTuple):
    """Processor time used so far on the cores that this process may run on, in seconds."""

    by_this_process: float
    by_all: float


def processor_use() -> Use:
    """Read the processor time used so far."""
    each, own = psutil.cpu_times(percpu=True), affinity()
    seen = [times for core, times in enumerate(each) if core in own] or each
    return Use(time.process_time(), sum(_busy_seconds(times._asdict()) for times in seen))


def _busy_seconds(times: dict[str, float]) -> float:
    """Sum what programs have used of a core. Linux counts the time of guests among that of users, too; what it calls
    stolen, the host has given to others."""
    idle = ("idle", "iowait", "guest", "guest_nice", "steal")
    return sum(seconds for name, seconds in times.items() if name not in idle)


def _tells(use: Callable[[], Use]) -> bool:
    """Tell whether the system lets this process see how busy it is; some containers and phones do not."""
    try:
        use()
    except (OSError, NotImplementedError, RuntimeError, ValueError, IndexError):
        return False
    return True


def compute_threads() -> int:
    """Return the number of threads to compute with: the user's; else torch's, or as many as a quota and the other
    processes of torchrun leave.

    Raises:
        UserError: ATONCE_THREADS is no number.
    """
    if fixed_threads() is not None:
        return torch.get_num_threads()  # which has followed it
    return min(torch.get_num_threads(), threads_per_process())


@dataclass
class _Window:
    """Pieces of work that a speed is measured over."""

    began: float
    use: Use
    amount: float = 0.0
    seconds: float = 0.0

    @property
    def speed(self) -> float:
        return self.amount / max(self.seconds, 1e-9)


class AdaptiveThreads:
    """The number of threads that torch computes with, on the CPU.

    Where other programs are not busy it is the largest one and never changes. Beside them, a smaller number is tried
    for a moment and kept where it is faster, and a larger one now and then. A number that the user has set
    (`atonce.threads.fixed_threads`) is kept whatever happens: with other numbers sums differ in their last bits.

    Args:
        most: the largest number; None for `compute_threads`.
        fixed: keep to it; None where the user has set the number.
        on_change: called with the number and the cores that others use, each time it has changed.
        cores: that all programs share; None for those of this machine that this process may use.
        clock, use: `time.perf_counter` and `processor_use`, or others for tests.

    Attributes:
        count: the number of threads now.
        most: the largest.
        may_change: whether the number follows what is fastest.
        on_change: as it was given; it may be replaced.
    """

    _found: tuple[float, int, int] | None = None
    """When the number was last decided in this process, the largest one there was, and the number."""

    def __init__(
        self,
        *,
        most: int | None = None,
        fixed: bool | None = None,
        on_change: Callable[[int, float], None] | None = None,
        cores: int | None = None,
        clock: Callable[[], float] = time.perf_counter,
        use: Callable[[], Use] = processor_use,
    ) -> None:
        self.most = compute_threads() if most is None else most
        self.may_change = not (fixed_threads() is not None if fixed is None else fixed)
        self.on_change, self._clock, self._use = on_change, clock, use
        self._cores = physical_cores() if cores is None else cores
        self.may_change = self.may_change and self.most > 1 and _tells(use)
        self._torch_has = torch.get_num_threads()
        self.count = self._remembered()
        self._window: _Window | None = None
        self._ended = 0.0
        self._trial_against: tuple[int, float] | None = None
        self._rest = self._rested = _REST
        self._upward = False

    @property
    def decided(self) -> int:
        """The number that is kept; while another one is tried, the one that it is compared with."""
        return self.count if self._trial_against is None else self._trial_against[0]

    def _remembered(self) -> int:
        if AdaptiveThreads._found is None or not self.may_change:
            return self.most
        when, most, count = AdaptiveThreads._found
        return count if most == self.most and self._clock() - when < _REMEMBERED else self.most

    @contextmanager
    def work(self, amount: float = 1.0) -> Iterator[None]:
        """Let a piece of work be done with as many threads as there are now; torch's own number is that of before
        afterwards.

        Args:
            amount: of work, in a unit that is the same each time: steps, pixels.
        """
        before = torch.get_num_threads()
        # Whoever gives one thread to each of several workers (folders of pictures) has decided.
        worker = before == 1 and self._torch_has > 1
        if worker or not _one_at_a_time.acquire(blocking=False):
            yield
            return
        try:
            self._heed(before)
            _set_torch_threads(self.count)
            if not self.may_change:
                yield
                return
            began = self._clock()
            if self._window is None or began - self._ended > _PAUSE:
                self._window = _Window(began, self._use())
            window = self._window
            yield
            self._ended = self._clock()
            window.amount += amount
            window.seconds += self._ended - began
            if window.seconds >= _WINDOW:
                self._window = None
                self._decide(window)
        finally:
            _set_torch_threads(before)
            _one_at_a_time.release()

    def _heed(self, torch_has: int) -> None:
        """Take a number that somebody has given to torch in the meantime as the largest one from now on."""
        if torch_has != self._torch_has:
            self._torch_has = self.most = self.count = torch_has
            self.may_change = self.may_change and torch_has > 1
            self._window = self._trial_against = None

    def _decide(self, window: _Window) -> None:
        """Choose the number of threads for the next window."""
        used, wall = self._use(), max(self._clock() - window.began, 1e-9)
        own = used.by_this_process - window.use.by_this_process
        others = max(0.0, (used.by_all - window.use.by_all - own) / wall)
        self._rested += window.seconds
        if self._trial_against is not None:
            self._judge(window, others)
        elif others < _BUSY:
            self._rest = self._rested = _REST
            self._change(self.most, others)
        elif self._rested >= self._rest and (number := self._worth_trying(others)) != self.count:
            self._trial_against = self.count, window.speed
            self.count = number

    def _worth_trying(self, others: float) -> int:
        """Return a number that may be faster than the present one; the present one where there is none."""
        room = self._cores - others
        fewer = max(1, min(self.count - 1, math.floor(room))) if self.count + others > self._cores else self.count
        more = min(self.most, max(self.count + 1, math.floor(room)))
        # In turn: beside many busy programs each thread has a share of its own.
        choices = [number for number in ((more, fewer) if self._upward else (fewer, more)) if number != self.count]
        self._upward = not self._upward
        return choices[0] if choices else self.count

    def _judge(self, window: _Window, others: float) -> None:
        """Keep the number that has just been tried, or go back to the one before."""
        assert self._trial_against is not None
        (before, speed), tried = self._trial_against, self.count
        self._trial_against, self._rested = None, 0.0
        if window.speed >= _FASTER * speed:
            self._rest, self.count = _REST, before
            self._change(tried, others)
        else:
            self._rest, self.count = min(2 * self._rest, _LONGEST_REST), before

    def _change(self, count: int, others: float) -> None:
        AdaptiveThreads._found = self._clock(), self.most, count
        if count != self.count:
            self.count = count
            if self.on_change:
                self.on_change(count, others)


def _set_torch_threads(count: int) -> None:
    if torch.get_num_threads() != count:
        torch.set_num_threads(count)
