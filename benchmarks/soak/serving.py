"""The server at more than its capacity: right answers, refusals that can be read, health, and memory that stays."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from atonce.inference import load
from benchmarks.soak.clients import Client, Told, deaf, probe, silent, slow
from benchmarks.soak.readers import Workspace
from benchmarks.soak.results import Finding, Results, Stopwatch

QUEUE = 16
_SAMPLE_SECONDS = 0.5
_GROWTH_BYTES = 60_000_000
"""By which memory may grow from the first to the last quarter; allocators keep what they have been given."""

_GROWTH_FILES = 40


@dataclass
class Server:
    """A server in a process of its own, on this machine alone.

    Attributes:
        samples: (bytes of memory, open files), one for each half second.
    """

    process: subprocess.Popen[str]
    port: int
    samples: list[tuple[int, int]]
    errors: list[str]


@contextmanager
def serving(model: Path, *options: str, source: Path | None = None) -> Iterator[Server]:
    """Start a server, and end it with SIGTERM.

    Args:
        source: the folder src/ of another version to be served by; None takes the one that is imported here.
    """
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    if source is not None:
        environment["PYTHONPATH"] = str(source)
    limits = ["--port", "0", "--queue", str(QUEUE), "--threads", "1", *options]
    process = subprocess.Popen(
        [sys.executable, "-m", "atonce", "serve", str(model), *limits],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace", env=environment,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stderr is not None
    errors: list[str] = []
    reading = threading.Thread(target=errors.extend, args=(process.stderr,))
    reading.start()
    line = process.stdout.readline()
    try:
        if "http://" not in line:
            raise RuntimeError(f"the server does not start: {line}{''.join(errors)}")
        server = Server(process, int(line.split("http://")[1].split(" ")[0].rpartition(":")[2]), [], errors)
        stop = threading.Event()
        sampling = threading.Thread(target=_sample, args=(server, stop))
        sampling.start()
        try:
            yield server
        finally:
            stop.set()
            sampling.join()
    finally:
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(60)
        if process.poll() is None:
            process.kill()
        process.stdout.close()
        reading.join()
        process.stderr.close()


def _sample(server: Server, stop: threading.Event) -> None:
    folder = Path(f"/proc/{server.process.pid}")
    while folder.is_dir() and not stop.wait(_SAMPLE_SECONDS):
        with contextlib.suppress(OSError):
            pages = int((folder / "statm").read_text().split()[1])
            server.samples.append((pages * os.sysconf("SC_PAGE_SIZE"), len(os.listdir(folder / "fd"))))  # noqa: PTH208


def pictures(model: Path, count: int = 6) -> list[tuple[bytes, bytes]]:
    """Make pictures of several sizes, and the label pictures that they must be answered with."""
    segment = load(model, device="cpu")
    found = []
    for index in range(count):
        image = np.random.default_rng(index).integers(0, 256, (48 + 8 * index, 64, 3), np.uint8)
        file, labels = io.BytesIO(), io.BytesIO()
        Image.fromarray(image).save(file, "PNG")
        segment(image).label_image().save(labels, "PNG", compress_level=1)
        found.append((file.getvalue(), labels.getvalue()))
    return found


def load_server(results: Results, space: Workspace, clock: Stopwatch) -> None:
    """Load the server for a time, with twice as many clients as it has capacity for, and more that do it harm."""
    part, told = "serve", Told()
    files = pictures(space.model)
    with serving(space.model) as server:
        asyncio.run(_crowd(server.port, files, told, max(5.0, clock.seconds - 15)))
        began = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        code: int | None = None
        with contextlib.suppress(subprocess.TimeoutExpired):
            code = server.process.wait(30)
    for outcome, number in told.counts.items():
        results.count(part, outcome, number)
    problems = list(dict.fromkeys(told.wrong))
    if code != 0:
        problems.append(f"SIGTERM ended it with {code}")
    said = "".join(server.errors)
    if "Traceback" in said or '" 500' in said:
        problems.append("a traceback or a 500 in its log")
    if not told.counts["200"]:
        problems.append("not one answer")
    problems += _growth(server.samples)
    for problem in problems:
        results.find(Finding(part, problem, f"{told.wrong.count(problem)} times\n{said[-8000:]}"))
    memory = [rss / 1e6 for rss, _ in server.samples]
    results.notes.append(
        f"serve: {told.counts['200'] / max(1.0, clock.seconds - 15):.0f} right answers a second, memory "
        f"{min(memory):.0f} to {max(memory):.0f} MB, at most {max(files for _, files in server.samples)} open files, "
        f"ended {time.monotonic() - began:.1f} s after SIGTERM"
    )


async def _crowd(port: int, files: Sequence[tuple[bytes, bytes]], told: Told, seconds: float) -> None:
    until = asyncio.get_running_loop().time() + seconds
    capacity = QUEUE + 2
    patient, impatient = (Client(port, files, told, patient=how) for how in (True, False))
    large = io.BytesIO()
    Image.fromarray(np.zeros((700, 1000, 3), np.uint8)).save(large, "PNG")
    tasks = [patient.run(number, until) for number in range(capacity)]
    tasks += [impatient.run(number, until) for number in range(capacity)]
    tasks += [slow(port, files[0][0], until) for _ in range(10)]
    tasks += [silent(port, until) for _ in range(60)]
    tasks += [deaf(port, large.getvalue(), until) for _ in range(2)]
    tasks.append(probe(port, told, until))
    await asyncio.gather(*tasks)


def _growth(samples: Sequence[tuple[int, int]]) -> list[str]:
    """Tell whether memory or open files grow without end: more in the last quarter than before, and still growing.

    Buffers of the crowd and of torch come to their size within a minute or two, on a busy machine later.
    """
    if len(samples) < 40:
        return []
    quarters = [samples[len(samples) * i // 4 : len(samples) * (i + 1) // 4] for i in (1, 2, 3)]
    memory, files = ([max(sample[i] for sample in quarter) for quarter in quarters] for i in (0, 1))
    found = []
    if _keeps_growing(memory, _GROWTH_BYTES):
        found.append(f"memory grew by {(memory[-1] - memory[0]) / 1e6:.0f} MB")
    if _keeps_growing(files, _GROWTH_FILES):
        found.append(f"open files grew by {files[-1] - files[0]}")
    return found


def _keeps_growing(quarters: Sequence[int], limit: int) -> bool:
    second, third, last = quarters
    return last - second > limit and last - third > limit / 4
