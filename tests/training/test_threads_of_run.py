"""A run computes with the threads that it began with: only then are sums the same to the last bit."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from atonce.adaptive_threads import AdaptiveThreads
from atonce.training import Callback, hardware, run_training
from atonce.training.state import read_progress
from tests.tiny import log_of, tiny_recipe


@pytest.fixture(autouse=True)
def _four_cores_and_nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ATONCE_THREADS", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(hardware, "physical_cores", lambda: 4)
    monkeypatch.setattr(hardware, "compute_threads", lambda: 4)
    monkeypatch.setattr(hardware, "spins_while_waiting", lambda: False)


def chosen(recorded: int | None, *, device: str = "cpu", processes: int = 1) -> tuple[AdaptiveThreads, list[str]]:
    """Choose the threads of a run; returns them and the notes."""
    notes: list[str] = []
    accelerator: Any = SimpleNamespace(device=torch.device(device), num_processes=processes)
    return hardware.threads_of_run(accelerator, recorded, notes.append), notes


def test_a_run_that_begins_takes_what_there_is() -> None:
    threads, notes = chosen(None)
    assert (threads.most, notes) == (4, [])


def test_a_run_that_goes_on_keeps_its_number_and_says_so() -> None:
    threads, [note] = chosen(2)
    assert threads.most == 2
    assert note.startswith("2 threads, as the run began with, so that sums are the same")


def test_a_number_that_the_user_sets_wins_over_the_run_s(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATONCE_THREADS", "4")
    threads, [note] = chosen(2)
    assert threads.most == 4
    assert note == "the run began with 2 threads; with 4 sums differ in their last bits"


def test_on_fewer_cores_than_a_run_began_with_it_takes_those() -> None:
    threads, [note] = chosen(16)
    assert threads.most == 4
    assert note == "the run began with 16 threads; with 4 sums differ in their last bits"


def test_processes_share_the_number_and_never_change_it() -> None:
    threads, notes = chosen(4, processes=2)
    assert threads.most == 2
    assert notes
    assert not threads.may_change


def test_on_a_gpu_the_number_is_of_no_account() -> None:
    threads, notes = chosen(2, device="cuda")
    assert (threads.most, threads.may_change, notes) == (4, False, [])


@pytest.mark.parametrize(("device", "recorded", "kept"), [("cpu", 2, 8), ("cuda", 2, 2), ("cuda", None, None)])
def test_a_session_on_a_gpu_leaves_the_number_of_the_sessions_on_cpus(
    device: str, recorded: int | None, kept: int | None
) -> None:
    accelerator: Any = SimpleNamespace(device=torch.device(device), num_processes=2)
    threads = AdaptiveThreads(most=4)
    assert hardware.threads_to_record(accelerator, threads, recorded) == kept


def test_torch_that_was_imported_first_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "spins_while_waiting", lambda: True)
    _, [note] = chosen(None)
    assert note.endswith("import atonce first")
    assert "\n" not in note


def test_the_first_change_is_told_and_no_other() -> None:
    threads, notes = chosen(None)
    for count in (3, 4, 3):
        threads._change(count, 1.04)
        assert threads.count == count
    [note] = notes
    assert note.startswith("other programs use 1.0 cores: from here on 3 of 4 threads compute")


def test_the_number_is_written_into_state_and_log(tiny_run: Path) -> None:
    assert read_progress(tiny_run / "state" / "state.safetensors").threads == 1
    assert [line["threads"] for line in log_of(tiny_run)] == [1, 1, 1, 1]


def test_a_training_updates_with_the_number_of_the_run(
    tiny_run: Path, street_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not with torch's own, which it has again afterwards."""
    run, seen = tmp_path / "run", []
    shutil.copytree(tiny_run, run)
    given = hardware.threads_of_run

    def of_three(*words: Any) -> AdaptiveThreads:
        found = given(*words)
        found.most = found.count = 3
        return found

    class Watch(Callback):
        def on_step(self, run: Any, losses: Any) -> None:
            outside.append(torch.get_num_threads())

    outside: list[int] = []
    set_threads = torch.set_num_threads
    monkeypatch.setattr(torch, "set_num_threads", lambda count: (seen.append(count), set_threads(count)))
    monkeypatch.setattr("atonce.training.setup.threads_of_run", of_three)
    run_training(tiny_recipe("train.steps=6"), street_data, run, resume=True, callback=Watch())
    assert seen[:2] == [3, 1]
    assert outside == [1, 1]
    assert read_progress(run / "state" / "state.safetensors").threads == 3
