"""Beside busy programs: training and prediction as they come, against torch with a fixed number of threads."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import psutil
from numpy.typing import NDArray

from atonce.inference import NetworkPredictor
from atonce.recipes import load_recipe
from atonce.streets import render_scene, write_streets
from atonce.threads import VARIABLE, affinity, physical_cores
from atonce.training.callbacks import Callback
from atonce.training.loop import update
from atonce.training.setup import set_up
from atonce.training.step_log import StepLog
from benchmarks.inference_section import wanted
from benchmarks.results import Section
from benchmarks.schedule import Schedule
from benchmarks.timing import Repetitions, take_turns
from benchmarks.workers import Job, crew

OURS = "atonce, as it comes"
TRAINING, PREDICTION = "training", "prediction"


class Load(NamedTuple):
    """Programs that spin while something is measured."""

    name: str
    processes: int
    pinned: bool = False


LOADS = (Load("idle", 0), Load("one busy, pinned to a core", 1, True), Load("two busy", 2), Load("four busy", 4))

NOTE = (
    "The recipe `streets` (the demo) on generated streets: training steps of 8 pictures with decoding and "
    "augmentation, and predictions of 480x360, one after the other, in torch; beside programs that do nothing but "
    "spin. The first row is what a user gets; the others compute with a fixed number of threads that wait as it says "
    "(*spinning* is how torch comes). A setting is warm when it has worked for {warm:g} s beside the load, in which "
    "time the first row finds its number of threads."
)

_LIBRARY_VARIABLES = ("OMP_", "GOMP_", "KMP_", "RAYON_", VARIABLE)

_SPIN = "import os\nparent = os.getppid()\nwhile os.getppid() == parent:\n    for _ in range(100000): pass"
"""A program that is busy as long as whoever started it lives."""


@dataclass(frozen=True)
class Size:
    """What a repetition goes through.

    Attributes:
        streets: training pictures that there are; a step takes 8 of them.
        overrides: of the recipe.
        warm: seconds that each setting works beside a load before it is measured.
        rounds: repetitions of each beside a load; beside nobody three times as many, since less is at stake there.
    """

    steps: int = 3
    pictures: int = 5
    streets: int = 64
    size: tuple[int, int] = (180, 240)
    predicted: tuple[int, int] = (360, 480)
    overrides: tuple[str, ...] = ()
    warm: float = 2.0
    rounds: int = 3


QUICK = Size(2, 2, 4, (48, 64), (48, 64), ("data.crop=[32,32]", "train.batch_size=2"), 0.0, 1)


def settings() -> dict[str, dict[str, str]]:
    """Settings by name: variables of the environment. `KMP_BLOCKTIME` says nothing to GNU's OpenMP, and to atonce that
    the user has decided how threads wait."""
    cores = physical_cores()
    found: dict[str, dict[str, str]] = {OURS: {}}
    for count in sorted({cores, max(1, cores - 1)} | {1}, reverse=True):
        name = f"{count} thread{'s' * (count > 1)}"
        if count == 1:
            found[name] = {VARIABLE: "1"}
            continue
        found[f"{name}, spinning"] = {VARIABLE: str(count), "KMP_BLOCKTIME": "200"}
        found[f"{name}, short spins"] = {VARIABLE: str(count)}
        found[f"{name}, passive"] = {VARIABLE: str(count), "OMP_WAIT_POLICY": "passive"}
    return found


class Work:
    """Training and prediction of the demo, as a contestant: a case is one of the two.

    Args:
        data: streets, as `write_streets` leaves them.
        folder: for the run.
    """

    def __init__(self, data: Path, folder: Path, size: Size, seed: int) -> None:
        recipe = load_recipe("streets", [f"train.seed={seed}", "train.max_minutes=null", *size.overrides])
        self.size, self.step = size, 0
        self.run = set_up(recipe, data, folder)
        self.log = StepLog(self.run, Callback())
        self.image: NDArray[np.uint8] = render_scene(seed, size.predicted).image
        self.predictor = NetworkPredictor(self.run.model_file())

    def prepare(self, case: str) -> Job:
        return self._train if case.startswith(TRAINING) else self._predict

    def _train(self) -> None:
        run, steps = self.run, self.size.steps
        run.wrapped.train()
        for _, batch in run.stream.batches(self.step, self.step + steps):
            with run.threads.work():
                update(run, batch, self.log)
        self.step += steps

    def _predict(self) -> None:
        self.predictor.model.eval()
        for _ in range(self.size.pictures):
            self.predictor(self.image)


def run(files: Path, size: Size, seed: int, only: Sequence[str], schedule: Schedule) -> Section:
    """All loads, one after the other, in which the settings take turns.

    Args:
        files: a folder for streets and runs.
        only: words that a setting's name must hold one of; none takes all.
    """
    chosen = {name: variables for name, variables in settings().items() if wanted(name, only)}
    others = [name for name in chosen if name != OURS]
    section = Section("busy", "Beside busy programs", NOTE.format(warm=size.warm), tuple(others[-1:]))
    data = write_streets(files / "streets", train=size.streets, val=1, seed=seed, size=size.size)
    makers = {name: partial(Work, data, files / f"run-{i}", size, seed) for i, name in enumerate(chosen)}
    clean = {name: value for name, value in os.environ.items() if not name.startswith(_LIBRARY_VARIABLES)}
    environments: dict[str, Mapping[str, str]] = {name: clean | variables for name, variables in chosen.items()}
    failed: dict[str, str] = {}
    schedule.say(f"starting {len(makers)} settings")
    with crew(makers, failed, environments) as runners:
        section.lose("all loads", failed)
        for load in LOADS:
            rounds = size.rounds if load.processes else 3 * size.rounds
            repetitions = Repetitions(rounds, rounds, size.warm)
            with spinning(load):
                for kind, pictures in ((TRAINING, size.steps * _batch(size)), (PREDICTION, size.pictures)):
                    failed = {}
                    found = take_turns(runners, kind, repetitions, 0, failed)
                    section.add(case_of(kind, load), found, pictures=pictures)
                    section.lose(case_of(kind, load), failed)
            schedule.say(load.name)
    return section


def case_of(kind: str, load: Load) -> str:
    """Name a case of the section."""
    return f"{kind}, {load.name}"


def _batch(size: Size) -> int:
    return load_recipe("streets", size.overrides).train.batch_size


@contextmanager
def spinning(load: Load) -> Iterator[list[psutil.Process]]:
    """Have processes spin; pinned ones on the first core of this process, where the system can pin."""
    processes = []
    with ExitStack() as stack:
        for _ in range(load.processes):
            process = stack.enter_context(subprocess.Popen([sys.executable, "-c", _SPIN]))
            stack.callback(process.kill)
            processes.append(psutil.Process(process.pid))
            if load.pinned and hasattr(psutil.Process, "cpu_affinity"):
                processes[-1].cpu_affinity([min(affinity())])
        yield processes
