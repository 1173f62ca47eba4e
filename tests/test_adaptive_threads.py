"""The number of threads follows what is fastest beside other programs, and never changes beside none."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from atonce import adaptive_threads
from atonce.adaptive_threads import AdaptiveThreads, Use, processor_use

Speed = Callable[[int], float]
"""Pieces of work a second with a number of threads."""


@pytest.fixture(autouse=True)
def _torch_with_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A torch that says how many threads it was given; the tests run with one."""
    has = [8]
    monkeypatch.setattr(torch, "set_num_threads", lambda count: has.__setitem__(0, count))
    monkeypatch.setattr(torch, "get_num_threads", lambda: has[0])
    monkeypatch.setattr(AdaptiveThreads, "_found", None)


class Machine:
    """A machine with cores, on which others use some of them and a piece of work takes as long as it does there."""

    def __init__(
        self, speed: Speed, *, others: float = 0.0, most: int = 2, cores: int = 2, fixed: bool = False
    ) -> None:
        self.now, self.speed, self.others = 100.0, speed, others
        self.own = self.all = 0.0
        self.changes: list[int] = []
        self.used: list[int] = []
        torch.set_num_threads(most)
        self.most, self.cores, self.fixed = most, cores, fixed
        self.threads = self.governor()

    def governor(self) -> AdaptiveThreads:
        return AdaptiveThreads(
            most=self.most,
            fixed=self.fixed,
            cores=self.cores,
            on_change=lambda count, others: self.changes.append(count),
            clock=lambda: self.now,
            use=lambda: Use(self.own, self.all),
        )

    def run(self, seconds: float) -> float:
        """Work so long; returns the pieces a second."""
        began, pieces = self.now, 0
        while self.now - began < seconds:
            with self.threads.work():
                count = torch.get_num_threads()
                taken = 1 / self.speed(count)
                self.now += taken
                self.own += count * taken
                self.all += (count + self.others) * taken
                self.used.append(count)
                pieces += 1
        return pieces / (self.now - began)


IDLE: Speed = {1: 26.0, 2: 36.0}.__getitem__
ONE_BUSY: Speed = {1: 23.0, 2: 16.0}.__getitem__
"""Pictures a second of the demo's training, of the table in docs/performance.md, "Threads, and busy neighbours"."""


def test_beside_nobody_the_number_never_changes() -> None:
    machine = Machine(IDLE)
    assert machine.run(600) == pytest.approx(36, rel=1e-3)
    assert set(machine.used) == {2}
    assert machine.changes == []


def test_beside_a_busy_program_fewer_threads_are_taken_where_they_are_faster() -> None:
    machine = Machine(ONE_BUSY, others=1.0)
    machine.run(3)
    assert machine.changes == [1]
    assert machine.run(300) > 0.98 * 23


def test_where_fewer_are_not_faster_they_are_tried_seldom() -> None:
    machine = Machine({1: 14.0, 2: 20.0}.__getitem__, others=1.0)
    assert machine.run(600) > 0.98 * 20
    assert machine.changes == []


def test_all_threads_come_back_when_the_others_have_gone() -> None:
    machine = Machine(ONE_BUSY, others=1.0)
    machine.run(20)
    machine.speed, machine.others = IDLE, 0.0
    machine.run(2)
    assert machine.changes == [1, 2]
    assert machine.run(60) == pytest.approx(36, rel=1e-3)


def test_of_many_cores_as_many_are_taken_as_are_free() -> None:
    def speed(count: int) -> float:
        # Forty of 64 cores are busy: a thread more than are free runs at a third of the speed, and all wait for it.
        return float(count if count <= 24 else count / 3)

    machine = Machine(speed, others=40.0, most=64, cores=64)
    machine.run(60)
    assert machine.threads.count == 24
    assert machine.run(600) > 0.9 * 24


def test_where_others_leave_enough_cores_nothing_is_tried() -> None:
    machine = Machine(lambda count: float(count), others=40.0, most=8, cores=64)
    machine.run(100)
    assert set(machine.used) == {8}


def test_a_number_that_the_user_has_set_is_kept() -> None:
    machine = Machine(ONE_BUSY, others=1.0, fixed=True)
    machine.run(100)
    assert set(machine.used) == {2}


def test_where_the_system_does_not_tell_how_busy_it_is_the_number_stays() -> None:
    def refused() -> Use:
        raise PermissionError("/proc/stat")

    threads = AdaptiveThreads(most=2, fixed=False, use=refused)
    for _ in range(3):
        with threads.work():
            assert torch.get_num_threads() == 2


def test_a_number_that_is_given_to_torch_meanwhile_is_heeded() -> None:
    machine = Machine(IDLE)
    machine.run(2)
    machine.others = 1.0
    torch.set_num_threads(1)
    machine.used.clear()
    machine.run(2)
    assert set(machine.used) == {1}
    torch.set_num_threads(3)
    machine.speed = {3: 40.0}.__getitem__
    machine.others = 0.0
    machine.used.clear()
    machine.run(2)
    assert set(machine.used) == {3}


def test_torch_has_its_own_number_outside_of_the_work() -> None:
    machine = Machine(ONE_BUSY, others=1.0)
    machine.run(5)
    assert machine.threads.count == 1
    assert torch.get_num_threads() == 2


def test_the_next_to_compute_begins_with_what_was_found() -> None:
    machine = Machine(ONE_BUSY, others=1.0)
    machine.run(5)
    assert machine.governor().count == 1
    machine.now += 1000
    assert machine.governor().count == 2


def test_only_one_thread_of_a_process_decides() -> None:
    machine = Machine(ONE_BUSY, others=1.0)
    machine.run(5)
    with machine.threads.work(), machine.governor().work():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 2


def test_what_runs_in_a_pause_is_not_beside_the_work() -> None:
    machine = Machine(IDLE)
    for _ in range(100):
        machine.run(0.5)
        machine.now += 10
        machine.all += 20
    assert machine.changes == []


def test_an_error_in_the_work_leaves_torch_its_number() -> None:
    machine = Machine(ONE_BUSY, others=1.0)
    machine.run(5)
    with pytest.raises(KeyError), machine.threads.work():
        raise KeyError
    assert torch.get_num_threads() == 2
    machine.run(1)


def test_the_use_of_processors_is_read_from_the_system() -> None:
    before = processor_use()
    sum(i * i for i in range(3_000_000))
    after = processor_use()
    own = after.by_this_process - before.by_this_process
    assert own > 0.05
    # The system counts in hundredths of a second, for each core.
    assert after.by_all - before.by_all > own - 0.1


def test_time_of_guests_and_of_the_host_is_nobody_s() -> None:
    times = {"user": 5.0, "system": 2.0, "idle": 9.0, "iowait": 1.0, "guest": 3.0, "steal": 4.0, "irq": 0.5}
    assert adaptive_threads._busy_seconds(times) == 7.5


def test_a_quota_leaves_torch_fewer_threads_unless_the_user_has_set_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adaptive_threads, "threads_per_process", lambda: 2)
    monkeypatch.setattr(adaptive_threads, "fixed_threads", lambda: None)
    assert adaptive_threads.compute_threads() == 2
    monkeypatch.setattr(adaptive_threads, "fixed_threads", lambda: 8)
    assert adaptive_threads.compute_threads() == 8


def test_a_trial_is_no_decision() -> None:
    """The log of a run names the number that is kept, of which its user was told, not one that is tried for a moment."""
    threads = AdaptiveThreads(most=2, fixed=False, use=lambda: Use(0.0, 0.0))
    threads._trial_against, threads.count = (2, 1.0), 1
    assert threads.decided == 2
    threads._trial_against = None
    assert threads.decided == 1
