"""SIGTERM and SIGHUP end a training like Ctrl-C: with a state from which it goes on to the same bits."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from atonce.signals import Terminated, exit_code_of, raise_terminated
from atonce.training import Callback, TrainingRun, run_training
from atonce.training.interrupt import deferred_interrupt
from atonce.training.losses import Losses
from tests.processes import PATIENCE, children_of, is_alive, start, wait_until
from tests.tiny import ENVIRONMENT, log_of, set_options, tiny_recipe

RECIPE = ("train.steps=6", "train.validate_every=3", "train.save_every=100", "optim.ema_decay=0.9")
LONG = ("train.steps=100000", "train.validate_every=100000", "train.save_every=100000", "train.log_every=1")


@pytest.fixture
def plain_handlers() -> Iterator[None]:
    """The system's own handlers, whatever a command run in this process has set."""
    numbers = (signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, signal.SIG_DFL) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


@pytest.fixture(scope="module")
def undisturbed(street_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("undisturbed") / "run"
    run_training(tiny_recipe(*RECIPE), street_data, run)
    return run


class Sends(Callback):
    """Sends a signal after a step, or in the middle of the validation at a step."""

    def __init__(self, number: int, at: int, *, in_validation: bool = False) -> None:
        self.number, self.at, self.in_validation = number, at, in_validation
        self.step, self.pictures, self.notes = 0, 0, list[str]()

    def on_note(self, text: str) -> None:
        self.notes.append(text)

    def on_step(self, run: TrainingRun, losses: Losses) -> None:
        self.step = run.progress.step
        if self.step == self.at and not self.in_validation:
            signal.raise_signal(self.number)
            signal.raise_signal(self.number)

    def on_validation_progress(self, done: int, total: int) -> None:
        if self.step == self.at and self.in_validation:
            self.pictures += 1
            signal.raise_signal(self.number)


def progress_of(run: Path) -> dict[str, Any]:
    with safe_open(run / "state" / "state.safetensors", "pt") as file:
        progress: dict[str, Any] = json.loads(file.metadata()["progress"])
    return progress


def assert_same_run(run: Path, other: Path) -> None:
    for name in ("model.safetensors", "last.safetensors", "state/state.safetensors"):
        one, two = load_file(run / name), load_file(other / name)
        assert one.keys() == two.keys()
        assert all(torch.equal(one[key], two[key]) for key in one), name
    assert [row["loss"] for row in log_of(run)] == [row["loss"] for row in log_of(other)]
    rows = [(run / "metrics.csv").read_text().splitlines() for run in (run, other)]
    times = rows[0][0].split(",").index("minutes")
    without = [[[c for i, c in enumerate(line.split(",")) if i != times] for line in lines] for lines in rows]
    assert without[0] == without[1]


@pytest.mark.usefixtures("plain_handlers")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_saves_the_state_and_the_run_goes_on_to_the_same_bits(
    number: signal.Signals, undisturbed: Path, street_data: Path, tmp_path: Path
) -> None:
    callback = Sends(number, at=4)
    with pytest.raises(Terminated) as caught:
        run_training(tiny_recipe(*RECIPE), street_data, tmp_path / "run", callback=callback)
    assert exit_code_of(caught.value) == 128 + number
    assert "stopping after this step" in callback.notes
    assert progress_of(tmp_path / "run")["step"] == 4
    assert signal.getsignal(number) is signal.SIG_DFL
    run_training(tiny_recipe(*RECIPE), street_data, tmp_path / "run", resume=True)
    assert_same_run(tmp_path / "run", undisturbed)


@pytest.mark.usefixtures("plain_handlers")
@pytest.mark.parametrize("step", [3, 6])
def test_a_signal_in_a_validation_does_not_wait_for_its_end(
    step: int, undisturbed: Path, street_data: Path, tmp_path: Path
) -> None:
    callback = Sends(signal.SIGTERM, at=step, in_validation=True)
    with pytest.raises(Terminated):
        run_training(tiny_recipe(*RECIPE), street_data, tmp_path / "run", callback=callback)
    assert callback.pictures == 1
    progress = progress_of(tmp_path / "run")
    assert progress["step"] == step
    assert [row["step"] for row in progress["validations"]] == ([3] if step == 6 else [])
    run_training(tiny_recipe(*RECIPE), street_data, tmp_path / "run", resume=True)
    assert_same_run(tmp_path / "run", undisturbed)


def test_signals_that_somebody_else_handles_or_ignores_are_left_to_them() -> None:
    for handler in (signal.SIG_IGN, lambda *_: None):
        before = signal.signal(signal.SIGHUP, handler)
        try:
            with deferred_interrupt(Callback()) as interrupt:
                assert signal.getsignal(signal.SIGHUP) is handler
            assert not interrupt.asked
        finally:
            signal.signal(signal.SIGHUP, before)
    before = signal.signal(signal.SIGHUP, raise_terminated)
    try:
        with deferred_interrupt(Callback()) as interrupt:
            signal.raise_signal(signal.SIGHUP)
        assert interrupt.asked
        with pytest.raises(Terminated):
            signal.raise_signal(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


def steps_of(run: Path) -> int:
    path = run / "log.jsonl"
    return len(path.read_text().splitlines()) if path.is_file() else 0


def test_sigterm_ends_the_command_with_143_and_tells_how_to_go_on(street_data: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    process = start("train", street_data, "--out", run, *set_options(*LONG))
    wait_until(lambda: steps_of(run) >= 2, process)
    process.terminate()
    said, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 143, said
    again = f"atonce train {street_data} --out {run} --resume"
    assert said.strip().splitlines()[-1] == f"stopped; the state is kept, go on with: {again}"
    assert progress_of(run)["step"] == log_of(run)[-1]["step"] >= 2
    assert not (run / ".lock").exists()


def test_a_terminal_that_is_closed_leaves_the_state(street_data: Path, tmp_path: Path) -> None:
    run, ours, theirs = tmp_path / "run", *pty.openpty()
    code = """
        import fcntl, signal, termios
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # these tests may themselves run under nohup
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        from atonce.cli import main
        main()
    """
    words = [sys.executable, "-c", "\n".join(line[8:] for line in code.splitlines()), "train", str(street_data)]
    process = subprocess.Popen(
        [*words, "--out", str(run), *set_options(*LONG)],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        env=ENVIRONMENT,
        text=True,
    )
    os.close(theirs)
    os.set_blocking(ours, False)
    wait_until(lambda: _drain(ours) or steps_of(run) >= 2, process)
    os.close(ours)
    assert process.wait(PATIENCE) == 129
    assert progress_of(run)["step"] == log_of(run)[-1]["step"] >= 2


def _drain(descriptor: int) -> None:
    """Read what has been said: a terminal that nobody reads blocks whoever writes."""
    try:
        while os.read(descriptor, 65536):
            pass
    except OSError:
        return


@pytest.mark.skipif(not torch.distributed.is_available(), reason="this torch has no torch.distributed")
def test_two_processes_end_with_a_state_whether_torchrun_is_ended_or_killed(street_data: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    words = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "atonce"]
    words += ["train", str(street_data), "--out", str(run)]
    for number, more in ((signal.SIGTERM, set_options(*LONG)), (signal.SIGKILL, ["--resume"])):
        before = steps_of(run)
        with (tmp_path / f"{number}.txt").open("w+") as log:
            process = subprocess.Popen([*words, *more], stdout=log, stderr=log, env=ENVIRONMENT, text=True)
            wait_until(lambda: steps_of(run) >= before + 2, process)  # noqa: B023
            workers = children_of(process.pid)
            assert len(workers) >= 2
            process.send_signal(number)
            process.wait(PATIENCE)
            end = time.monotonic() + PATIENCE
            while any(map(is_alive, workers)) and time.monotonic() < end:
                time.sleep(0.1)
            log.seek(0)
            assert not [pid for pid in workers if is_alive(pid)], log.read()
            log.seek(0)
            said = log.read()
        assert progress_of(run)["step"] == log_of(run)[-1]["step"] >= before + 2, said
        assert said.count("stopped; the state is kept, go on with") == 1, said
        assert not (run / ".lock").exists()
