"""Runs side by side: one process per device, each given the next run when it has done its last."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import torch

from atonce.errors import TrainingError, UserError, option
from atonce.recipes.load import build
from atonce.storage import make_folder, storage_errors
from atonce.studies.records import Record, read_record
from atonce.studies.run_study import Observer, Planned, require_one_data_set


def parse_devices(text: str) -> list[str]:
    """`cuda:0,cuda:1` or `cpu` -> names. Raises TrainingError: not a device, or none that is here."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    known = ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
    wrong = [name for name in names if name not in known]
    if wrong or not names:
        raise TrainingError(option("devices", text), f"some of {', '.join(known)}, separated by commas")
    return names


def run_on_devices(
    planned: Sequence[Planned],
    data: Path,
    about: Mapping[str, Any],
    observer: Observer,
    devices: Sequence[str],
    worker: Sequence[str],
) -> None:
    """As `run_study`, with a process for each run and a device for each process.

    Args:
        devices: one run at a time on each.
        worker: the command of a process that reads a line of JSON (see `request_of`) and carries the run out.

    Raises as `run_study` does, and:
        RuntimeError: a process died; its worker.log says why.
    """
    todo = deque((number, run) for number, run in enumerate(planned, 1) if read_record(run.folder) is None)
    crew = _WorkerPool(todo, len(planned), data, about, observer, worker)
    threads = [threading.Thread(target=crew.work, args=(device,), daemon=True) for device in devices]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            thread.join()
    except KeyboardInterrupt:
        crew.stop()
        for thread in threads:
            thread.join()
        raise
    if crew.errors:
        raise crew.errors[0]
    require_one_data_set(planned)


@dataclass
class _WorkerPool:
    """What the threads share. Each waits for its process; the lock is held only to take a run or tell of one."""

    todo: deque[tuple[int, Planned]]
    total: int
    data: Path
    about: Mapping[str, Any]
    observer: Observer
    worker: Sequence[str]
    lock: threading.Lock = field(default_factory=threading.Lock)
    errors: list[Exception] = field(default_factory=list)
    running: list[subprocess.Popen[str]] = field(default_factory=list)

    def work(self, device: str) -> None:
        while True:
            with self.lock:
                if not self.todo:
                    return
                number, run = self.todo.popleft()
                self.observer.begins(run, number, self.total, device)
            try:
                record = self._carry_out(run, device)
                with self.lock:
                    self.observer.ended(run, record)
            except Exception as error:
                self.errors.append(error)
                self.stop()

    def stop(self) -> None:
        """No more runs; those that are running save their states and end."""
        with self.lock:
            self.todo.clear()
            for process in self.running:
                _hang_up(process)

    def _carry_out(self, run: Planned, device: str) -> Record:
        with _log(make_folder(run.folder) / "worker.log") as log:
            began = log.tell()
            process = subprocess.Popen(
                self.worker, stdin=subprocess.PIPE, stdout=log, stderr=log, text=True, env=environment(device)
            )
            with self.lock:
                self.running.append(process)
            assert process.stdin
            process.stdin.write(request_of(run, self.data, self.about) + "\n")
            process.stdin.flush()
            code = process.wait()
            with self.lock:
                self.running.remove(process)
            _hang_up(process)
            log.seek(began)
            said = log.read().strip().splitlines()
        record = read_record(run.folder)
        if code == 0 and record:
            return record
        if code == 2 and said:
            raise UserError(f"{run.title}: {said[-1].removeprefix('atonce: ')}")
        raise RuntimeError(f"{run.title}: its process ended with code {code}; see {run.folder / 'worker.log'}")


def request_of(run: Planned, data: Path, about: Mapping[str, Any]) -> str:
    """One line of JSON: what a worker has to know."""
    recipe = run.recipe.model_dump(mode="json")
    words = {"variant": run.variant, "seed": run.seed, "folder": str(run.folder), "data": str(data)}
    return json.dumps({**words, "recipe": recipe, "about": dict(about)})


def read_request(line: str) -> tuple[Planned, Path, dict[str, Any]]:
    """The same, on the other side. Raises UserError: it is not such a line."""
    try:
        data = json.loads(line)
        recipe = build(data["recipe"], "of the request")
        run = Planned(str(data["variant"]), int(data["seed"]), recipe, Path(data["folder"]))
        return run, Path(data["data"]), dict(data["about"])
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"a request that cannot be read: {error!r}", "a line from `atonce ablate`") from None


def environment(device: str) -> dict[str, str]:
    """For a process that is to see one device only; GPUs are counted among those that this process sees."""
    variables = dict(os.environ)
    if device == "cpu":
        variables |= {"ACCELERATE_USE_CPU": "true", "CUDA_VISIBLE_DEVICES": ""}
    else:
        index = int(device.partition(":")[2])
        visible = variables.get("CUDA_VISIBLE_DEVICES", "")
        variables["CUDA_VISIBLE_DEVICES"] = visible.split(",")[index].strip() if visible else str(index)
    return variables


def _hang_up(process: subprocess.Popen[str]) -> None:
    """Closing its input tells a worker to save and end; that happens by itself when this process is killed."""
    if process.stdin and not process.stdin.closed:
        try:
            process.stdin.close()
        except BrokenPipeError:
            return


@contextmanager
def _log(path: Path) -> Iterator[IO[str]]:
    with storage_errors(path):
        file = path.open("a+", encoding="utf-8")
    with file:
        file.seek(0, os.SEEK_END)
        yield file
