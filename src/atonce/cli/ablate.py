"""atonce ablate: variants of a recipe over seeds, and what they are worth."""

from __future__ import annotations

import shlex
import sys
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from atonce.cli.app import app
from atonce.cli.completion import STUDY_NAMES, complete_study
from atonce.cli.options import (
    Data,
    Device,
    Format,
    GroundTruth,
    Images,
    Json,
    Masks,
    Quiet,
    RecipeName,
    out_option,
    set_option,
    weights_option,
)
from atonce.signals import exit_code_of
from atonce.text import with_command

if TYPE_CHECKING:
    from atonce.studies import StudyCallback


@app.command()
def ablate(
    data: Data,
    study: Annotated[
        str,
        typer.Option(
            help=f"{', '.join(STUDY_NAMES)}, or a YAML file.",
            autocompletion=complete_study,
        ),
    ],
    recipe: RecipeName = None,
    set_: Annotated[list[str] | None, set_option("Change the recipe of all variants: section.key=value.")] = None,
    weights: Annotated[str | None, weights_option("Pretrained VGG-16: a file or a name; 'none' starts afresh.")] = None,
    format: Format = None,
    images: Images = None,
    masks: Masks = None,
    ground_truth: Annotated[
        GroundTruth | None, typer.Option(help="KITTI road only: the whole road, or the lane that the car is in.")
    ] = None,
    max_minutes: Annotated[
        float | None, typer.Option(help="Of each run: variants then have the same time, not the same steps.")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Runs of each variant; 3 or more for an interval.")] = 3,
    out: Annotated[Path | None, out_option("Folder of the study; runs/<data>-<study> by default.")] = None,
    device: Device = None,
    devices: Annotated[
        str | None, typer.Option(help="In place of --device: runs side by side, one on each: cuda:0,cuda:1.")
    ] = None,
    reuse: Annotated[
        list[Path] | None, typer.Option(help="Folder of a study whose runs of the same recipe and seed are reused.")
    ] = None,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train variants of a recipe over seeds and compare them; a study that was stopped goes on where it was."""
    from atonce.training import choose_recipe

    options: dict[str, Any] = {
        "recipe": recipe,
        "overrides": set_ or (),
        "weights": weights,
        "format": format,
        "images": images,
        "masks": masks,
        "ground_truth": ground_truth.value if ground_truth else None,
        "max_minutes": max_minutes,
    }
    # What is mistyped is said here, before the seconds that importing torch takes.
    choose_recipe(data, **options)
    from atonce.cli.show import print_json, print_study
    from atonce.progress import console, terminal_columns
    from atonce.provenance import command_line
    from atonce.studies import ablate as run_ablation

    try:
        result = run_ablation(
            data,
            study,
            seeds=seeds,
            out=out,
            device=device,
            devices=devices,
            reuse=reuse or (),
            callback=_study_progress(),
            **options,
        )
    except KeyboardInterrupt as error:
        again = shlex.split(command_line())
        said = with_command("stopped; what is done is kept, go on with:", again, terminal_columns(console))
        console.print(said, highlight=False, markup=False, soft_wrap=True)
        raise typer.Exit(exit_code_of(error)) from None
    if json_:
        print_json(result.to_json())
    else:
        print_study(result)


def _study_progress() -> StudyCallback:
    from atonce.progress import console
    from atonce.studies import PlannedRun, RunResult, StudyCallback
    from atonce.training import Callback
    from atonce.training.progress_display import progress_display

    class StudyProgress(StudyCallback):
        """Prints one line when a run begins, one when it is over; a note that all runs have is printed once."""

        def __init__(self) -> None:
            self.seen: set[str] = set()

        def on_run_start(self, run: PlannedRun, *, number: int, total: int, device: str | None) -> None:
            self._print(f"run {number} of {total}: {run.title}{f' on {device}' if device else ''}")

        def on_run_end(self, run: PlannedRun, result: RunResult) -> None:
            outcome = f"failed: {result.failed}" if result.failed else f"mean IoU {result.mean_iou:.4f}"
            self._print(f"{run.title}: {outcome}, {result.minutes:.1f} minutes")

        def on_run_reused(self, run: PlannedRun, study: Path) -> None:
            self._print(f"{run.title}: reused from {study}")

        def training_callback(self) -> AbstractContextManager[Callback]:
            return progress_display(self.seen)

        def _print(self, text: str) -> None:
            console.print(text, highlight=False, markup=False, soft_wrap=True)

    return StudyProgress()


@app.command("ablate-worker", hidden=True)
def ablate_worker() -> None:
    """Execute one run of a study, read as a line of JSON; started by `atonce ablate --devices`."""
    from atonce.studies.parallel_runs import execute_request

    execute_request(sys.stdin)
