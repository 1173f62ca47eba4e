"""atonce train"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from atonce.cli.app import app
from atonce.cli.options import (
    Bands,
    Data,
    Device,
    Format,
    GroundTruth,
    Images,
    Json,
    Masks,
    Quiet,
    RecipeName,
    bands_of,
    out_option,
    set_option,
    weights_option,
)
from atonce.remote import address_of
from atonce.signals import exit_code_of
from atonce.text import with_command

if TYPE_CHECKING:
    from atonce.training import TrainedRun, TrainingRun


@app.command()
def train(
    data: Data,
    recipe: RecipeName = None,
    out: Annotated[Path | None, out_option("Run folder; runs/<data>-<recipe> by default.")] = None,
    set_: Annotated[list[str] | None, set_option("Change the recipe: section.key=value. May be repeated.")] = None,
    weights: Annotated[
        str | None,
        weights_option("Pretrained VGG-16 (a file or a name), a model or run to go on from, or 'none'."),
    ] = None,
    teacher: Annotated[
        str | None, typer.Option(help="Learn from this model file, too (distillation); 'none' from the masks alone.")
    ] = None,
    format: Format = None,
    images: Images = None,
    masks: Masks = None,
    ground_truth: Annotated[
        GroundTruth | None, typer.Option(help="KITTI road only: the whole road, or the lane that the car is in.")
    ] = None,
    bands: Bands = None,
    max_minutes: Annotated[
        float | None,
        typer.Option(
            help="Stop with the step in which this time is over, over all sessions of a run; reading the data, "
            "calibration and the last validation and evaluation come on top."
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of all that is random.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would happen, and write nothing: two steps are tried out.")
    ] = False,
    device: Device = None,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train a network on a folder of data and report on it.

    Devices: the first GPU, or the CPU where there is none; --device chooses.
    The first line says which one it is. Several GPUs: torchrun --nproc-per-node
    2 -m atonce train DATA, or accelerate launch; each process takes one.
    """
    from functools import partial

    from atonce.training import choose_run

    options: dict[str, Any] = {
        "recipe": recipe,
        "out": out,
        "overrides": set_,
        "weights": weights,
        "teacher": teacher,
        "format": format,
        "images": images,
        "masks": masks,
        "ground_truth": ground_truth.value if ground_truth else None,
        "bands": bands_of(bands),
        "max_minutes": max_minutes,
        "seed": seed,
        "resume": resume,
    }
    # What is mistyped is said here, before the seconds that importing torch takes.
    choose_run(data, **options)
    if dry_run:
        from atonce.cli.show import print_json, print_plan
        from atonce.training import plan

        planned = plan(data, device=device, **options)
        if json_:
            print_json(planned.to_json())
        else:
            print_plan(planned)
        return
    from atonce.training import train as train_network

    start = partial(train_network, data, device=device, **options)
    train_and_print(data, start, address=None if out is None else address_of(out), as_json=json_)


def train_and_print(
    data: Path,
    start: Callable[..., TrainedRun],
    *,
    address: str | None = None,
    goes_on_by_itself: bool = False,
    as_json: bool,
) -> None:
    """Train, then print the scores and where the files are; after Ctrl-C or SIGTERM, print how to go on.

    Args:
        start: `atonce.train` with everything but `callbacks`.
        address: that of the run folder, where it is one.
        goes_on_by_itself: the command, given once more, goes on with what there is.
        as_json: print one JSON document instead.
    """
    from atonce.cli.show import print_json, print_run
    from atonce.progress import console, terminal_columns
    from atonce.training.callbacks import Callback

    class RememberRun(Callback):
        may_stop = False
        run: TrainingRun | None = None

        def on_train_start(self, run: TrainingRun) -> None:
            self.run = run

    remembered = RememberRun()
    try:
        run = start(callbacks=[remembered])
    except KeyboardInterrupt as error:
        said = _stopped(data, remembered.run, address, terminal_columns(console))
        if goes_on_by_itself:
            said = "stopped; what there is is kept, the same command goes on"
        console.print(said, highlight=False, markup=False, soft_wrap=True)
        raise typer.Exit(exit_code_of(error)) from None
    if run.evaluation is None:
        return
    if as_json:
        print_json({"data": str(data), **run.to_json()})
    else:
        print_run(run, data, address)


def _stopped(data: Path, run: TrainingRun | None, address: str | None, columns: int) -> str:
    """Say what is left of a training that was stopped, and how to go on."""
    if run is None:
        return "stopped before the first step; nothing was trained"
    where = address_of(data) or str(data), address or str(run.folder.path)
    again = ["atonce", "train", where[0], "--out", where[1], "--resume"]
    if not run.folder.state.is_file():
        return with_command("stopped before the first state was saved; begin again with:", again, columns)
    return with_command("stopped; the state is kept, go on with:", again, columns)
