"""Progress bars and tables."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from atonce.training.callbacks import Callback, StepRecord

_QUIET = os.environ.get("LOCAL_RANK", "0") != "0"

console = Console(stderr=True, quiet=_QUIET)
"""Progress and notes."""

results = Console(quiet=_QUIET)
"""What the user asked for, on stdout."""


def bars() -> Progress:
    """Progress bars on stderr; on a terminal only."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, TextColumn("{task.fields[about]}"), console=console, disable=not console.is_terminal)


@contextmanager
def progress_of(what: str) -> Iterator[Callable[[int, int], None]]:
    """A bar that is moved by calling with (done, total)."""
    with bars() as progress:
        task = progress.add_task(what, about="")
        yield lambda done, total: progress.update(task, completed=done, total=total)


class Watcher(Callback):
    """Draws what training tells: a bar for the steps, one for whatever else takes time, lines for results."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.tasks: dict[str, TaskID] = {}
        self.running: tuple[float, str] = (math.nan, "")

    def _bar(self, name: str, done: float, total: float, about: str = "") -> None:
        if name not in self.tasks:
            self.tasks[name] = self.progress.add_task(name, total=total or None, about=about)
        self.progress.update(self.tasks[name], completed=done, total=total or None, about=about)
        if done >= total > 0 and name != "training":
            self.progress.remove_task(self.tasks.pop(name))

    def checking(self, done: int, total: int) -> None:
        self._bar("reading the data", done, total)

    def downloading(self, done: int, total: int) -> None:
        self._bar("fetching weights", done, total)

    def validating(self, done: int, total: int) -> None:
        self._bar("validating", done, total)

    def note(self, text: str) -> None:
        # Paths and class names may hold what rich takes for markup.
        console.print(text, style="dim", highlight=False, markup=False, soft_wrap=True)

    def stepped(self, step: int, steps: int, loss: float) -> None:
        running = loss if math.isnan(self.running[0]) else 0.95 * self.running[0] + 0.05 * loss
        self.running = (running, self.running[1])
        self._bar("training", step, steps, f"loss {running:.3f}{self.running[1]}")

    def recorded(self, record: StepRecord) -> None:
        seen = record.train_mean_iou
        about = "" if seen is None or math.isnan(seen) else f"  train mIoU {seen:.3f}"
        self.running = (self.running[0], f"{about}  {record.pictures_per_second:.1f} pictures/s")
        if not console.is_terminal:
            console.print(f"step {record.step}: loss {record.loss:.4f}{self.running[1]}", highlight=False)

    def validated(self, row: dict[str, Any], best: bool) -> None:
        text = f"step {row['step']}: mean IoU {_share(row['mean_iou'])}, pixel accuracy {_share(row['pixel_accuracy'])}"
        console.print(text + (" (best so far)" if best else ""), highlight=False)


@contextmanager
def watching() -> Iterator[Watcher]:
    """A Watcher whose bars are gone when the work is done, or failed."""
    with bars() as progress:
        yield Watcher(progress)


def print_scores(scores: Mapping[str, Any], title: str) -> None:
    """Evaluation scores (see ConfusionMatrix.scores) as a table on stdout, with what its reader has to know."""
    results.print(title, style="italic", highlight=False, markup=False, soft_wrap=True)
    results.print(_scores_table(scores))
    if scores["absent"]:
        results.print(f"absent, not in the mean: {', '.join(scores['absent'])}", highlight=False, markup=False)
    if scores["predicted_only"]:
        names = ", ".join(scores["predicted_only"])
        results.print(f"predicted but not in the ground truth, IoU 0: {names}", highlight=False, markup=False)


def _scores_table(scores: Mapping[str, Any]) -> Table:
    table = Table()
    for column in ("class", "IoU", "accuracy", "precision", "pixels"):
        table.add_column(column, justify="left" if column == "class" else "right")
    total = max(1, int(scores["pixels"]))
    for row in scores["classes"]:
        share = f"{100 * row['pixels'] / total:.2f} %"
        iou = "absent" if row["iou"] is None else _share(row["iou"])
        table.add_row(Text(str(row["name"])), iou, _share(row["accuracy"]), _share(row["precision"]), share)
    table.add_section()
    table.add_row("mean", _share(scores["mean_iou"]), _share(scores["mean_accuracy"]), "", "")
    table.add_row("frequency-weighted", _share(scores["frequency_weighted_iou"]), "", "", "")
    table.add_row("pixel accuracy", "", _share(scores["pixel_accuracy"]), "", "")
    return table


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"
