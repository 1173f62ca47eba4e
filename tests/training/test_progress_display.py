"""The bar of a training is that of what ends it; it fits the terminal and is full at the end."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console
from rich.progress import ProgressColumn

from atonce import progress as progress_module
from atonce.progress import clock_text, progress_bar, progress_bars
from atonce.recipes import Recipe
from atonce.training import StepRecord, progress_display
from atonce.training.losses import Losses
from atonce.training.progress_display import ProgressDisplay
from tests.tiny import tiny_recipe

Terminal = Callable[[], list[str]]


@pytest.fixture(params=[60, 80, 200])
def width(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture
def terminal(width: int, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """A terminal of a width; called, it gives the lines that have been drawn so far."""
    stream = io.StringIO()
    console = Console(file=stream, width=width, force_terminal=True, color_system=None, legacy_windows=False)
    monkeypatch.setattr(progress_module, "console", console)
    monkeypatch.setattr("atonce.training.progress_display.console", console)
    return lambda: [line for line in re.split(r"\r|\n|\x1b\[\d*[A-Za-z]|\x1b\[\?\d+[hl]", stream.getvalue()) if line]


def a_run(recipe: Recipe, step: int = 0, seconds: float = 0.0) -> Any:
    return SimpleNamespace(
        recipe=recipe,
        progress=SimpleNamespace(step=step, seconds=seconds, steps_since_log={}),
        stop_reason=None,
        stages=(),
    )


def losses(value: float) -> Losses:
    return Losses(cross_entropy=value, distillation=None, l2=0.0, grad_norm=1.0)


def record(step: int, loss: float) -> StepRecord:
    return StepRecord(
        step=step,
        loss=loss,
        cross_entropy=loss,
        distillation=None,
        l2=0.0,
        lr=1e-3,
        grad_norm=1.0,
        train_mean_iou=0.512,
        pictures_per_second=3.2,
        waited=0.0,
        seconds=1.0,
        threads=1,
    )


def train(recipe: Recipe, steps: int, seconds: float) -> None:
    """Show a training of so many steps, each of so many seconds."""
    with progress_display.progress_display() as display:
        run = a_run(recipe)
        display.on_train_start(run)
        for step in range(1, steps + 1):
            run.progress.step, run.progress.seconds = step, step * seconds
            display.on_step(run, losses(100.0 / step))
            display.bars._progress.refresh()
            if step % 10 == 0:
                display.on_log(run, record(step, 0.0461))
        display.on_train_end(run)


def test_with_minutes_the_bar_and_the_time_left_are_those_of_the_limit(terminal: Terminal, width: int) -> None:
    train(tiny_recipe("train.steps=8000", "train.max_minutes=4"), 27, 9.0)
    lines = [line for line in terminal() if line.startswith("training")]
    assert max(len(line.rstrip()) for line in lines) <= width
    assert "13 steps  2:03 left of 4:00" in "\n".join(lines)
    assert "8000" not in "".join(lines)
    assert "…" not in "".join(lines), "cut off"
    assert bar_of(lines[0]) < 0.1 and 0.35 < bar_of(next(line for line in lines if "13 steps" in line)) < 0.65
    assert bar_of(lines[-1]) == 1.0, "the bar is full when the run ends"
    assert "27 steps  in 4:03" in lines[-1]


def test_without_minutes_it_is_that_of_the_steps(terminal: Terminal, width: int) -> None:
    train(tiny_recipe("train.steps=27", "train.max_minutes=null"), 27, 9.0)
    lines = [line for line in terminal() if line.startswith("training")]
    assert "9/27 steps  2:42 left" in "\n".join(lines)
    assert max(len(line.rstrip()) for line in lines) <= width
    assert bar_of(lines[-1]) == 1.0


def forget_what_is_shown(display: ProgressDisplay) -> None:
    """What a column shows is kept for half a second, which a test does not wait for."""
    for column in display.bars._progress.columns:
        assert isinstance(column, ProgressColumn)
        column._renderable_cache.clear()


def test_the_clock_goes_on_between_steps_and_before_the_first(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step of a minute is no reason to look dead for a minute."""
    now = 0.0
    monkeypatch.setattr("atonce.training.progress_display.time.monotonic", lambda: now)
    with progress_display.progress_display() as display:
        run = a_run(tiny_recipe("train.steps=8000", "train.max_minutes=4"))
        display.on_train_start(run)
        now = 20.0
        forget_what_is_shown(display)
        display.bars._progress.refresh()
        assert "0 steps  3:40 left of 4:00" in "\n".join(terminal())
        run.progress.step, run.progress.seconds = 1, 50.0
        display.on_step(run, losses(1.0))
        now = 45.0
        forget_what_is_shown(display)
        display.bars._progress.refresh()
        assert "1 step  2:45 left of 4:00" in "\n".join(terminal())


def test_where_steps_end_before_the_minutes_it_is_that_of_the_steps(terminal: Terminal) -> None:
    train(tiny_recipe("train.steps=27", "train.max_minutes=60"), 27, 9.0)
    assert "9/27 steps  2:42 left" in "\n".join(terminal())


def test_the_loss_is_the_mean_since_the_last_line_of_the_log(terminal: Terminal, width: int) -> None:
    train(tiny_recipe("train.steps=27"), 27, 1.0)
    text = "\n".join(terminal())
    # 100 / step: over the steps 1 to 5, and over 11 to 15.
    assert width < 80 or "mean loss 45.6667" in text
    assert width < 80 or "mean loss 7.7852" in text
    assert "mean loss 20.0000" not in text and "mean loss 6.6667" not in text, "the last step alone"
    assert "mean loss 4.1960" in text, "the last line, over the steps 21 to 27"


def test_a_loss_is_shown_when_it_is_logged_and_not_with_the_next_step(terminal: Terminal) -> None:
    """Between the two lies the validation, which may take minutes."""
    with progress_display.progress_display() as display:
        run = a_run(tiny_recipe("train.steps=27"), step=10, seconds=10.0)
        display.on_train_start(run)
        display.on_step(run, losses(20.0))
        display.on_log(run, record(10, 0.0461))
        forget_what_is_shown(display)
        display.bars._progress.refresh()
        assert "10/27 steps  mean loss 0.0461" in "\n".join(terminal())


@pytest.mark.parametrize(
    ("overrides", "shown"),
    [
        (("loss.l2=1e-3",), "loss 0.5000  L2 0.032  train mIoU 0.512"),
        (("loss.l2=1e-3", "loss.l2_added=false"), "loss 0.5000  L2 0.032 not added  train mIoU 0.512"),
        (("loss.l2=0",), "loss 0.5000  train mIoU 0.512"),
    ],
)
def test_the_l2_term_is_shown_beside_the_loss(
    overrides: tuple[str, ...], shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(progress_module, "console", Console(file=stream, width=200))
    monkeypatch.setattr("atonce.training.progress_display.console", progress_module.console)
    with progress_display.progress_display() as display:
        display.on_log(a_run(tiny_recipe(*overrides)), replace(record(10, 0.5), l2=0.032))
    assert f"step 10: {shown}  3.2 pictures/s" in stream.getvalue()


@pytest.mark.parametrize(("speed", "shown"), [(36.04, "36.0"), (0.047, "0.05")])
def test_a_slow_training_has_a_speed(speed: float, shown: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(progress_module, "console", Console(file=stream, width=200))
    monkeypatch.setattr("atonce.training.progress_display.console", progress_module.console)
    with progress_display.progress_display() as display:
        display.on_log(a_run(tiny_recipe()), replace(record(10, 0.5), pictures_per_second=speed))
    assert f"  {shown} pictures/s" in stream.getvalue()


def bar_of(line: str) -> float:
    """The share of a line's bar that is filled."""
    bar = re.fullmatch(r"training (.*?) \d+(/\d+)? steps?\b.*", line.rstrip())
    assert bar, line
    return (bar[1].count("━") + bar[1].count("╸") / 2) / len(bar[1])


@pytest.mark.parametrize("width", [80], indirect=True)
def test_nothing_shows_a_total_that_nobody_knows(terminal: Terminal) -> None:
    with progress_bar("checking"):
        pass
    with progress_bars() as bars:
        bars.draw("fetching", 20_000_000, 0, unit="MB")
        bars._progress.refresh()
        bars.draw("fetching", 20_000_000, 500_000_000, unit="MB")
    text = "\n".join(terminal())
    assert "100" not in text and "/0" not in text
    assert "20 MB" in text and "20/500 MB" in text


@pytest.mark.parametrize("width", [60], indirect=True)
def test_notes_are_broken_between_words(terminal: Terminal) -> None:
    with progress_bars() as bars:
        ProgressDisplay(bars).on_note("word " * 20 + "a/path/that/is/longer/than/the/terminal/is/wide/" + "x" * 20)
    lines = terminal()
    assert lines[0] == ("word " * 12).rstrip()
    assert lines[1] == ("  " + "word " * 8).rstrip()
    assert lines[2].startswith("  a/path/that")


@pytest.mark.parametrize("width", [80], indirect=True)
def test_notes_that_have_been_seen_are_not_repeated(terminal: Terminal) -> None:
    seen: set[str] = set()
    for seed in range(2):
        with progress_bars() as bars:
            display = ProgressDisplay(bars, seen)
            display.on_note("classes from classes.yaml")
            display.on_note(f"seed {seed}")
    assert terminal() == ["classes from classes.yaml", "seed 0", "seed 1"]


def test_times_are_written_as_clocks_show_them() -> None:
    assert [clock_text(seconds) for seconds in (0, 9.6, 61, 3600, -3)] == ["0:00", "0:10", "1:01", "1:00:00", "0:00"]


def test_a_training_shows_a_full_bar_that_fits(
    terminal: Terminal, width: int, street_data: Path, tmp_path: Path
) -> None:
    from atonce.training import run_training

    with progress_display.progress_display() as display:
        recipe = tiny_recipe("train.max_minutes=0.03", "train.steps=100000", "train.validate_every=null")
        run_training(recipe, street_data, tmp_path / "run", callback=display)
    lines = [line.rstrip() for line in terminal() if line.startswith(("training", "validating"))]
    assert max(map(len, lines)) <= width
    last = [line for line in lines if line.startswith("training")][-1]
    assert bar_of(last) == 1.0 and "100000" not in last


def test_the_loss_of_the_bar_is_the_mean_that_the_next_line_of_the_log_has(terminal: Terminal, width: int) -> None:
    with progress_display.progress_display() as display:
        run = a_run(tiny_recipe("train.steps=40"))
        run.progress.steps_since_log = {"losses": [asdict(losses(9.0))]}
        display.on_train_start(run)
        shown = []
        for loss in (5.0, 1.0):
            display.on_step(run, losses(loss))
            shown.append(display.loss)
        display.on_log(run, record(3, 5.0))
        for loss in (2.0, 4.0):
            display.on_step(run, losses(loss))
            shown.append(display.loss)
        forget_what_is_shown(display)
        display.bars._progress.refresh()
    assert shown == [7.0, 5.0, 2.0, 3.0]
    assert width < 80 or "mean loss 3.0000" in "\n".join(terminal())


def test_minutes_that_are_over_are_said_to_be_so(terminal: Terminal) -> None:
    with progress_display.progress_display() as display:
        display.on_train_start(a_run(tiny_recipe("train.max_minutes=1"), seconds=61.0))
        display.bars._progress.refresh()
    drawn = "\n".join(terminal())
    assert "1:00 are over" in drawn and "0:00 left" not in drawn


def test_what_is_done_after_the_limit_is_said(terminal: Terminal) -> None:
    """The last step may take minutes more than there were."""
    run = a_run(tiny_recipe("train.steps=100", "train.max_minutes=1"), step=2, seconds=59.99)
    with progress_display.progress_display() as display:
        display.start = (0, 0.0)
        length = display._length(run)
        assert length(0.5) == ("2 steps", "1:00 are over: finishing the last step")
        display.on_validation_progress(1, 3)
        assert length(0.5) == ("2 steps", "1:00 are over: finishing the last validation")


def test_what_has_no_count_has_a_name_while_it_lasts(terminal: Terminal) -> None:
    with progress_display.progress_display() as display:
        display.on_busy("saving the state")
        assert "saving the state" in display.bars._tasks
        display.on_busy("")
        assert not display.bars._tasks
