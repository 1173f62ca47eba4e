"""Runs in parallel: one process per device, each given the next run when its last one is over."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TextIO

from atonce.devices import device_names
from atonce.errors import TrainingError, UserError, option
from atonce.recipes.recipe_files import build
from atonce.storage import make_folder, storage_errors
from atonce.studies.study_folder import RunResult, read_result
from atonce.studies.study_runs import PlannedRun, StudyCallback, execute_run, require_one_data_set
from atonce.threads import shared_environment
from atonce.untrusted_files import open_in_place

_WORKER_COMMAND = (sys.executable, "-m", "atonce", "ablate-worker")
"""A process that calls `execute_request` with its standard input."""


def parse_devices(text: str) -> list[str]:
    """Read the names of devices, separated by commas: "cuda:0,cuda:1".

    Raises:
        TrainingError: not a device, or none that is here.
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    known = device_names()
    wrong = [name for name in names if name not in known]
    if wrong or not names:
        raise TrainingError(option("devices", text), f"some of {', '.join(known)}, separated by commas")
    return names


def run_in_parallel(
    planned: Sequence[PlannedRun],
    data: Path,
    *,
    devices: Sequence[str],
    commit: str = "",
    callback: StudyCallback | None = None,
) -> None:
    """Execute the runs that are not over, with a process for each run and a device for each process.

    Args:
        devices: names, as `parse_devices` returns them; one run at a time on each.
        commit: that of atonce, for the results.

    Raises:
        UserError, KeyboardInterrupt: as `run_sequentially`.
        RuntimeError: a process died; its worker.log says why.
    """
    waiting = deque((number, run) for number, run in enumerate(planned, 1) if read_result(run.folder) is None)
    pool = _WorkerPool(
        devices=len(devices),
        waiting=waiting,
        total=len(planned),
        data=data,
        commit=commit,
        callback=callback or StudyCallback(),
    )
    threads = [threading.Thread(target=pool.work, args=(device,), daemon=True) for device in devices]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            thread.join()
    except KeyboardInterrupt:
        pool.stop()
        for thread in threads:
            thread.join()
        raise
    if pool.errors:
        raise pool.errors[0]
    require_one_data_set(planned)


@dataclass(kw_only=True)
class _WorkerPool:
    """The state that the threads of a parallel study share.

    Each thread waits for its process; the lock is held only to take a run or to call the callback.

    Attributes:
        devices: number of them, and of the processes at a time.
        waiting: runs that no thread has taken yet, each with its number of `total`.
        running: the processes.
    """

    devices: int
    waiting: deque[tuple[int, PlannedRun]]
    total: int
    data: Path
    commit: str
    callback: StudyCallback
    lock: threading.Lock = field(default_factory=threading.Lock)
    errors: list[Exception] = field(default_factory=list)
    running: list[subprocess.Popen[str]] = field(default_factory=list)

    def work(self, device: str) -> None:
        """Execute one run after the other on a device until none waits; the target of a thread."""
        while True:
            try:
                with self.lock:
                    if not self.waiting:
                        return
                    number, run = self.waiting.popleft()
                    self.callback.on_run_start(run, number=number, total=self.total, device=device)
                result = self._execute(run, device)
                with self.lock:
                    self.callback.on_run_end(run, result)
            except Exception as error:
                self.errors.append(error)
                self.stop()

    def stop(self) -> None:
        """Start no more runs; those that are running save their states and end."""
        with self.lock:
            self.waiting.clear()
            for process in self.running:
                _close_input(process)

    def _execute(self, run: PlannedRun, device: str) -> RunResult:
        """Execute a run in a process of its own; what it prints goes into worker.log."""
        with _open_log(make_folder(run.folder) / "worker.log") as log:
            began = log.tell()
            process = subprocess.Popen(
                _WORKER_COMMAND,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                text=True,
                env=device_environment(device, self.devices),
            )
            with self.lock:
                self.running.append(process)
            assert process.stdin
            process.stdin.write(format_request(run, self.data, self.commit) + "\n")
            process.stdin.flush()
            code = process.wait()
            with self.lock:
                self.running.remove(process)
            _close_input(process)
            log.seek(began)
            output = log.read().strip().splitlines()
        result = read_result(run.folder)
        if code == 0 and result:
            return result
        if code == 2 and output:
            raise UserError(f"{run.title}: {output[-1].removeprefix('atonce: ')}")
        if code < 0:
            raise UserError(
                f"{run.title}: its process was ended by {_signal_name(-code)}, as systems do when the memory is full",
                "processes that are left to finish",
                f"end other programs, or name fewer {option('devices')}; the same call goes on with it",
            )
        raise RuntimeError(f"{run.title}: its process ended with code {code}; see {run.folder / 'worker.log'}")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def execute_request(stream: TextIO) -> None:
    """Execute the run that a line of `stream` asks for; save its state and stop when the stream ends before it.

    This is what a worker process does with its standard input, in its main thread.

    Raises:
        UserError: the line is no request; the run could not begin, or write.
        KeyboardInterrupt: the stream has ended; the state has been saved.
    """
    run, data, commit = parse_request(stream.readline())

    def interrupt_at_end() -> None:
        # The end of the input is the end of the parent, or its wish: save the state and stop.
        stream.read()
        os.kill(os.getpid(), signal.SIGINT)

    # From a background job of a shell, the signal would be ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Thread(target=interrupt_at_end, daemon=True).start()
    execute_run(run, data, commit=commit)


def format_request(run: PlannedRun, data: Path, commit: str) -> str:
    """Write what a worker has to know as one line of JSON."""
    recipe = run.recipe.model_dump(mode="json")
    words = {"variant": run.variant, "seed": run.seed, "folder": str(run.folder), "data": str(data)}
    return json.dumps({**words, "recipe": recipe, "commit": commit})


def parse_request(line: str) -> tuple[PlannedRun, Path, str]:
    """Read a line of `format_request`: the run, the data, the commit. Raises UserError: it is not such a line."""
    try:
        data = json.loads(line)
        recipe = build(data["recipe"], "of the request")
        run = PlannedRun(str(data["variant"]), int(data["seed"]), recipe, Path(data["folder"]))
        return run, Path(data["data"]), str(data["commit"])
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"a request that cannot be read: {error!r}", "a line from `atonce ablate`") from None


def device_environment(device: str, processes: int = 1) -> dict[str, str]:
    """Return environment variables with which a process sees one device only, and has its share of the threads.

    GPUs are counted among those that this process sees.

    Args:
        processes: that run at the same time.
    """
    variables = shared_environment(processes)
    if device == "cpu":
        variables |= {"ACCELERATE_USE_CPU": "true", "CUDA_VISIBLE_DEVICES": ""}
    else:
        index = int(device.partition(":")[2])
        visible = variables.get("CUDA_VISIBLE_DEVICES", "")
        variables["CUDA_VISIBLE_DEVICES"] = visible.split(",")[index].strip() if visible else str(index)
    return variables


def _close_input(process: subprocess.Popen[str]) -> None:
    """Tell a worker to save and end by closing its input, which happens by itself when this process is killed."""
    if process.stdin and not process.stdin.closed:
        try:
            process.stdin.close()
        except BrokenPipeError:
            return


@contextmanager
def _open_log(path: Path) -> Iterator[IO[str]]:
    """Open a file to append to and read from. Raises StorageError."""
    with storage_errors(path):
        descriptor = open_in_place(path, os.O_RDWR | os.O_APPEND)
        file = os.fdopen(descriptor, "a+", encoding="utf-8")
    with file:
        file.seek(0, os.SEEK_END)
        yield file
