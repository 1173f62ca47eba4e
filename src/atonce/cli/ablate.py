"""atonce ablate: variants of a recipe over seeds, and what they are worth."""

from __future__ import annotations

import json
import os
import shlex
import signal
import sys
import threading
from contextlib import AbstractContextManager
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from atonce.cli.app import app
from atonce.cli.options import Data, Format

if TYPE_CHECKING:
    from atonce.recipes import Recipe
    from atonce.studies import Planned, Study


@app.command()
def ablate(
    data: Data,
    study: Annotated[str, typer.Option(help="scaling, schedule, init, l2, freeze, stride, optimizer, or a YAML file.")],
    recipe: Annotated[
        str | None, typer.Option(help="A shipped recipe's name or a YAML file; by the data's format.")
    ] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Change the recipe of all variants: section.key=value.")
    ] = None,
    weights: Annotated[
        str | None, typer.Option(help="Pretrained VGG-16: a file or a name; 'none' starts afresh.")
    ] = None,
    format: Format = None,
    seeds: Annotated[int, typer.Option(min=1, help="Runs of each variant; 3 or more for an interval.")] = 3,
    out: Annotated[Path | None, typer.Option(help="Folder of the study; runs/<data>-<study> by default.")] = None,
    devices: Annotated[str | None, typer.Option(help="Runs side by side, one on each: cuda:0,cuda:1.")] = None,
    reuse: Annotated[
        list[Path] | None, typer.Option(help="Folder of a study whose runs of the same recipe and seed are taken over.")
    ] = None,
) -> None:
    """Train variants of a recipe over seeds and compare them; a study that was stopped goes on where it was."""
    from atonce.studies import load_study, plan
    from atonce.studies.parallel_runs import parse_devices
    from atonce.training.recipe_choice import recipe_for

    chosen = load_study(study)
    places = parse_devices(devices) if devices is not None else []
    overrides = list(set_ or [])
    overrides += [f"data.format={json.dumps(format)}"] if format is not None else []
    overrides += [f"weights={'null' if weights == 'none' else json.dumps(weights)}"] if weights is not None else []
    folder = out or Path("runs") / f"{data.resolve().name}-{chosen.name}"
    base = recipe_for(data, recipe, overrides)
    planned = plan(chosen, base, seeds, folder)
    session = _session()
    _describe(chosen, base, recipe or "of the data's format", data, planned, session, folder)
    for study_folder in reuse or ():
        _take_over(planned, study_folder)
    _run(planned, data, session, folder, places)


def _run(planned: list[Planned], data: Path, session: dict[str, Any], folder: Path, places: list[str]) -> None:
    from atonce.cli.show import results
    from atonce.progress import console
    from atonce.studies import run_study, write_study
    from atonce.studies.parallel_runs import run_on_devices

    observer = _observer(folder)
    try:
        if places:
            worker = [sys.executable, "-m", "atonce", "ablate-worker"]
            run_on_devices(planned, data, session, observer, places, worker)
        else:
            run_study(planned, data, session, observer)
    except KeyboardInterrupt:
        again = f"stopped; what is done is kept, go on with: {session['command']}"
        console.print(again, highlight=False, markup=False, soft_wrap=True)
        raise typer.Exit(130) from None
    results.print(write_study(folder), highlight=False, markup=False, soft_wrap=True)
    results.print(f"report   {folder / 'report.html'}", highlight=False, markup=False, soft_wrap=True)


def _take_over(planned: list[Planned], study: Path) -> None:
    from atonce.progress import console
    from atonce.studies import take_over

    for run in take_over(planned, study):
        console.print(f"{run.title}: taken over from {study}", highlight=False, markup=False, soft_wrap=True)


def _describe(
    study: Study, base: Recipe, name: str, data: Path, planned: list[Planned], session: dict[str, Any], folder: Path
) -> None:
    """Write or complete study.json. Raises TrainingError: the folder holds another study."""
    from atonce.errors import TrainingError
    from atonce.studies.records import Description, read_description

    before = read_description(folder)
    if before and before.variants != json.loads(json.dumps(study.variants)):
        raise TrainingError(
            f"{folder} holds the study '{before.name}' with the variants {', '.join(before.variants)}",
            ", ".join(study.variants),
            "choose another --out",
        )
    Description(
        name=study.name,
        question=study.question,
        data=str(data.resolve()),
        recipe_name=Path(name).stem,
        recipe=base.model_dump(mode="json"),
        variants=study.variants,
        # More seeds than before are welcome; those that are there already stay.
        seeds=sorted({*(before.seeds if before else ()), *(run.seed for run in planned)}),
        sessions=[*(before.sessions if before else ()), session],
    ).save(folder)


def _session() -> dict[str, Any]:
    """Who calls: what somebody needs to get the same numbers."""
    import torch

    from atonce.provenance import source_commit as _commit
    from atonce.version import __version__

    return {
        "command": shlex.join(["atonce", *sys.argv[1:]]),
        "commit": _commit() or f"version {__version__}",
        "torch": torch.__version__,
        "started": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }


def _observer(folder: Path) -> Any:
    from atonce.progress import console
    from atonce.studies import Observer, write_study
    from atonce.studies.records import Record
    from atonce.training import Callback
    from atonce.training.progress_display import progress_display as watching

    class StudyProgress(Observer):
        """One line when a run begins, one when it is over; the tables are brought up to date after each."""

        def begins(self, run: Planned, number: int, total: int, device: str | None) -> None:
            self._say(f"run {number} of {total}: {run.title}{f' on {device}' if device else ''}")

        def ended(self, run: Planned, record: Record) -> None:
            told = asdict(record)
            what = f"failed: {record.failed}" if record.failed else f"mean IoU {told['mean_iou']:.4f}"
            self._say(f"{run.title}: {what}, {record.minutes:.1f} minutes")
            write_study(folder)

        def listening(self) -> AbstractContextManager[Callback]:
            return watching()

        def _say(self, text: str) -> None:
            console.print(text, highlight=False, markup=False, soft_wrap=True)

    return StudyProgress()


@app.command("ablate-worker", hidden=True)
def ablate_worker() -> None:
    """Carry out one run of a study, read as a line of JSON; started by `atonce ablate --devices`."""
    from atonce.studies import carry_out
    from atonce.studies.parallel_runs import read_request
    from atonce.training import Callback

    run, data, about = read_request(sys.stdin.readline())

    def wait_for_parent() -> None:
        # The end of the input is the end of the parent, or its wish: save the state and stop.
        sys.stdin.read()
        os.kill(os.getpid(), signal.SIGINT)

    # From a background job of a shell, the signal would be ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Thread(target=wait_for_parent, daemon=True).start()
    carry_out(run, data, about, Callback())
