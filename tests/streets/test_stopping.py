"""Drawing streets obeys Ctrl-C, and leaves no process behind whatever becomes of the one that draws."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from tests.processes import PATIENCE, children_of, interrupt, is_alive, start, wait_until
from tests.systems import needs_processes_listed, needs_signals

pytestmark = [needs_processes_listed, needs_signals]
KILL = getattr(signal, "SIGKILL", 9)  # named before the mark is read


def living_after(seconds: float, processes: list[int]) -> list[int]:
    """Wait for processes to end; those that have not."""
    end = time.monotonic() + seconds
    while any(map(is_alive, processes)) and time.monotonic() < end:
        time.sleep(0.05)
    return [process for process in processes if is_alive(process)]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (KILL, -9)])
def test_drawing_ends_at_once_and_so_do_its_processes(tmp_path: Path, number: int, code: int) -> None:
    process = start("streets", tmp_path / "out", "--train", "3000", "--val", "1")
    wait_until(lambda: list(tmp_path.glob("out/train/images/*.png")), process)
    children = children_of(process.pid)
    began = time.monotonic()
    if number == signal.SIGINT:
        interrupt(process)
    else:
        os.kill(process.pid, number)
    said, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == code, said
    assert time.monotonic() - began < 10
    if number != KILL:
        assert said.strip().splitlines()[-1] == (
            "atonce: stopped; the scenes are not complete; the same command draws them anew"
        )
    assert "Traceback" not in said
    assert living_after(10, children) == [], "orphans"


def test_a_worker_that_is_killed_is_told_in_one_line(tmp_path: Path) -> None:
    process = start("streets", tmp_path / "out", "--train", "3000", "--val", "1")
    wait_until(lambda: list(tmp_path.glob("out/train/images/*.png")), process)
    children = children_of(process.pid)
    workers = [child for child in children if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()]
    os.kill(workers[-1], KILL)
    said, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 2, said
    assert "Traceback" not in said
    assert "atonce: a process that draws streets was ended from outside, as systems do when the memory is full" in said
    assert living_after(10, children) == [], "orphans"
