"""Disks that fill up at random sizes: one line, exit code 2, nothing half under a final name, nothing left over."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

from benchmarks.soak.commands import Commands, Ended
from benchmarks.soak.readers import Workspace
from benchmarks.soak.results import Finding, Results, Stopwatch, said_badly
from benchmarks.soak.work import Work, all_work, leftovers

_BYTES = 40_000_000
"""The space of the disk, more than any of the work takes."""


def fill_disks(
    results: Results, space: Workspace, commands: Commands, clock: Stopwatch, seed: int, *, short: bool
) -> None:
    """Do each piece of work on a disk that becomes full at a random point, until the time is over."""
    todo = [work for work in all_work(space) if not work.launcher and not (short and work.slow)]
    random = Random(f"{seed}-disks")
    random.shuffle(todo)
    with small_disk(space.folder / "disk") as disk:
        how = "a mounted file system" if disk else "a limit on the size of files (mounting is not allowed here)"
        results.notes.append(f"Disks were filled by {how}.")
        number = 0
        while not clock.is_over:
            _fill(results, commands, todo[number % len(todo)], disk or space.folder / "no disk", bool(disk), random)
            number += 1


@contextmanager
def small_disk(folder: Path) -> Iterator[Path | None]:
    """Mount a small file system in memory; None where that is not allowed."""
    folder.mkdir(exist_ok=True)
    words = ["mount", "-t", "tmpfs", "-o", f"size={_BYTES}", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(words, capture_output=True).returncode == 0
    except OSError:
        mounted = False
    try:
        yield folder if mounted else None
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)


def _fill(results: Results, commands: Commands, work: Work, disk: Path, mounted: bool, random: Random) -> None:
    part = f"full disk: {work.name}"
    folder = disk / "work"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    # Few bytes meet the first file, many the last ones.
    free = int(2 ** random.uniform(12, 23))
    ballast = disk / "ballast"
    if mounted:
        ballast.unlink(missing_ok=True)
        room = shutil.disk_usage(disk).free
        ballast.write_bytes(bytes(max(0, room - free)))
    ended = commands.run(work.words(folder), largest_file=None if mounted else free)
    ballast.unlink(missing_ok=True)
    if wrong := _wrong(ended):
        about = f"{free} bytes were free\n--- stdout\n{ended.out}\n--- stderr\n{ended.err[-6000:]}"
        results.find(Finding(part, wrong, about))
        return
    left = leftovers(folder)
    if left:
        results.find(Finding(part, "left behind", f"{free} bytes were free\n" + "\n".join(left) + ended.err))
        return
    if ended.code == 0:
        results.count(part, "fitted")
        return
    results.count(part, "told")
    # With space there, it goes on, or begins anew where there was nothing to go on with.
    words = work.again(folder)
    again = commands.run(words)
    if wrong := said_badly(again.code, again.err, {0: "done"}):
        about = f"{free} bytes were free\n{ended.err}\n--- then\n{again.out}\n{again.err[-6000:]}"
        results.find(Finding(part, f"going on with space: {wrong}", about))


def _wrong(ended: Ended) -> str | None:
    if ended.code is None:
        return "it hung"
    if wrong := said_badly(ended.code, ended.err, {0: "it fitted", 2: "told"}):
        return wrong
    told = [line for line in ended.err.splitlines() if line.startswith("atonce: ")]
    if ended.code == 2 and not told:
        return "exit code 2 without a line"
    return None
