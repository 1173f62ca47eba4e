"""One process trains in a run folder; every other one is told which, and touches nothing."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from atonce.errors import StorageError, TrainingError
from atonce.processes import ProcessIdentity
from atonce.training import Callback, TrainingRun, run_lock, run_training, set_up
from atonce.training.losses import Losses
from atonce.training.run_lock import Owner, RunLock
from tests.commands import Command
from tests.systems import needs_links, needs_pipes
from tests.tiny import ENVIRONMENT, log_of, tiny_recipe

_HOLDER = """
import sys, time
from pathlib import Path
from atonce.training.run_lock import RunLock
lock = RunLock(Path(sys.argv[1]))
lock.acquire()
print("locked", flush=True)
time.sleep(600)
"""


@pytest.fixture
def other(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that trains in tmp_path / "run"."""
    (tmp_path / "run").mkdir(exist_ok=True)
    command = [sys.executable, "-c", _HOLDER, str(tmp_path / "run")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT)
    assert process.stdout
    assert process.stdout.readline() == "locked\n"
    yield process
    process.kill()
    process.communicate()


def refusal(lock: RunLock) -> str:
    with pytest.raises(TrainingError) as caught:
        lock.acquire()
    message = caught.value.for_command_line()
    assert len(message.splitlines()) == 1
    return message


def test_a_lock_is_had_once_and_given_back_without_a_trace(tmp_path: Path) -> None:
    lock, second = RunLock(tmp_path), RunLock(tmp_path)
    with lock:
        lock.acquire()
        lock.acquire()
        assert f"process {os.getpid()}, since " in refusal(second)
    assert list(tmp_path.iterdir()) == []
    second.acquire()
    second.release()
    second.release()
    lock.acquire()
    del lock
    assert list(tmp_path.iterdir()) == [], "a run that is forgotten keeps its lock"


def test_a_living_owner_is_named_and_a_dead_ones_lock_is_taken_over(
    tmp_path: Path, other: subprocess.Popen[str]
) -> None:
    lock = RunLock(tmp_path / "run")
    message = refusal(lock)
    assert f"{tmp_path / 'run'} is being trained by process {other.pid}, since 20" in message
    assert "choose another --out" in message
    other.send_signal(signal.SIGKILL)
    other.wait()
    assert (tmp_path / "run" / ".lock").is_file()
    lock.acquire()
    lock.release()
    assert list((tmp_path / "run").iterdir()) == []


def test_without_locks_of_the_system_the_owners_process_counts(
    tmp_path: Path, other: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_lock, "_lock", lambda _: None)
    lock = RunLock(tmp_path / "run")
    assert f"process {other.pid}, since" in refusal(lock)
    other.send_signal(signal.SIGKILL)
    other.wait()
    lock.acquire()
    assert str(os.getpid()) in refusal(RunLock(tmp_path / "run"))
    lock.release()


@pytest.mark.parametrize("system", [True, None])
def test_an_owner_on_another_machine_has_it_while_it_gives_signs_of_life(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, system: bool | None
) -> None:
    monkeypatch.setattr(run_lock, "_lock", lambda _: system)
    monkeypatch.setattr(run_lock, "_SILENCE", 1.0)
    path = tmp_path / ".lock"
    path.write_text(Owner(ProcessIdentity(17, "abcdef", "12"), "node-7", "2026-01-01 10:00").text())
    looks, now = iter([1.0, 1.0, 2.0]), time.time()
    monkeypatch.setattr(run_lock, "_changed", lambda _: now + next(looks))
    assert "process 17 on node-7, since 2026-01-01 10:00" in refusal(RunLock(tmp_path))
    monkeypatch.setattr(run_lock, "_changed", lambda _: now)
    lock = RunLock(tmp_path)
    lock.acquire()
    lock.release()


def test_a_machine_whose_clock_is_hours_behind_gives_signs_of_life_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_lock, "_lock", lambda _: None)
    (tmp_path / ".lock").write_text(Owner(ProcessIdentity(17, "abcdef", "12"), "node-7", "2026-01-01 10:00").text())
    monkeypatch.setattr(run_lock, "_SILENCE", 1.0)
    looks, at = iter([1.0, 1.0, 2.0]), time.time() - 7200
    monkeypatch.setattr(run_lock, "_changed", lambda _: at + next(looks))
    assert "process 17 on node-7, since 2026-01-01 10:00" in refusal(RunLock(tmp_path))
    assert list(looks) == [], "it was not looked at until it changed"
    monkeypatch.setattr(run_lock, "_changed", lambda _: at)
    with RunLock(tmp_path) as lock:
        lock.acquire()  # nothing changes any more


def test_a_lock_file_that_says_nothing_is_no_obstacle(tmp_path: Path) -> None:
    for text in ("", "{", "[]", json.dumps({"process": "me", "host": "x", "since": "y"})):
        (tmp_path / ".lock").write_text(text)
        lock = RunLock(tmp_path)
        lock.acquire()
        owner = Owner.read(tmp_path / ".lock")
        assert owner is not None and owner.process.is_here
        lock.release()


def test_an_owner_shows_that_it_lives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_lock, "_BEAT", 0.05)
    with RunLock(tmp_path) as lock:
        lock.acquire()
        os.utime(lock.path, (0, 0))
        end = time.monotonic() + 30
        while lock.path.stat().st_mtime == 0 and time.monotonic() < end:
            time.sleep(0.02)
        assert lock.path.stat().st_mtime > 0


class TrainsThereToo(Callback):
    """Starts a second training in the folder of the first, and resumes it."""

    def __init__(self, data: Path) -> None:
        self.data, self.told = data, list[str]()

    def on_step(self, run: TrainingRun, losses: Losses) -> None:
        for resume in (False, True) if run.progress.step == 3 else ():
            with pytest.raises(TrainingError) as caught:
                run_training(tiny_recipe(), self.data, run.folder.path, resume=resume)
            self.told.append(str(caught.value))


def test_a_run_that_is_being_trained_is_neither_begun_nor_resumed_again(street_data: Path, tmp_path: Path) -> None:
    callback = TrainsThereToo(street_data)
    run_training(tiny_recipe(), street_data, tmp_path / "run", callback=callback)
    began, resumed = callback.told
    assert "already holds a run" in began
    assert f"is being trained by process {os.getpid()}" in resumed
    assert [row["step"] for row in log_of(tmp_path / "run")] == [1, 2, 3, 4]
    assert not (tmp_path / "run" / ".lock").exists()


def test_the_second_of_two_that_begin_at_once_is_refused(
    street_data: Path, tmp_path: Path, other: subprocess.Popen[str]
) -> None:
    with pytest.raises(TrainingError, match=f"is being trained by process {other.pid}"):
        run_training(tiny_recipe(), street_data, tmp_path / "run")
    assert not (tmp_path / "run" / "recipe.yaml").exists()


def test_the_command_line_refuses_with_exit_code_2_and_changes_nothing(
    atonce: Command, tiny_run: Path, street_data: Path, tmp_path: Path, other: subprocess.Popen[str]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(tiny_run, run, dirs_exist_ok=True)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    told = atonce("train", street_data, "--out", run, "--resume", "--set", "train.steps=8").mistake
    assert f"is being trained by process {other.pid}" in told
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before
    with pytest.raises(TrainingError, match="is being trained"):
        set_up(tiny_recipe(), street_data, run, resume=True)


def test_what_fails_on_the_way_gives_the_lock_back(tiny_run: Path, street_data: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(tiny_run, run)
    (run / "state" / "state.safetensors").write_bytes(b"damaged")
    with pytest.raises(TrainingError, match="damaged"):
        run_training(tiny_recipe(), street_data, run, resume=True)
    assert not (run / ".lock").exists()


@needs_links
def test_a_link_in_the_place_of_the_lock_is_left_with_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "precious").write_text("mine")
    (tmp_path / "run" / ".lock").symlink_to(tmp_path / "precious")
    with pytest.raises(StorageError, match=r"\.lock is a link; .*remove it"):
        RunLock(tmp_path / "run").acquire()
    assert (tmp_path / "precious").read_text() == "mine"
    assert (tmp_path / "run" / ".lock").is_symlink()


@needs_pipes
def test_a_pipe_in_the_place_of_the_lock_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / ".lock")
    with pytest.raises(StorageError, match=r"\.lock is no ordinary file"):
        RunLock(tmp_path).acquire()
    assert Owner.read(tmp_path / ".lock") is None


@pytest.mark.parametrize("content", ["[" * 100_000, "9" * 5000, " " * 100_000 + "{}"])
def test_a_lock_file_that_names_nobody_is_taken_over(content: str, tmp_path: Path) -> None:
    (tmp_path / ".lock").write_text(content)
    with RunLock(tmp_path) as lock:
        lock.acquire()
        owner = Owner.read(tmp_path / ".lock")
        assert owner is not None
        assert owner.process == ProcessIdentity.current()
