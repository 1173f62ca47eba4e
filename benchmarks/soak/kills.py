"""Kills at random moments: what was killed is gone on with, and comes to the same as if it had been left alone."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from random import Random

from benchmarks.soak.commands import LONGEST, Commands, Ended
from benchmarks.soak.readers import Workspace
from benchmarks.soak.results import Finding, Results, Stopwatch, said_badly
from benchmarks.soak.work import Content, Words, Work, all_work, leftovers

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)

_ENDINGS = {
    signal.SIGKILL: {-9: "killed"},
    signal.SIGTERM: {-15: "ended by the signal", 143: "stopped", 130: "stopped"},
    signal.SIGINT: {130: "stopped", -2: "ended by the signal", 2: "stopped before it was there"},
}
_MAIN = ", in main"
"""Stands in every traceback of a command that has begun."""

_MOST_KILLS = 3

_ORPHAN_SECONDS = 60.0
"""For the workers of a launcher that was killed to notice it."""


class Killer:
    """Does a piece of work again and again, and kills it.

    Args:
        folder: for the work.
    """

    def __init__(self, results: Results, commands: Commands, folder: Path, seed: int) -> None:
        self._results, self._commands, self._folder = results, commands, folder
        self._seed = seed
        self._expected: dict[str, tuple[Content, float]] = {}
        folder.mkdir(parents=True, exist_ok=True)

    def reference(self, work: Work) -> tuple[Content, float] | None:
        """Do the work once without a kill: what it makes, and the seconds it takes. None where that fails."""
        if work.name not in self._expected:
            folder = self._empty()
            ended = self._start(work, work.words(folder), None)
            if wrong := self._wrong(ended, {0: "done"}):
                self._find(work, f"without a kill: {wrong}", ended, 0)
                return None
            self._expected[work.name] = (work.content(folder), ended.seconds)
        return self._expected[work.name]

    def kill(self, work: Work, number: int) -> None:
        """Do the work, kill it up to three times, go on with it to its end, and compare."""
        reference = self.reference(work)
        if reference is None:
            return
        expected, seconds = reference
        random = Random(f"{self._seed}-{work.name}-{number}")
        folder = self._empty()
        words = work.words(folder)
        for _ in range(random.randint(1, _MOST_KILLS)):
            name = random.choice(SIGNALS)
            ended = self._start(work, words, (random.uniform(0, 1.1 * seconds), name))
            if ended.code == 0 and not said_badly(0, ended.err, {0: "done"}):
                self._compare(work, folder, expected, ended, number)
                return
            if name is not signal.SIGKILL and _MAIN not in ended.err and "KeyboardInterrupt" in ended.err:
                ended = replace(ended, code=130, err="")  # it came before the command had begun
            if wrong := self._wrong(ended, _ENDINGS[name]):
                self._find(work, f"after {name.name}: {wrong}", ended, number)
            self._results.count(f"kill: {work.name}", name.name)
            words = work.again(folder)
        ended = self._start(work, words, None)
        if ended.code == 2 and "is still running" in ended.err:
            time.sleep(2)  # what torchrun leaves when it is killed ends by itself
            ended = self._start(work, words, None)
        if wrong := self._wrong(ended, {0: "done"}):
            self._find(work, f"going on: {wrong}", ended, number)
            return
        self._compare(work, folder, expected, ended, number)

    def _compare(self, work: Work, folder: Path, expected: Content, ended: Ended, number: int) -> None:
        try:
            content = work.content(folder)
        except Exception as error:
            self._find(work, f"what was made cannot be read: {type(error).__name__}", ended, number)
            return
        other = sorted(name for name in expected.keys() | content.keys() if expected.get(name) != content.get(name))
        if other:
            self._find(work, f"another {other[0]} than without a kill", ended, number)
        elif left := leftovers(folder):
            self._find(work, f"left behind: {Path(left[0]).suffix or left[0]}", ended, number, "\n".join(left))
        else:
            self._results.count(f"kill: {work.name}", "the same in the end")

    def _start(self, work: Work, words: Words, after: tuple[float, signal.Signals] | None) -> Ended:
        if work.launcher:
            return _run_launcher(work, words, after)
        command = self._commands.start(words)
        if after is not None:
            command.signal_after(*after)
        return command.wait()

    def _wrong(self, ended: Ended, expected: dict[int, str]) -> str | None:
        if ended.code is None:
            return f"it hung for {LONGEST:.0f} s"
        return said_badly(ended.code, ended.err, expected)

    def _find(self, work: Work, what: str, ended: Ended, number: int, more: str = "") -> None:
        about = f"seed {self._seed}, number {number}\n{more}\n--- stdout\n{ended.out}\n--- stderr\n{ended.err[-6000:]}"
        self._results.find(Finding(f"kill: {work.name}", what, about))

    def _empty(self) -> Path:
        folder = self._folder / "work"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        return folder


def _run_launcher(work: Work, words: Words, after: tuple[float, signal.Signals] | None) -> Ended:
    """Run a command over several processes; a signal goes to the one that a shell or a scheduler knows."""
    began = time.monotonic()
    process = subprocess.Popen(
        [*work.launcher, "-m", "atonce", *map(str, words)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace", start_new_session=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    try:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(after[0] if after else 0)
        if after and process.poll() is None:
            process.send_signal(after[1])
        out, err = process.communicate(timeout=LONGEST)
        code: int | None = process.returncode
        if after and code == 1 and ("SignalException" in err or "exitcode" in err):
            # torchrun ends with 1, and says so with a traceback of its own.
            code, err = 130 if after[1] == signal.SIGINT else 143, ""
    except subprocess.TimeoutExpired:
        code, out, err = None, "", ""
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    if orphans := _living(words, _ORPHAN_SECONDS):
        err += f"\nTraceback (most recent call last)\n{len(orphans)} processes outlive their launcher"
    return Ended(code, out, err, time.monotonic() - began)


def _living(words: Words, seconds: float) -> list[int]:
    """Wait for the workers of a launcher that was killed; those that do not end are ended, and listed."""
    folder = next(str(word) for word in words if isinstance(word, Path) and word.name == "run").encode()
    deadline = time.monotonic() + seconds
    while True:
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                if folder in path.read_bytes().split(b"\0"):
                    found.append(int(path.parent.name))
        if not found or time.monotonic() > deadline:
            break
        time.sleep(0.2)
    for pid in found:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return found


def kill_everything(
    results: Results, space: Workspace, commands: Commands, clock: Stopwatch, seed: int, *, short: bool
) -> None:
    """Kill each piece of work in turn until the time is over; in a short soak some of them, once."""
    killer = Killer(results, commands, space.folder / "kills", seed)
    todo = [work for work in all_work(space) if not (short and work.slow)]
    Random(seed).shuffle(todo)
    number = 0
    while not clock.is_over:
        killer.kill(todo[number % len(todo)], number)
        number += 1
