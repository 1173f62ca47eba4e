"""python -m benchmarks: one command, one run; `make bench` is the same."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from atonce.devices import usable_device
from atonce.errors import UserError
from atonce.storage import make_folder, write_text
from benchmarks import busy, folders, ideas, inference_section, peak, reading, starting, time_to_accuracy, training
from benchmarks.inference import Setting
from benchmarks.machine import about
from benchmarks.operations import Cell
from benchmarks.results import Report
from benchmarks.schedule import Schedule
from benchmarks.table import markdown
from benchmarks.targets import judge
from benchmarks.timing import Clock, Repetitions

SHARES = {
    "peak before": 0.02,
    "start": 0.04,
    "data": 0.05,
    "folders": 0.08,
    "inference": 0.48,
    "training": 0.27,
    "large": 0.05,
    "ideas": 0.0,
    "busy": 0.0,
    time_to_accuracy.KEY: 0.0,
    "peak after": 0.01,
}
"""Of the time; what a part leaves goes to the next."""

SECTIONS = ("start", "data", "folders", "inference", "training", "large")
FURTHER = ("ideas", "busy", time_to_accuracy.KEY)
"""Measured only when asked for: what was tried, and what takes longer; `busy` 6 minutes, whatever `--minutes` says."""


@dataclass(frozen=True)
class Plan:
    """What is measured, in full or in small.

    Attributes:
        large: side of the huge picture.
        busy: what is done beside busy programs.
        accuracy: what is trained until it is good enough; budgets and weights are asked for.
    """

    inference: tuple[Cell, ...]
    training: tuple[Cell, ...]
    products: tuple[int, ...]
    repetitions: Repetitions
    streets: reading.Streets
    folders: folders.Pictures
    large: int
    busy: busy.Size
    accuracy: time_to_accuracy.Plan


FULL = Plan(
    inference=tuple(Cell(*size, batch) for batch in (1, 8) for size in ((160, 576), (360, 480), (375, 1242))),
    training=(Cell(160, 576, 2), Cell(360, 480, 1)),
    products=(2048, 4096),
    repetitions=Repetitions(),
    streets=reading.Streets(),
    folders=folders.Pictures(),
    large=10_000,
    busy=busy.Size(),
    accuracy=time_to_accuracy.Plan(),
)
QUICK = Plan(
    inference=(Cell(32, 48, 1), Cell(40, 33, 2)),
    training=(Cell(32, 48, 1),),
    products=(128,),
    repetitions=Repetitions(1, 1, warm=0),
    streets=reading.Streets((48, 64), 8, (32, 32)),
    folders=folders.Pictures(6, (48, 64)),
    large=300,
    busy=busy.QUICK,
    accuracy=time_to_accuracy.Plan(
        overrides=(
            "data.format=null",
            "model.width=0.125",
            "model.head_width=16",
            "train.steps=4",
            "data.crop=[32,48]",
        ),
        head_width=16,
        validated=1,
    ),
)


def main(words: Sequence[str] | None = None) -> None:
    """Measure, write bench.md and bench.json, print the Markdown. Exit code 2: the user's mistake."""
    asked = _parser().parse_args(words)
    try:
        report = run(asked)
        text = markdown(report)
        write_text(asked.out / "bench.json", json.dumps(report.to_json(), indent=1) + "\n")
        write_text(asked.out / "bench.md", text)
    except UserError as error:
        sys.stderr.write(f"benchmarks: {error}\n")
        sys.exit(2)
    print(f"\n{text}\n{asked.out / 'bench.md'}")


def run(asked: argparse.Namespace) -> Report:
    """All sections, one after the other. Raises UserError: there is no such device, or `--out` cannot be written."""
    usable_device(asked.device)
    make_folder(asked.out)
    setting = Setting(asked.head_width, asked.classes, asked.seed, asked.device)
    plan = QUICK if asked.quick else FULL
    report = Report(about(asked.seed, asked.device))
    files = Path(tempfile.mkdtemp(prefix=".bench-", dir=asked.out))
    # A quick run is short because it is small; nothing is left out of it.
    clock = Clock(3600 if asked.quick else 60 * asked.minutes, SHARES)
    try:
        peak.run(report, "before", setting, plan.products, clock, plan.repetitions)
        for name in asked.sections:
            _section(name, report, plan, setting, asked, files, clock)
        peak.run(report, "after", setting, plan.products[:1], clock, plan.repetitions)
    finally:
        shutil.rmtree(files, ignore_errors=True)
    report.about["seconds"] = round(clock.used())
    report.targets = judge(report)
    return report


def _section(
    name: str, report: Report, plan: Plan, setting: Setting, asked: argparse.Namespace, files: Path, clock: Clock
) -> None:
    schedule = Schedule(clock, name, 1, plan.repetitions)
    schedule.say("begins")
    if name == "start":
        section = starting.run(files, setting.seed, clock, plan.repetitions)
    elif name == "data":
        section = reading.run(asked.data, plan.streets, files, setting.seed, clock, plan.repetitions)
    elif name == "folders":
        section = folders.run(
            asked.data,
            asked.model,
            plan.folders,
            files,
            seed=setting.seed,
            device=setting.device,
            clock=clock,
            repetitions=plan.repetitions,
        )
    elif name == "inference":
        schedule.cases = len(plan.inference)
        section = inference_section.run(setting, plan.inference, files, asked.contestants, schedule)
    elif name == "training":
        schedule.cases = len(plan.training)
        section = training.run(setting, plan.training, asked.contestants, schedule)
    elif name == "ideas":
        schedule.cases = 2
        section = ideas.run(setting, plan.inference[0], plan.training[0], asked.contestants, schedule)
    elif name == "busy":
        section = busy.run(files, plan.busy, setting.seed, asked.contestants, schedule)
    elif name == time_to_accuracy.KEY:
        wanted = replace(plan.accuracy, budgets=asked.budgets, weights=asked.weights)
        section = time_to_accuracy.run(asked.data, wanted, files, setting.seed, asked.contestants, schedule)
    else:
        section = starting.run_large(report, files, plan.large, setting.seed, clock)
    report.sections.append(section)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m benchmarks", description="Ours against the peers, in one run.")
    add = parser.add_argument
    add("--out", type=Path, default=Path("runs/bench"), help="folder for bench.md and bench.json")
    add("--minutes", type=_positive, default=11.0, help="what the run may take (default 11)")
    add("--quick", action="store_true", help="tiny sizes, one repetition: does it run?")
    add("--head-width", type=_count, default=4096, help="channels of fc6 and fc7 (default 4096)")
    add("--classes", type=_count, default=2, help="channels of the scores (default 2)")
    add("--seed", type=int, default=0, help="of weights, pictures and labels")
    add("--device", default="cpu", help="of torch: cpu, cuda")
    add("--data", type=Path, help="a data set to read; generated streets by default")
    add("--model", type=Path, help="a model file of the data's classes for folders; random weights by default")
    add("--weights", type=Path, help="VGG-16's convolutions, for time-to-accuracy")
    add("--budgets", type=_minutes, default=(8.0, 22.0), help="minutes of its trainings (default 8,22)")
    add("--sections", type=_sections, default=SECTIONS, help=f"some of {','.join((*SECTIONS, *FURTHER))}")
    add("--contestants", type=_words, default=(), help="only those whose names hold one of these words")
    return parser


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


def _sections(text: str) -> tuple[str, ...]:
    known = (*SECTIONS, *FURTHER)
    wrong = [word for word in _words(text) if word not in known]
    if wrong:
        raise argparse.ArgumentTypeError(f"there is no section {', '.join(wrong)}; some of {','.join(known)}")
    return tuple(name for name in known if name in _words(text))


def _count(text: str) -> int:
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"{number}; expected 1 or more")
    return number


def _positive(text: str) -> float:
    if not (number := float(text)) > 0:
        raise argparse.ArgumentTypeError(f"{number}; expected more than 0")
    return number


def _minutes(text: str) -> tuple[float, ...]:
    return tuple(_positive(word) for word in _words(text))


if __name__ == "__main__":
    main()
