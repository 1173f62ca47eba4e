"""The progress of a training on stderr: bars on a terminal or in a notebook, lines elsewhere."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.progress import Progress, TaskID

from atonce.errors import as_command_line
from atonce.progress import console, progress_bars
from atonce.training.callbacks import Callback, StepRecord
from atonce.training.losses import Losses
from atonce.training.training_run import TrainingRun


class ProgressDisplay(Callback):
    """Draws a bar for the steps, one for whatever else takes time, and lines for results."""

    may_stop = False

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.tasks: dict[str, TaskID] = {}
        self.average_loss = math.nan
        self.rates = ""

    def _draw(self, name: str, done: float, total: float, about: str = "") -> None:
        if name not in self.tasks:
            self.tasks[name] = self.progress.add_task(name, total=total or None, about=about)
        self.progress.update(self.tasks[name], completed=done, total=total or None, about=about)
        if done >= total > 0 and name != "training":
            self.progress.remove_task(self.tasks.pop(name))

    def on_data_check(self, done: int, total: int) -> None:
        self._draw("reading the data", done, total)

    def on_download(self, done: int, total: int) -> None:
        self._draw("fetching weights", done, total)

    def on_validation_progress(self, done: int, total: int) -> None:
        self._draw("validating", done, total)

    def on_note(self, text: str) -> None:
        # Paths and class names may hold what rich takes for markup.
        console.print(as_command_line(text), style="dim", highlight=False, markup=False, soft_wrap=True)

    def on_step(self, run: TrainingRun, losses: Losses) -> None:
        loss, before = losses.total(run.recipe), self.average_loss
        self.average_loss = loss if math.isnan(before) else 0.95 * before + 0.05 * loss
        about = f"loss {self.average_loss:.3f}{self.rates}"
        self._draw("training", run.progress.step, run.recipe.train.steps, about)

    def on_log(self, run: TrainingRun, record: StepRecord) -> None:
        seen = record.train_mean_iou
        about = "" if seen is None or math.isnan(seen) else f"  train mIoU {seen:.3f}"
        self.rates = f"{about}  {record.pictures_per_second:.1f} pictures/s"
        if self.progress.disable:
            console.print(f"step {record.step}: loss {record.loss:.4f}{self.rates}", highlight=False)

    def on_validation_end(self, run: TrainingRun, row: dict[str, Any], *, best: bool) -> None:
        scores = (f"{name} {_score(row[key])}" for name, key in _SCORES.items())
        console.print(f"step {row['step']}: {', '.join(scores)}{' (best so far)' if best else ''}", highlight=False)


_SCORES = {"mean IoU": "mean_iou", "pixel accuracy": "pixel_accuracy"}


@contextmanager
def progress_display() -> Iterator[ProgressDisplay]:
    """Open a `ProgressDisplay` whose bars are gone when the work is done, or failed."""
    with progress_bars() as progress:
        yield ProgressDisplay(progress)


def _score(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"
