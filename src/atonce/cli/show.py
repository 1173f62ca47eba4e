"""Tables and lines on stdout."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich import box
from rich.table import Table
from rich.text import Text

from atonce.errors import one_line
from atonce.progress import PrintableConsole
from atonce.remote import address_of
from atonce.storage import nan_to_none
from atonce.text import count_of, duration_text, listing, wrapped

if TYPE_CHECKING:
    from atonce.studies import StudyResult
    from atonce.studies.paired_statistics import MeanStd, PairedDifference
    from atonce.training import TrainedRun, TrainingPlan

results = PrintableConsole(quiet=os.environ.get("LOCAL_RANK", "0") != "0")
"""The console for what the user asked for, on stdout; silent in all processes of a machine but the first."""


_LABEL = re.compile(r"\S+ {2,}")
"""A word and the spaces behind it, by which lines of a list are set below each other."""


def print_lines(*lines: str) -> None:
    """Print lines without markup or colours for numbers; on a terminal they are broken between words, and go on below
    what follows their label, where they have one."""
    from atonce.progress import terminal_columns

    columns = terminal_columns(results)
    shown = [one_line(line) for line in lines]
    labels = [_LABEL.match(line) for line in shown]
    said = (wrapped(line, columns, label and label.end()) for line, label in zip(shown, labels, strict=True))
    results.print("\n".join(said), highlight=False, markup=False, soft_wrap=True)


def print_json(data: Any) -> None:
    """Print the one document on stdout that --json stands for; numbers that are none in JSON are null."""
    if not results.quiet:
        typer.echo(json.dumps(nan_to_none(data), allow_nan=False))


def print_note(*lines: str) -> None:
    """Print lines on stderr that a user should know, their options as flags."""
    from atonce.errors import as_command_line
    from atonce.progress import console, terminal_columns

    said = wrapped("\n".join(one_line(as_command_line(line)) for line in lines), terminal_columns(console))
    console.print(said, highlight=False, markup=False, soft_wrap=True)


def print_run(run: TrainedRun, data: Path, out: str | None = None) -> None:
    """Print a trained run: the best model's scores, how long it took, where its files are.

    Args:
        out: the address that they were brought to, if any.
    """
    assert run.evaluation is not None
    print_scores(run.scores, f"{address_of(data) or (data if data.name else data.resolve())} (val)")
    folder = out or str(run.folder)
    lines = [f"{count_of(run.steps, 'step')} in {duration_text(60 * run.minutes)}, best at step {run.best_step}"]
    if run.stop_reason is not None:
        lines.append(f"stopped: {run.stop_reason}")
    if run.waited is not None:
        remedy = "; more threads (data.workers) or a larger cache (data.cache_mib) may help"
        lines.append(f"waited for data: {100 * run.waited:.1f} %{remedy if run.waited > 0.05 else ''}")
    scores = f"mean IoU {run.evaluation.mean_iou:.4f}, pixel accuracy {run.evaluation.pixel_accuracy:.4f}"
    print_lines(*lines, scores, f"model    {folder}/{run.model.name}", f"report   {folder}/report.html")


def _epochs(number: float) -> str:
    """Write a number of epochs with the decimals that tell something: "0.04 epochs", "2.5 epochs", "1600 epochs"."""
    return count_of(round(number, 2 if number < 1 else 1 if number < 100 else 0), "epoch")


def print_plan(plan: TrainingPlan) -> None:
    """Print what a training would be: the data, the network, the length, and what it would take."""
    knobs, data = plan.recipe.train, plan.data
    splits = ", ".join(f"{count} {split}" for split, count in data["pictures"].items() if count)
    sizes = {name: "x".join(map(str, size)) for name, size in data["picture_sizes"].items()}
    same = len(set(sizes.values())) == 1
    pictures = sizes["median"] if same else ", ".join(f"{size} the {name}" for name, size in sizes.items())
    names, crop = data["classes"], "x".join(map(str, reversed(plan.recipe.data.crop)))
    steps = count_of(plan.steps, "step")
    if plan.steps < plan.steps_left:
        steps = (
            f"{count_of(knobs.max_minutes or 0, 'minute')}, about {plan.steps} of {count_of(plan.steps_left, 'step')}"
        )
    memory = "unknown" if plan.memory_bytes is None else f"{plan.memory_bytes / 1e9:.2f} GB at the peak of two steps"
    seconds = f"{plan.seconds_per_step:.3g} s a step, {plan.seconds_per_picture:.2g} s a validation picture"
    print_lines(
        f"data      {data['format']} in {data['root']}: {splits}",
        f"classes   {len(names)}: {listing(names, 12)}",
        f"pictures  {pictures}; crops of {crop}, {knobs.batch_size} a step",
        f"network   FCN-{plan.recipe.model.stride}s, {plan.parameters / 1e6:.1f} million weights, {plan.hardware}",
        f"length    {steps} ({_epochs(plan.epochs)}), {count_of(plan.validations, 'validation')}",
        f"memory    {memory}",
        f"time      {duration_text(plan.seconds)}, guessed from {seconds}",
        f"folder    {plan.folder}; nothing was written",
    )


def print_scores(scores: Mapping[str, Any], title: str) -> None:
    """Print evaluation scores (see `ConfusionMatrix.scores`) as a table, with what its reader has to know."""
    results.print(title, style="italic", highlight=False, markup=False, soft_wrap=True)
    results.print(_scores_table(scores))
    print_collapse(scores)
    if scores["absent"]:
        print_lines(f"absent, not in the mean: {', '.join(scores['absent'])}")
    if scores["predicted_only"]:
        names = ", ".join(scores["predicted_only"])
        print_lines(f"predicted but not in the ground truth, IoU 0: {names}")


def print_collapse(scores: Mapping[str, Any]) -> None:
    """Say of a network that predicts one class only that it does, whichever scores are shown."""
    from atonce.reports.single_prediction import single_prediction

    if collapsed := single_prediction(scores["classes"]):
        results.print(one_line(collapsed), highlight=False, markup=False)


def _scores_table(scores: Mapping[str, Any]) -> Table:
    table = Table()
    for column in ("class", "IoU", "accuracy", "precision", "pixels"):
        table.add_column(column, justify="left" if column == "class" else "right")
    total = max(1, int(scores["pixels"]))
    for row in scores["classes"]:
        share = f"{100 * row['pixels'] / total:.2f} %"
        iou = "absent" if row["iou"] is None else score_text(row["iou"])
        table.add_row(Text(str(row["name"])), iou, score_text(row["accuracy"]), score_text(row["precision"]), share)
    table.add_section()
    table.add_row("mean", score_text(scores["mean_iou"]), score_text(scores["mean_accuracy"]), "", "")
    table.add_row("frequency-weighted", score_text(scores["frequency_weighted_iou"]), "", "", "")
    table.add_row("pixel accuracy", "", score_text(scores["pixel_accuracy"]), "", "")
    return table


def print_study(result: StudyResult) -> None:
    """Print the table of a study, as narrow as a terminal, and how to read it; the whole table is in its report."""
    baseline = result.rows[0].variant
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("variant", "runs", "mean IoU", f"difference to {baseline}", "pixel accuracy", "minutes"):
        table.add_column(Text(column), justify="left" if column == "variant" else "right", vertical="top")
    for row in result.rows:
        minutes = row.means["minutes"]
        cells = [row.variant, row.count, _mean_over_std(row.means["mean_iou"])]
        cells += [
            _difference_over_interval(row.differences.get("mean_iou")),
            _mean_over_std(row.means["pixel_accuracy"]),
        ]
        table.add_row(*map(Text, cells), "–" if minutes is None else f"{minutes.mean:.1f}")
    results.print(table)
    failed = (f"{row.variant}: seed {seed} failed: {why}" for row in result.rows for seed, why in row.failed.items())
    for line in (*failed, *result.notes):
        results.print(f"- {line}", highlight=False, markup=False)
    print_lines("", f"table    {result.folder / 'table.md'}", f"report   {result.folder / 'report.html'}")


def _mean_over_std(value: MeanStd | None) -> str:
    """Write a mean and, below it, the standard deviation, where there is one."""
    if value is None:
        return "–"
    return f"{value.mean:.4f}" + (f"\n± {value.std:.4f}" if value.std is not None else "")


def _difference_over_interval(value: PairedDifference | None) -> str:
    """Write a difference and, below it, its confidence interval, where there is one."""
    if value is None:
        return "–"
    return f"{value.mean:+.4f}" + (f"\n[{value.low:+.4f}, {value.high:+.4f}]" if value.low is not None else "")


def score_text(value: float | None, factor: float = 1, digits: int = 4) -> str:
    """Write a score times a factor; a dash where it is not defined."""
    return "–" if value is None else f"{value * factor:.{digits}f}"
