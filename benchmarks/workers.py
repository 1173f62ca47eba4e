"""A process for each contestant: what one of them leaves in memory or in its threads is nobody else's."""

from __future__ import annotations

import multiprocessing
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Protocol

import torch

Job = Callable[[], object]


class Contestant(Protocol):
    """Made in a process of its own."""

    def prepare(self, case: Any) -> Job:
        """What is timed, with everything made that is not to be."""


class Runner(Protocol):
    """What can be timed."""

    def prepare(self, case: Any) -> None:
        """Be ready for `run`. Raises Failed."""

    def run(self) -> tuple[float, int | None]:
        """Seconds of one repetition, and the process's peak memory so far in bytes. Raises Failed."""


class Failed(Exception):
    """A contestant could not be made, or could not do it; says why in one line."""


class Worker:
    """A contestant in a process of its own that waits, without using the processor, until it is its turn.

    Args:
        make: makes the contestant, there; can be pickled.
        environment: of its process, which then imports everything itself; None: what all have, torch first.

    Raises:
        Failed: it could not be made.
    """

    def __init__(self, make: Callable[[], Contestant], environment: Mapping[str, str] | None = None) -> None:
        context: Any = _context() if environment is None else multiprocessing.get_context("spawn")
        self._connection, other = context.Pipe()
        self._process = context.Process(target=_serve, args=(other, make), daemon=True)
        with _environment(environment):
            self._process.start()
        other.close()
        self._answer()

    def prepare(self, case: Any) -> None:
        self._connection.send(("prepare", case))
        self._answer()

    def run(self) -> tuple[float, int | None]:
        self._connection.send(("run", None))
        seconds, peak = self._answer()
        return float(seconds), int(peak)

    def close(self) -> None:
        self._connection.close()
        self._process.join(timeout=5)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def _answer(self) -> Any:
        try:
            kind, value = self._connection.recv()
        except (EOFError, ConnectionResetError):
            self._process.join(timeout=5)
            code = self._process.exitcode
            raise Failed(f"its process ended with code {code}" + (" (out of memory?)" if code == -9 else "")) from None
        if kind == "failed":
            raise Failed(str(value))
        return value


@contextmanager
def _environment(variables: Mapping[str, str] | None) -> Iterator[None]:
    """Have processes begin with other environment variables than this one's."""
    before = dict(os.environ)
    try:
        if variables is not None:
            os.environ.clear()
            os.environ.update(variables)
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _context() -> Any:
    # A server that has imported torch once forks what would otherwise import it anew each time, a second or two.
    # Nothing has been computed there, so no thread is lost in forking.
    methods = multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
    if hasattr(context, "set_forkserver_preload"):
        context.set_forkserver_preload(["torch", "benchmarks.inference"])
    return context


def _serve(connection: Connection, make: Callable[[], Contestant]) -> None:
    job: Job | None = None
    try:
        contestant = make()
        connection.send(("done", None))
        while True:
            kind, case = connection.recv()
            if kind == "prepare":
                job = contestant.prepare(case)
                connection.send(("done", None))
            else:
                assert job
                connection.send(("done", _timed(job)))
    except (EOFError, BrokenPipeError, KeyboardInterrupt):
        return
    except Exception as error:
        said = " ".join(str(error).split()) or "no reason given"
        connection.send(("failed", f"{type(error).__name__}: {said[:200]}"))


def _timed(job: Job) -> tuple[float, int]:
    began = time.perf_counter()
    job()
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.synchronize()
    return time.perf_counter() - began, peak_memory()


def peak_memory() -> int:
    """Bytes: of this process, resident; where it has used a GPU, what torch held there at most."""
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        return int(torch.cuda.max_memory_allocated())
    # Not getrusage where there is better: Linux counts there what the parent held before this program began.
    status = Path("/proc/self/status")
    if status.is_file():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


class _Once:
    """A piece of work as a contestant that never competes."""

    def __init__(self, work: Callable[[], object]) -> None:
        work()

    def prepare(self, case: Any) -> Job:
        raise NotImplementedError


def in_process(work: Callable[[], object], environment: Mapping[str, str] | None = None) -> None:
    """Do something in a process of its own and wait. Raises Failed."""
    Worker(partial(_Once, work), environment).close()


@contextmanager
def crew(
    makers: Mapping[str, Callable[[], Contestant]],
    failed: dict[str, str],
    environments: Mapping[str, Mapping[str, str]] | None = None,
) -> Iterator[dict[str, Runner]]:
    """Workers by name; of those that could not be made, `failed` says why.

    Args:
        environments: of their processes, by name, see `Worker`.
    """
    workers: dict[str, Worker] = {}
    try:
        for name, make in makers.items():
            try:
                workers[name] = Worker(make, (environments or {}).get(name))
            except Failed as error:
                failed[name] = str(error)
        yield dict(workers)
    finally:
        for worker in workers.values():
            worker.close()
