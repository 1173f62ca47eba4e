"""Which cells are measured: those that fit into what is left of the time and of the memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import psutil

from benchmarks.operations import Cell
from benchmarks.results import Section
from benchmarks.timing import Clock, Repetitions, quartiles, take_turns
from benchmarks.workers import Runner

# Bytes of activations for a pixel of a batch: the 64 channels of the first block in float32, of which three copies are
# alive at once (a convolution's input and output, and the output in another layout). Of four contestants together: the
# one whose turn it is, and the sessions of the engines, which keep theirs.
_BYTES_PER_PIXEL = 4 * 3 * 64 * 4

# Seconds of a round that is not preceded by a warm-up: libraries and threads are warm from the cells before, and what
# they prepare for another size of picture is little beside passes of seconds.
_LONG_ROUND = 20.0

# torchfcn pads a picture by 100 on all sides.
_PADDING = 200


@dataclass
class Schedule:
    """The time of one section, and how fast each contestant has turned out to be.

    Attributes:
        part: its name on the clock.
        cases: cells that share the section's time.
        bytes_per_pixel: activations of all contestants, for each pixel of a batch.
        bytes_fixed: that each contestant is still going to need, whatever the batch.
    """

    clock: Clock
    part: str
    cases: int
    repetitions: Repetitions
    bytes_per_pixel: int = _BYTES_PER_PIXEL
    bytes_fixed: int = 0
    _seconds_per_operation: dict[str, float] = field(default_factory=dict)

    def say(self, text: str) -> None:
        """Progress, for whoever waits."""
        print(f"[{self.clock.used():5.0f} s] {self.part}: {text}", flush=True)

    def measure(
        self,
        section: Section,
        runners: Mapping[str, Runner],
        cell: Cell,
        counts: Mapping[str, int],
        arithmetic: Mapping[str, str | None],
        pictures: int,
    ) -> None:
        """Rows of a cell into the section, or the reason why there are none.

        Args:
            counts: operations of a repetition, by contestant.
        """
        round_seconds = sum(counts[name] * self._seconds_per_operation.get(name, 0.0) for name in counts)
        repetitions = replace(self.repetitions, warm=0) if round_seconds > _LONG_ROUND else self.repetitions
        reason = self._too_much(cell, counts, round_seconds, repetitions) if runners else "nobody is there"
        if reason:
            section.left_out.append(f"{cell.name}: {reason}")
            self.say(f"{cell.name} left out: {reason}")
            return
        failed: dict[str, str] = {}
        # The larger cells cost more than their share.
        seconds = 0.6 * self.clock.left(self.part) / self.cases
        found = take_turns(runners, cell, repetitions, seconds, failed)
        for name, series in found.items():
            self._seconds_per_operation[name] = quartiles(series.seconds)[1] / counts[name]
        rounds = max((len(series.seconds) for series in found.values()), default=0)
        self.say(f"{cell.name}: {rounds} repetitions each")
        own = {name: arithmetic[name] for name in found}
        section.add(cell.name, found, operations=dict(counts), arithmetic=own, pictures=pictures)
        section.lose(cell.name, failed)

    def _too_much(
        self, cell: Cell, counts: Mapping[str, int], round_seconds: float, repetitions: Repetitions
    ) -> str | None:
        """Why a cell is left out, in words; the first cell, of which nothing is known, never is for its time."""
        pixels = cell.batch * (cell.height + _PADDING) * (cell.width + _PADDING)
        need = pixels * self.bytes_per_pixel + self.bytes_fixed * len(counts)
        have = psutil.virtual_memory().available
        if need > have:
            return f"{len(counts)} processes need about {need / 1e9:.1f} GB, {have / 1e9:.1f} GB of memory are free"
        rounds = repetitions.least + (repetitions.warm > 0)
        whole, left = round_seconds * rounds, self.clock.left(self.part)
        if whole <= left:
            return None
        return (
            f"a round of {sum(counts.values()) / 1e9:.0f} GFLOP takes about {round_seconds:.0f} s, {rounds} of them "
            f"{whole:.0f} s; {left:.0f} s are left (--minutes)"
        )
