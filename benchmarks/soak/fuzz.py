"""Fuzzing: damaged files into every reader, in a process with limits on memory and time that is watched by another.

An input follows from seed and number, so that one which ends the process is known by the number that was begun last.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
import traceback
import warnings
from collections.abc import Sequence
from pathlib import Path
from random import Random
from types import FrameType
from typing import Any

from atonce.errors import UserError
from atonce.serving.request_errors import RequestError
from benchmarks.soak.readers import READERS, Reader, Workspace, make_workspace
from benchmarks.soak.results import Finding, Results, Stopwatch, describe_error

MEMORY_BYTES = 2 << 30
"""More than the readers' process has when it begins."""

CPU_SECONDS = 15.0
"""For one input."""

WALL_SECONDS = 120.0
"""For one input, on a machine that is busy with other things; then the process is killed."""

LONGEST_MESSAGE = 10_000
"""Characters of what tells what is wrong; of a data set, that is some twenty lines."""


class TooSlow(BaseException):
    """Raised in the middle of what takes too long; no reader catches it."""


def seeds_of(space: Workspace, readers: Sequence[Reader]) -> dict[str, list[bytes]]:
    """Make the seeds of all readers; those whose package is missing have none."""
    return {reader.name: list(reader.seeds(space)) for reader in readers}


def make_input(
    number: int, seed: int, readers: Sequence[Reader], seeds: dict[str, list[bytes]]
) -> tuple[Reader, bytes]:
    """Make an input by its number."""
    able = [reader for reader in readers if seeds[reader.name]]
    random = Random(f"{seed}-{number}")
    reader = random.choices(able, [reader.share for reader in able])[0]
    valid = random.choice(seeds[reader.name])
    return reader, reader.mutate(valid, random)


def feed(reader: Reader, content: bytes, space: Workspace) -> tuple[str, str]:
    """Let a reader read. Returns the outcome ("read", "refused", or what was found) and what is worth knowing of it."""
    shutil.rmtree(space.scratch, ignore_errors=True)
    space.scratch.mkdir()
    path = space.scratch / f"input{reader.suffix}"
    path.write_bytes(content)
    signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
    try:
        reader.read(space, path)
    except UserError as error:
        message = error.for_command_line()
        if len(message) > LONGEST_MESSAGE:
            return "an endless message", message[:2000]
        status = error.status if isinstance(error, RequestError) else 422
        return ("refused", message) if status < 500 else (f"status {status}", message)
    except TooSlow as error:
        return f"more than {CPU_SECONDS:.0f} s: {describe_error(error)}", traceback.format_exc()
    except BaseException as error:
        return describe_error(error), traceback.format_exc()
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    return "read", ""


def work(space: Workspace, seed: int, span: range, only: Sequence[str], told: int) -> None:
    """Feed inputs, and tell of each its number before, and its outcome after it was read.

    Args:
        span: their numbers.
        told: the descriptor of a pipe to the process that watches.
    """
    readers = [reader for reader in READERS if not only or reader.name in only]
    seeds = seeds_of(space, readers)
    _require_valid(readers, seeds, space)
    with Path("/proc/self/statm").open() as file:
        pages = int(file.read().split()[0])
    limit = pages * resource.getpagesize() + MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    signal.signal(signal.SIGPROF, _stop)
    for number in span:
        reader, content = make_input(number, seed, readers, seeds)
        _say(told, {"begun": number, "reader": reader.name})
        outcome, about = feed(reader, content, space)
        _say(told, {"done": number, "reader": reader.name, "outcome": outcome, "about": about})


def _require_valid(readers: Sequence[Reader], seeds: dict[str, list[bytes]], space: Workspace) -> None:
    """Raise AssertionError for a seed that is not valid: what is made of it would test nothing."""
    signal.signal(signal.SIGPROF, _stop)
    for reader in readers:
        outcomes = [feed(reader, content, space) for content in seeds[reader.name]]
        fine = [outcome for outcome, _ in outcomes if outcome == "read"]
        assert fine or not outcomes, f"no seed of {reader.name} is valid: {outcomes}"


def _stop(_: int, __: FrameType | None) -> None:
    raise TooSlow


def _say(told: int, data: dict[str, Any]) -> None:
    os.write(told, json.dumps(data).encode() + b"\n")


def fuzz(
    results: Results, space: Workspace, clock: Stopwatch, seed: int, *, least: int, only: Sequence[str] = ()
) -> None:
    """Feed inputs for a time, and at least so many."""
    readers = [reader for reader in READERS if not only or reader.name in only]
    seeds = seeds_of(space, readers)
    number = 0
    while number < least or not clock.is_over:
        stop = number + (300 if number >= least else min(2000, least - number))
        begun, number = _watch(results, space, seed, number, stop, only), stop
        if begun is not None:
            # The process has ended with this input; it is made once more here, to be kept.
            reader, content = make_input(begun[0], seed, readers, seeds)
            results.find(
                Finding(f"fuzz: {reader.name}", begun[1], f"seed {seed}, input {begun[0]}", content, reader.suffix)
            )
            number = begun[0] + 1


def _watch(
    results: Results, space: Workspace, seed: int, start: int, stop: int, only: Sequence[str]
) -> tuple[int, str] | None:
    """Run the process for some inputs. Returns the one that ended it and how; None where all were read."""
    readers = [reader for reader in READERS if not only or reader.name in only]
    seeds = seeds_of(space, readers)
    out, into = os.pipe()
    words = ["-m", "benchmarks.soak.fuzz", str(space.folder), str(seed), str(start), str(stop), *only]
    process = subprocess.Popen(
        [sys.executable, *words, "--told", str(into)],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, pass_fds=[into], text=True, errors="replace",
    )  # fmt: skip
    os.close(into)
    errors: list[str] = []
    reading = threading.Thread(target=lambda: errors.append(process.stderr.read() if process.stderr else ""))
    reading.start()
    begun, killed = start - 1, threading.Event()

    def kill() -> None:
        killed.set()
        process.kill()

    with os.fdopen(out) as lines:
        timer = threading.Timer(4 * WALL_SECONDS, kill)  # importing and the seeds come first
        timer.start()
        for line in lines:
            timer.cancel()
            timer = threading.Timer(WALL_SECONDS, kill)
            timer.start()
            told = json.loads(line)
            if "begun" in told:
                begun = told["begun"]
                continue
            part = f"fuzz: {told['reader']}"
            if told["outcome"] in ("read", "refused"):
                results.count(part, told["outcome"])
            else:
                reader, content = make_input(told["done"], seed, readers, seeds)
                about = f"seed {seed}, input {told['done']}\n{told['about']}"
                results.find(Finding(part, told["outcome"], about, content, reader.suffix))
        timer.cancel()
    code = process.wait()
    reading.join()
    if process.stderr:
        process.stderr.close()
    if code == 0:
        return None
    if begun < start:
        raise RuntimeError(f"the process of the readers does not begin:\n{''.join(errors)[-3000:]}")
    if killed.is_set():
        return begun, f"more than {WALL_SECONDS:.0f} s, and deaf"
    return begun, f"the process ended with {code}: {''.join(errors)[-200:].strip()}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    for name in ("folder", "seed", "start", "stop"):
        parser.add_argument(name)
    parser.add_argument("--told", type=int, required=True)
    parser.add_argument("only", nargs="*")
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    warnings.simplefilter("error", RuntimeWarning)  # of NumPy: products that overflow
    numbers = range(int(asked.start), int(asked.stop))
    work(make_workspace(Path(asked.folder)), int(asked.seed), numbers, asked.only, asked.told)
