"""Rounds, repetitions and what is left out, with runners whose times are known."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from benchmarks.operations import Cell
from benchmarks.results import Row, Section
from benchmarks.schedule import Schedule
from benchmarks.timing import Clock, Repetitions, quartiles, take_turns
from benchmarks.workers import Failed, Job, Worker, in_process

CELL = Cell(32, 32, 1)


@dataclass
class Scripted:
    """Takes the time it says, without waiting; fails at a run, if asked to."""

    name: str
    seconds: float
    log: list[str] = field(default_factory=list)
    fails_at: int = 10**9
    runs: int = 0

    def prepare(self, case: Any) -> None:
        self.log.append(f"prepare {self.name}")

    def run(self) -> tuple[float, int | None]:
        self.runs += 1
        if self.runs >= self.fails_at:
            raise Failed("out of breath")
        self.log.append(self.name)
        return self.seconds, 1000 + self.runs


def test_contestants_take_turns_and_each_round_begins_with_another() -> None:
    log: list[str] = []
    runners = {name: Scripted(name, 1.0, log) for name in ("a", "b", "c")}
    failed: dict[str, str] = {}
    found = take_turns(runners, CELL, Repetitions(4, 4), 0.0, failed)
    assert log[:6] == ["prepare a", "a", "prepare b", "b", "prepare c", "c"]
    assert "".join(log[6:]) == "abcbcacababc"
    assert not failed
    assert {name: len(series.seconds) for name, series in found.items()} == {"a": 4, "b": 4, "c": 4}
    assert found["a"].memory == 1005


def test_short_ones_are_warmed_up_for_a_while() -> None:
    runner = Scripted("a", 0.1)
    take_turns({"a": runner}, CELL, Repetitions(1, 1), 0.0, {})
    assert runner.runs in (4, 5)  # three or, by rounding, four passes of warm-up


def test_who_fails_is_left_out_with_the_reason_and_the_others_go_on() -> None:
    failed: dict[str, str] = {}
    runners = {"a": Scripted("a", 1.0), "b": Scripted("b", 1.0, fails_at=3)}
    found = take_turns(runners, CELL, Repetitions(3, 3), 0.0, failed)
    assert failed == {"b": "out of breath"}
    assert list(found) == ["a"]
    assert len(found["a"].seconds) == 3


def test_quartiles_of_few_and_of_many() -> None:
    assert quartiles([3.0]) == (3.0, 3.0, 3.0)
    assert quartiles([1.0, 2.0, 3.0, 4.0, 5.0]) == (2.0, 3.0, 4.0)


def test_share_is_of_the_peak_of_the_same_arithmetic() -> None:
    row = Row("c", "n", (2.0, 4.0, 3.0), pictures=6, operations=300, arithmetic="bf16")
    assert (row.median, row.spread, row.rate, row.pictures_per_second) == (3.0, 1.0, 100.0, 2.0)
    assert row.share({"fp32": 100.0, "bf16": 400.0}) == 0.25
    assert row.share({"fp32": 100.0}) is None


def test_cells_that_do_not_fit_into_the_time_are_left_out_and_said_to_be() -> None:
    clock = Clock(60, {"inference": 1.0})
    long = Cell(96, 96, 1)
    schedule = Schedule(clock, "inference", 2, Repetitions(3, 3))
    section, runners = Section("inference", "", ""), {"a": Scripted("a", 2.0)}
    for cell, count in ((CELL, 10**9), (Cell(64, 64, 1), 8 * 10**9), (long, 12 * 10**9)):
        schedule.measure(section, runners, cell, {"a": count}, {"a": "fp32"}, 1)
    assert list(section.cases()) == ["32x32, batch 1"]
    # 2 s for 1 GFLOP, so 16 s for 8, once more to warm up; long rounds go without.
    assert [line.partition(";")[0] for line in section.left_out] == [
        "64x64, batch 1: a round of 8 GFLOP takes about 16 s, 4 of them 64 s",
        "96x96, batch 1: a round of 12 GFLOP takes about 24 s, 3 of them 72 s",
    ]


def test_cells_that_do_not_fit_into_the_memory_are_left_out() -> None:
    schedule = Schedule(Clock(60, {"x": 1.0}), "x", 1, Repetitions(1, 1), bytes_per_pixel=10**12)
    section = Section("x", "", "")
    schedule.measure(section, {"a": Scripted("a", 1.0)}, CELL, {"a": 1}, {"a": "fp32"}, 1)
    assert not section.rows
    assert "of memory are free" in section.left_out[0]


class Hoard:
    """Takes a number of MiB while it runs."""

    def prepare(self, case: int) -> Job:
        return lambda: bytearray(case << 20)


def broken() -> Hoard:
    raise ModuleNotFoundError("No module named 'engine'")


def test_peak_memory_is_that_of_the_process_alone() -> None:
    ballast = bytearray(400 << 20)  # of this process: must not be counted
    worker = Worker(Hoard)
    try:
        worker.prepare(0)
        before = worker.run()[1]
        worker.prepare(256)
        after = worker.run()[1]
    finally:
        worker.close()
    assert before is not None and after is not None
    assert 250 << 20 < after - before < 270 << 20
    assert len(ballast) > before - (300 << 20)


def test_failures_of_another_process_come_home_in_a_line() -> None:
    with pytest.raises(Failed, match="ModuleNotFoundError: No module named 'engine'"):
        in_process(broken)
