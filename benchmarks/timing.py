"""Repetitions in turn, as many as the time allows, and what is said of them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from benchmarks.workers import Failed, Runner


@dataclass(frozen=True)
class Repetitions:
    """Of a case: at least, at most, and in between as many as begin within the time there is.

    Attributes:
        warm: seconds that each contestant runs before the first one, at least once; 0 begins cold.
    """

    least: int = 3
    most: int = 25
    warm: float = 0.3


@dataclass
class Series:
    """Repetitions of one contestant.

    Attributes:
        memory: peak of its process up to the last of them, bytes.
    """

    seconds: list[float] = field(default_factory=list)
    memory: int | None = None


class Clock:
    """The time that a run may take, cut into parts one after the other; what a part leaves goes to the next.

    Args:
        shares: name -> share of the whole, in the order of the parts.
    """

    def __init__(self, seconds: float, shares: Mapping[str, float]) -> None:
        self._began = time.monotonic()
        total, so_far = sum(shares.values()), 0.0
        self._ends = {}
        for name, share in shares.items():
            so_far += share
            self._ends[name] = self._began + seconds * so_far / total

    def left(self, part: str) -> float:
        """Seconds until a part has to end, 0 where it is late."""
        return max(0.0, self._ends[part] - time.monotonic())

    def used(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self._began


def take_turns(
    runners: Mapping[str, Runner], case: Any, repetitions: Repetitions, seconds: float, failed: dict[str, str]
) -> dict[str, Series]:
    """Time contestants round by round, each once a round, so that a machine that drifts does so for all alike.

    Each round begins with another one. Who fails is left out of this case; `failed` says why.

    Args:
        seconds: rounds begin as long as these are not over.
    """
    ready = {name: runner for name, runner in runners.items() if _warm(name, runner, case, repetitions.warm, failed)}
    found = {name: Series() for name in ready}
    began, done = time.monotonic(), 0
    while ready and done < repetitions.most and (done < repetitions.least or time.monotonic() - began < seconds):
        names = list(ready)
        turn = done % len(names)
        for name in names[turn:] + names[:turn]:
            try:
                taken, memory = ready[name].run()
            except Failed as error:
                failed[name] = str(error)
                del ready[name], found[name]
                continue
            found[name].seconds.append(taken)
            found[name].memory = memory
        done += 1
    return found


def _warm(name: str, runner: Runner, case: Any, seconds: float, failed: dict[str, str]) -> bool:
    try:
        runner.prepare(case)
        warmed = 0.0
        while warmed < seconds:
            warmed += runner.run()[0]
    except Failed as error:
        failed[name] = str(error)
        return False
    return True


def quartiles(values: list[float] | tuple[float, ...]) -> tuple[float, float, float]:
    """Lower quartile, median, upper quartile, by linear interpolation; of a single value itself."""
    if len(values) == 1:
        return values[0], values[0], values[0]
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high
