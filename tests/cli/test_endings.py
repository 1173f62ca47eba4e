"""A command that is stopped says what is left of its work; one that runs out of memory says what to do."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch.distributed import DistNetworkError, DistStoreError

import atonce.doctor
import atonce.evaluation
import atonce.exporting
import atonce.inference.folders
import atonce.streets
import atonce.training
from atonce.cli.endings import lost_process_line, out_of_memory_line
from atonce.signals import Terminated
from atonce.training import Callback, TrainingRun
from atonce.training import train as train_network
from atonce.training import train_network as train_module
from atonce.training.losses import Losses
from tests.commands import Command, Outcome
from tests.processes import start
from tests.systems import needs_linux_memory
from tests.tiny import set_options

resource = pytest.importorskip("resource", reason="limits on memory, which only POSIX systems have")

COMMANDS: dict[str, tuple[Any, str, tuple[str, ...]]] = {
    "train": (atonce.training, "train", ("DATA", "--out", "OUT")),
    "predict": (atonce.inference.folders, "predict", ("MODEL", "DATA")),
    "export": (atonce.exporting, "export", ("MODEL", "--to", "onnx")),
    "submit": (atonce.evaluation, "submit", ("MODEL", "DATA")),
    "evaluate": (atonce.evaluation, "evaluate", ("MODEL", "DATA")),
    "doctor": (atonce.doctor, "examine", ("DATA",)),
    "streets": (atonce.streets, "write_streets", ("OUT",)),
}
"""Command -> the function that it calls, and words that it is content with."""

STOPPED = {
    "train": "stopped before the first step; nothing was trained",
    "predict": "atonce: stopped; what is finished is kept; the same command goes on with the rest",
    "export": "atonce: stopped; nothing was written",
    "submit": "atonce: stopped; nothing was written",
    "evaluate": "atonce: stopped; nothing was scored",
    "doctor": "atonce: stopped; the data are as they were",
    "streets": "atonce: stopped; the scenes are not complete; the same command draws them anew",
}

CPU = RuntimeError(
    "[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate "
    "9216000000 bytes. Error code 12 (Cannot allocate memory)"
)
GPU = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")


@pytest.fixture
def failing(
    monkeypatch: pytest.MonkeyPatch, atonce: Command, tiny_run: Path, street_data: Path, tmp_path: Path
) -> Callable[[str, BaseException], Outcome]:
    there = {"MODEL": tiny_run, "DATA": street_data, "OUT": tmp_path / "out"}

    def run(command: str, error: BaseException) -> Outcome:
        module, name, words = COMMANDS[command]

        def fail(*_: object, **__: object) -> None:
            raise error

        monkeypatch.setattr(module, name, fail)
        return atonce(command, *(there.get(word, word) for word in words))

    return run


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(("error", "code"), [(KeyboardInterrupt(), 130), (Terminated(signal.SIGTERM), 143)])
def test_a_command_that_is_stopped_says_what_is_left(
    failing: Callable[[str, BaseException], Outcome], command: str, error: BaseException, code: int
) -> None:
    outcome = failing(command, error)
    assert (outcome.code, outcome.err.strip().splitlines()[-1]) == (code, STOPPED[command])


@pytest.mark.parametrize(
    ("command", "error", "told"),
    [
        ("train", CPU, "the computer's memory is full (9,216 MB more were asked for); lower train.batch_size or"),
        ("train", GPU, "the GPU's memory is full; lower train.batch_size or data.crop, raise train.accumulate"),
        ("train", MemoryError(), "the computer's memory is full; lower train.batch_size"),
        ("train", RuntimeError("std::bad_alloc"), "the computer's memory is full; lower train.batch_size"),
        ("predict", CPU, "9,216 MB more were asked for); give smaller pictures, or end other programs"),
        ("predict", GPU, "the GPU's memory is full; add --device cpu, or give smaller pictures"),
        ("evaluate", GPU, "the GPU's memory is full; add --device cpu"),
        ("evaluate", MemoryError("Unable to allocate 9 GiB"), "the computer's memory is full; give smaller pictures"),
        ("export", CPU, "end other programs, or export on a machine with more memory"),
        ("submit", OSError(12, "Cannot allocate memory"), "the computer's memory is full; give smaller pictures"),
        ("doctor", MemoryError(), "the computer's memory is full; lower --workers, or end other programs"),
        ("streets", MemoryError(), "the computer's memory is full; lower --height and --width"),
    ],
)
def test_memory_that_runs_out_is_one_line_whose_remedy_fits_the_command(
    failing: Callable[[str, BaseException], Outcome], command: str, error: BaseException, told: str
) -> None:
    assert told in failing(command, error).mistake


@pytest.mark.parametrize(
    ("command", "error", "left"),
    [
        (
            "train",
            DistNetworkError("Broken pipe"),
            "the state that was saved last is kept; launch it again with --resume",
        ),
        ("train", DistStoreError("wait timeout after 60000ms"), "launch it again with --resume"),
        (
            "predict",
            RuntimeError("[../third_party/gloo/gloo/transport/tcp/pair.cc:547] Connection closed by peer"),
            "goes",
        ),
    ],
)
def test_processes_that_are_gone_are_one_line(
    failing: Callable[[str, BaseException], Outcome],
    monkeypatch: pytest.MonkeyPatch,
    command: str,
    error: BaseException,
    left: str,
) -> None:
    """A launcher that was killed in the moment of a validation."""
    assert lost_process_line(error) is None, "nobody has launched this process with others"
    monkeypatch.setattr("atonce.cli.endings.is_launched", lambda: True)
    told = failing(command, error).mistake
    assert "the other processes of this launch, or its launcher, cannot be reached (" in told
    assert str(error).split()[-1] in told
    assert left in told


def test_other_errors_are_ours_and_show_their_traceback(failing: Callable[[str, BaseException], Outcome]) -> None:
    for error in (RuntimeError("size mismatch"), OSError(5, "Input/output error"), ValueError("memory")):
        assert out_of_memory_line(error) is None and lost_process_line(error) is None
        with pytest.raises(type(error)):
            failing("predict", error)


@needs_linux_memory
def test_memory_that_really_runs_out_is_one_line(tiny_run: Path, tmp_path: Path) -> None:
    Image.new("RGB", (3000, 3000)).save(tmp_path / "large.png")

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (1_450_000_000, 1_450_000_000))

    process = start("predict", tiny_run, tmp_path / "large.png", "--out", tmp_path / "out", preexec_fn=limit)
    said, _ = process.communicate(timeout=120)
    if process.returncode == 0:
        pytest.skip("this torch needs less")
    assert process.returncode == 2, said
    assert said.strip().splitlines()[-1].startswith("atonce: the computer's memory is full")
    assert "Traceback" not in said


class Presses(Callback):
    """Presses Ctrl-C twice after the first step."""

    def on_step(self, run: TrainingRun, losses: Losses) -> None:
        for _ in range(2):
            signal.raise_signal(signal.SIGINT)


@pytest.fixture
def terminal() -> Iterator[None]:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("terminal")
def test_a_state_is_not_said_to_be_kept_before_there_is_one(
    atonce: Command, monkeypatch: pytest.MonkeyPatch, street_data: Path, tmp_path: Path
) -> None:
    def pressed(*words: Any, callbacks: Any, **more: Any) -> Any:
        return train_network(*words, callbacks=[*callbacks, Presses()], **more)

    monkeypatch.setattr(atonce_training(), "train", pressed)
    run = tmp_path / "run"
    outcome = atonce("train", street_data, "--out", run, *set_options("train.save_every=1000"))
    assert outcome.code == 130
    again = f"atonce train {street_data} --out {run} --resume"
    assert outcome.err.strip().splitlines()[-1] == (
        f"stopped before the first state was saved; begin again with: {again}"
    )
    assert "the state is kept" not in outcome.err
    monkeypatch.undo()
    assert atonce(*again.split()[1:], "--set", "train.steps=1").code == 0


@pytest.mark.usefixtures("terminal")
def test_a_demo_that_is_stopped_goes_on_by_the_same_command(
    atonce: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Whoever has typed `make demo` has no `atonce` on the path yet."""

    def pressed(*words: Any, callbacks: Any, **more: Any) -> Any:
        return train_network(*words, callbacks=[*callbacks, Presses()], **more)

    monkeypatch.setattr(atonce_training(), "train", pressed)
    outcome = atonce("demo", "--out", tmp_path / "run", "--train", 4, "--val", 2)
    assert outcome.code == 130
    assert outcome.err.strip().splitlines()[-1] == "stopped; what there is is kept, the same command goes on"
    assert not (tmp_path / "run" / "state" / "state.safetensors").exists(), "it goes on from its beginning, too"
    monkeypatch.undo()
    again = atonce("demo", "--out", tmp_path / "run", "--train", 4, "--val", 2, "--max-minutes", "0.01")
    assert again.code == 0, again.err


def atonce_training() -> Any:
    return sys.modules["atonce.training"]


def test_ctrl_c_while_the_data_are_read_names_no_run_to_go_on_with(
    atonce: Command, monkeypatch: pytest.MonkeyPatch, street_data: Path, tmp_path: Path
) -> None:
    def press(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(train_module, "set_up", press)
    outcome = atonce("train", street_data, "--out", tmp_path / "run", *set_options())
    assert (outcome.code, outcome.err.strip()) == (130, "stopped before the first step; nothing was trained")
