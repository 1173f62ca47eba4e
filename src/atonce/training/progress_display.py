"""The progress of a training on stderr: bars on a terminal or in a notebook, lines elsewhere."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import fmean
from typing import Any

from atonce.errors import as_command_line
from atonce.progress import ProgressBars, Unit, clock_text, console, progress_bars, terminal_columns
from atonce.text import count_of, wrapped
from atonce.training.callbacks import Callback, StepRecord
from atonce.training.losses import Losses
from atonce.training.run_length import share_done
from atonce.training.training_run import TrainingRun


class ProgressDisplay(Callback):
    """Draws a bar for the run, one for whatever else takes time, and lines for results.

    The bar of the run is that of what ends it, steps or minutes. The loss beside it is the mean of the
    steps since the last line of log.jsonl, so that at the next line it is the loss that stands there.

    Args:
        bars: where it draws.
        seen: notes that are not printed again; those that it prints are added.
    """

    may_stop = False

    def __init__(self, bars: ProgressBars, seen: set[str] | None = None) -> None:
        self.bars = bars
        self.seen = seen
        self.loss: float | None = None
        self.since_line: list[float] = []
        self.line_written = False
        self.validating = False
        self.doing = ""
        self.numbers: tuple[str, ...] = ()
        self.start = (0, 0.0)

    def _draw(self, name: str, done: int, total: int, *, unit: Unit = "") -> None:
        """Draw a bar that goes when it is full."""
        self.bars.draw(name, done, total, unit=unit)
        if done >= total > 0:
            self.bars.remove(name)

    def on_data_check(self, done: int, total: int) -> None:
        self._draw("reading the data", done, total)

    def on_download(self, done: int, total: int) -> None:
        self._draw("fetching weights", done, total, unit="MB")

    def on_calibration(self, done: int, total: int) -> None:
        self._draw("calibrating", done, total)

    def on_validation_progress(self, done: int, total: int) -> None:
        self.validating = done < total
        self._draw("validating", done, total)

    def on_busy(self, what: str) -> None:
        if self.doing:
            self.bars.remove(self.doing)
        self.doing = what
        if what:
            self.bars.draw(what, 0, 0)

    def on_note(self, text: str) -> None:
        if self.seen is not None:
            if text in self.seen:
                return
            self.seen.add(text)
        # Paths and class names may hold what rich takes for markup.
        said = wrapped(as_command_line(text), terminal_columns(console))
        console.print(said, style="dim", highlight=False, markup=False, soft_wrap=True)

    def on_train_start(self, run: TrainingRun) -> None:
        # Where nobody knew how many bytes there are, the bar of a download never was full.
        self.bars.remove("fetching weights")
        self.start = (run.progress.step, run.progress.seconds)
        begun = run.progress.steps_since_log.get("losses", [])
        self.since_line = [Losses(**losses).total(run.recipe) for losses in begun]
        self._draw_run(run)

    def on_step(self, run: TrainingRun, losses: Losses) -> None:
        if self.line_written:
            self.since_line, self.line_written = [], False
        self.since_line.append(losses.total(run.recipe))
        self.loss = fmean(self.since_line)
        self._draw_run(run, self.loss)

    def _draw_run(self, run: TrainingRun, loss: float | None = None) -> None:
        """Draw the bar of the run, whose clock goes on until it is drawn the next time: a step may take a minute."""
        drawn, length = time.monotonic(), self._length(run)
        numbers = (*(() if loss is None else (f"mean loss {loss:.4f}",)), *self.numbers)
        share = share_done(run.recipe.train, run.progress.step, run.progress.seconds)
        self.bars.draw("training", min(share, 1.0), 1.0, about=lambda: [*length(time.monotonic() - drawn), *numbers])

    def _length(self, run: TrainingRun) -> Callable[[float], tuple[str, ...]]:
        """Return what says how far a run is, and how much time is left: of its steps or of its minutes, whichever end
        it; it is given the seconds since."""
        step, seconds, knobs = run.progress.step, run.progress.seconds, run.recipe.train
        first_step, first_seconds = self.start
        limit = 60 * knobs.max_minutes if knobs.max_minutes else math.inf
        left = math.inf
        if step > first_step:
            left = (knobs.steps - step) * (seconds - first_seconds) / (step - first_step)
        if limit - seconds < left:
            of = clock_text(limit)
            return lambda since: (
                count_of(step, "step"),
                f"{clock_text(limit - seconds - since)} left of {of}"
                if since < limit - seconds
                # Between the last step and the end lie a validation and a save; before it, time was left.
                else f"{of} are over: finishing the last {'validation' if self.validating else 'step'}"
                if seconds < limit
                else f"{of} are over",
            )
        steps = f"{step}/{knobs.steps} steps"
        return lambda since: (steps, f"{clock_text(left - since)} left") if left < math.inf else (steps,)

    def on_log(self, run: TrainingRun, record: StepRecord) -> None:
        self.loss, seen, self.line_written = record.loss, record.train_mean_iou, True
        iou = () if seen is None or math.isnan(seen) else (f"train mIoU {seen:.3f}",)
        speed = record.pictures_per_second
        self.numbers = (*_l2(run, record), *iou, f"{speed:.{1 if speed >= 1 else 2}f} pictures/s")
        if self.bars.shown:
            # The next step may be minutes away: a validation lies between.
            self._draw_run(run, self.loss)
        else:
            line = "  ".join([f"step {record.step}: loss {record.loss:.4f}", *self.numbers])
            console.print(line, highlight=False, soft_wrap=True)

    def on_validation_end(self, run: TrainingRun, row: dict[str, Any], *, best: bool) -> None:
        scores = (f"{name} {_score(row[key])}" for name, key in _SCORES.items())
        console.print(f"step {row['step']}: {', '.join(scores)}{' (best so far)' if best else ''}", highlight=False)

    def on_train_end(self, run: TrainingRun) -> None:
        loss = () if self.loss is None else (f"mean loss {self.loss:.4f}",)
        about = [count_of(run.progress.step, "step"), f"in {clock_text(run.progress.seconds)}", *loss, *self.numbers]
        # A run that was stopped did not come to its end.
        share = share_done(run.recipe.train, run.progress.step, run.progress.seconds) if run.stop_reason else 1.0
        self.bars.draw("training", min(share, 1.0), 1.0, about=about)


def _l2(run: TrainingRun, record: StepRecord) -> tuple[str, ...]:
    """The L2 term, which is a part of the loss where it is added to it; nothing where the recipe has none."""
    knobs = run.recipe.loss
    return (f"L2 {record.l2:.2g}{'' if knobs.l2_added else ' not added'}",) if knobs.l2 else ()


_SCORES = {"mean IoU": "mean_iou", "pixel accuracy": "pixel_accuracy"}


@contextmanager
def progress_display(seen: set[str] | None = None) -> Iterator[ProgressDisplay]:
    """Open a `ProgressDisplay` whose bars come to rest when the work is done, and go when it is stopped or fails.

    Args:
        seen: notes that are not printed again, see `ProgressDisplay`.
    """
    with progress_bars() as bars:
        yield ProgressDisplay(bars, seen)


def _score(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"
