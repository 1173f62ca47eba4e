"""Sessions of a training run, each in a process of its own that can be killed like any other."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from atonce.recipes import Recipe
from atonce.training import Callback, TrainingRun, run_training
from atonce.training.losses import Losses

Fault = tuple[str, int]
"""Where the session kills itself, and at the how manieth time that it comes there; see `_arm`."""


class Telling(Callback):
    """Sends each step home."""

    def __init__(self, home: Connection) -> None:
        self.home = home

    def on_step(self, run: TrainingRun, losses: Losses) -> None:
        step = run.progress.step
        self.home.send(step)


def session(recipe: Recipe, data: Path, out: Path, resume: bool, home: Connection, fault: Fault | None) -> None:
    """The body of a process: train until done or killed; says "done" at the end."""
    import torch

    torch.set_num_threads(1)
    if fault:
        _arm(*fault)
    run_training(recipe, data, out, resume=resume, callback=Telling(home))
    home.send("done")


def _arm(where: str, count: int) -> None:
    """Make this process kill itself on its `count`-th way through a place of `atonce.storage`.

    fsync: a temporary file is written, the old one is still there. replace: as late as that.
    half: half of a temporary file is written.
    """
    if where == "replace":
        Path.replace = _deadly(Path.replace, count)  # type: ignore[method-assign, assignment]
    else:
        os.fsync = _deadly(os.fsync, count, before=_halve if where == "half" else None)


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


def _halve(descriptor: int) -> None:
    # The file has been opened for reading: by way of its name, then.
    os.truncate(f"/proc/self/fd/{descriptor}", os.fstat(descriptor).st_size // 2)
