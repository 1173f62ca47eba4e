"""Commands of atonce in processes of their own that begin in no time, so that a kill meets their work.

They are forked off a server that has imported everything: starting Python and torch anew would take most of the soak.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

LONGEST = 300.0
"""Seconds after which a command counts as hanging."""


@dataclass(frozen=True)
class Ended:
    """How a command has ended.

    Attributes:
        code: exit code; negative for a signal; None where it hung and had to be killed.
        out, err: what it said.
        seconds: how long it ran.
    """

    code: int | None
    out: str
    err: str
    seconds: float


class Commands:
    """Starts commands.

    Args:
        folder: for what they say.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._number = folder, 0
        self._context = multiprocessing.get_context("forkserver")
        packages = ["atonce.cli", "atonce.training", "atonce.inference.folders", "atonce.exporting", "torch._dynamo"]
        self._context.set_forkserver_preload([*packages, "benchmarks.soak.commands"])

    def start(self, words: Sequence[str | Path], *, largest_file: int | None = None) -> Command:
        """Start a command.

        Args:
            largest_file: bytes that a file may have: writing more fails, as on a full disk.
        """
        self._number += 1
        out, err = (self._folder / f"{self._number}.{kind}" for kind in ("out", "err"))
        for path in (out, err):
            path.touch()  # it may be killed before it comes to that
        begun = self._context.Event()
        arguments: tuple[Any, ...] = ([str(word) for word in words], out, err, largest_file, begun)
        process = self._context.Process(target=run, args=arguments)
        process.start()
        # A signal before that would meet no command, and what it leads to would be said elsewhere.
        begun.wait(LONGEST)
        return Command(process, out, err)

    def run(self, words: Sequence[str | Path], *, largest_file: int | None = None) -> Ended:
        """Run a command to its end."""
        return self.start(words, largest_file=largest_file).wait()


class Command:
    """A command that is running."""

    def __init__(self, process: BaseProcess, out: Path, err: Path) -> None:
        self._process, self._out, self._err, self._began = process, out, err, time.monotonic()

    @property
    def pid(self) -> int:
        """The number of its process."""
        assert self._process.pid is not None
        return self._process.pid

    def signal_after(self, seconds: float, number: int) -> bool:
        """Send a signal after a time. Returns whether the command was still running."""
        self._process.join(seconds)
        if not self._process.is_alive():
            return False
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)
        return True

    def wait(self) -> Ended:
        """Wait for its end; what hangs is killed."""
        self._process.join(LONGEST)
        hung = self._process.is_alive()
        if hung:
            self._process.kill()
            self._process.join()
        code = None if hung else self._process.exitcode
        out, err = (path.read_text("utf-8", "replace") for path in (self._out, self._err))
        return Ended(code, out, err, time.monotonic() - self._began)


def run(words: list[str], out: Path, err: Path, largest_file: int | None, begun: Event) -> None:
    """Run a command in this process, as a shell would: it is the target of the processes of `Commands`.

    Args:
        begun: is set as soon as all that is said goes to `out` and `err`.
    """
    os.setsid()
    for path, number in ((out, 1), (err, 2)):
        to = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(to, number)
        os.close(to)
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False, buffering=1)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", closefd=False, buffering=1)  # noqa: SIM115
    signal.signal(signal.SIGINT, signal.default_int_handler)  # what is started in the background ignores it
    begun.set()
    if largest_file is not None:
        import resource

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))
    import torch

    from atonce.cli import main

    torch.set_num_threads(1)
    sys.argv = ["atonce", *words]
    main()
