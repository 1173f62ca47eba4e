"""Sessions of a training run, each in a process of its own that can be killed like any other."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from atonce.recipes import Recipe
from atonce.training import Callback, TrainingRun, run_training
from atonce.training.losses import Losses

Fault = tuple[str, int]
"""Where the session kills itself, and at which of its passes there; see `_arm`."""


class SendSteps(Callback):
    """A callback that sends each step to the parent process."""

    def __init__(self, home: Connection) -> None:
        self.home = home

    def on_step(self, run: TrainingRun, losses: Losses) -> None:
        self.home.send(run.progress.step)


def session(recipe: Recipe, data: Path, out: Path, resume: bool, home: Connection, fault: Fault | None) -> None:
    """Train until done or killed, in a process of its own; send "done" at the end."""
    import torch

    torch.set_num_threads(1)
    if fault:
        _arm(out, *fault)
    run_training(recipe, data, out, resume=resume, callback=SendSteps(home))
    home.send("done")


def _arm(out: Path, where: str, count: int) -> None:
    """Make this process kill itself on its `count`-th way through a place of `atonce.storage`.

    fsync: a temporary file is written, the old one is still there. replace: as late as that.
    half: half of a temporary file is written.
    """
    if where == "replace":
        Path.replace = _deadly(Path.replace, count)  # type: ignore[method-assign]
    elif where == "half":
        os.fsync = _deadly(os.fsync, count, before=lambda descriptor: _halve(out, descriptor))
    else:
        os.fsync = _deadly(os.fsync, count)


def _deadly(
    function: Callable[..., Any], count: int, before: Callable[[int], None] | None = None
) -> Callable[..., Any]:
    calls = 0

    def call(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == count:
            if before:
                before(*arguments)
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments)

    return call


def _halve(out: Path, descriptor: int) -> None:
    """Cut the temporary file behind a descriptor in half."""
    # The file has been opened for reading: by way of its name, then.
    about = os.fstat(descriptor)
    (path,) = (path for path in out.rglob(".*.tmp*") if os.path.samestat(path.stat(), about))
    os.truncate(path, about.st_size // 2)


CAN_FORK = "forkserver" in multiprocessing.get_all_start_methods()


def forkserver() -> Any:
    """The context of processes that start with everything imported."""
    context = multiprocessing.get_context("forkserver")
    # The last is what building the first optimiser imports: two seconds each time.
    context.set_forkserver_preload(["atonce.training", "tests.training.sessions", "torch._dynamo"])
    return context


def run_session(
    processes: Any,
    recipe: Recipe,
    data: Path,
    out: Path,
    fault: Fault | None = None,
    kill_after: Callable[[int], float | None] | None = None,
) -> bool:
    """Start or resume a run in a process of its own; True when it came to the end.

    `kill_after(steps)` is asked after each step of the session: seconds until the kill, None to let it live.
    """
    here, there = processes.Pipe(duplex=False)
    resume = (out / "recipe.yaml").exists()
    process = processes.Process(target=session, args=(recipe, data, out, resume, there, fault))
    process.start()
    there.close()
    done, messages = False, 0
    try:
        while True:
            message = here.recv()
            done = message == "done"
            messages += 1
            delay = kill_after(messages) if kill_after and not done else None
            if delay is not None:
                time.sleep(delay)
                process.kill()
    except EOFError:
        process.join()
    # A kill may come between the last message and the end.
    assert process.exitcode == -signal.SIGKILL or (done and process.exitcode == 0)
    process.close()
    return done
