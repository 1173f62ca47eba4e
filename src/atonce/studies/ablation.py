"""Ablation studies: `ablate` trains variants of a recipe over seeds and compares them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import torch

from atonce.errors import TrainingError, option
from atonce.provenance import begin_session
from atonce.recipes import Recipe
from atonce.remote import local_copy, require_local
from atonce.reports.html_document import refuse_foreign_page
from atonce.studies.parallel_runs import parse_devices, run_in_parallel
from atonce.studies.reuse import reuse_runs
from atonce.studies.shipped_studies import Study, load_study
from atonce.studies.study_files import write_study_files
from atonce.studies.study_folder import RunResult, StudyDescription, read_description
from atonce.studies.study_runs import PlannedRun, StudyCallback, plan_runs, run_sequentially
from atonce.studies.study_table import TableRow, reading_notes, table_rows
from atonce.training import Callback
from atonce.training.recipe_choice import Overrides, choose_recipe
from atonce.training.run_folder import require_place
from atonce.untrusted_files import read_json
from atonce.version import __version__


@dataclass(frozen=True)
class StudyResult:
    """The outcome of a study.

    Attributes:
        folder: holds study.json, table.md, table.csv, table.json, report.html and the run directories.
        table: the table as Markdown, the content of table.md.
        runs: the results of all runs, in the order of the study; failed ones say why.
        rows: the numbers of the table, one row per variant, the baseline first.
        notes: sentences that say how to read the table and where it comes from.
    """

    folder: Path
    table: str
    runs: tuple[RunResult, ...]
    rows: tuple[TableRow, ...] = ()
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return what `atonce ablate` prints as JSON: the content of table.json, the notes and where the files are."""
        table: dict[str, Any] = read_json(self.folder / "table.json")
        report = self.folder / "report.html"
        return {"folder": str(self.folder), "report": str(report), "notes": list(self.notes), **table}


def ablate(
    data: str | Path,
    study: str | Path | Study,
    *,
    recipe: str | Path | None = None,
    overrides: Overrides = (),
    weights: str | Path | None = None,
    format: str | None = None,
    images: str | PathLike[str] | None = None,
    masks: str | PathLike[str] | None = None,
    ground_truth: Literal["road", "lane"] | None = None,
    max_minutes: float | None = None,
    seeds: int = 3,
    out: str | Path | None = None,
    device: str | None = None,
    devices: str | Sequence[str] | None = None,
    reuse: Sequence[str | Path] = (),
    callback: StudyCallback | None = None,
) -> StudyResult:
    """Train variants of a recipe over seeds and compare them; a study that was stopped goes on where it was.

    Args:
        data: the folder of data.
        study: the name of a shipped study ("scaling"), a YAML file, or a `Study`.
        recipe: a shipped recipe's name or a YAML file; None for the recipe of the data's format.
        overrides: changes to the recipe of all variants, {"optim.lr": 1e-4} or ["optim.lr=1e-4"].
        weights: pretrained VGG-16, a file or a name; "none" starts afresh, None leaves it to the recipe.
        format: the data's format; recognised from the folder by default.
        images, masks, ground_truth: as for `atonce.train`.
        max_minutes: of each run; variants that are compared then have the same time, not the same steps.
        seeds: runs of each variant; 3 or more for a confidence interval.
        out: the folder of the study; runs/<data>-<study> by default.
        device: "cpu", "cuda", "cuda:1", ...; None takes the first GPU, or the CPU.
        devices: in place of `device`, names of devices ("cuda:0,cuda:1", or a sequence) for runs in parallel, one on
            each in a process of its own; None runs one after the other in this process.
        reuse: folders of other studies whose runs of the same recipe and seed are copied.
        callback: called as runs start and end.

    Raises:
        UserError: the study, the recipe or the data are wrong, the folder holds something else, or a run could not
            begin or write. What is over stays; call again to go on.
        KeyboardInterrupt: Ctrl-C; the state of the run has been saved.
    """
    data = local_copy(data)
    if device is not None and devices is not None:
        found = f"{option('device', device)} and {option('devices')}"
        raise TrainingError(found, "one of them", f"{option('devices')} is for runs side by side")
    chosen = study if isinstance(study, Study) else load_study(str(study))
    names = parse_devices(devices if isinstance(devices, str) else ",".join(devices)) if devices is not None else []
    if seeds < 1:
        raise TrainingError(option("seeds", seeds), "1 or more")
    folder = require_local(out) if out is not None else Path("runs") / f"{data.resolve().name}-{chosen.name}"
    if read_description(folder) is None:
        require_place(folder, data)
    base = choose_recipe(
        data,
        recipe=recipe,
        overrides=overrides,
        weights=weights,
        format=format,
        images=images,
        masks=masks,
        ground_truth=ground_truth,
        max_minutes=max_minutes,
    )
    planned = plan_runs(chosen, base, seeds, folder)
    session = _describe_session()
    recipe_name = Path(recipe).stem if recipe is not None else "of the data's format"
    description = _describe_study(chosen, base, planned, folder, data=data, recipe_name=recipe_name, session=session)
    description.save(folder)
    updating = _UpdateFiles(callback or StudyCallback(), folder)
    for other in [reuse] if isinstance(reuse, (str, Path)) else reuse:
        for run in reuse_runs(planned, Path(other)):
            updating.on_run_reused(run, Path(other))
    commit = str(session["commit"])
    if names:
        run_in_parallel(planned, data, devices=names, commit=commit, callback=updating)
    else:
        run_sequentially(planned, data, commit=commit, device=device, callback=updating)
    results = tuple(description.results(folder))
    return StudyResult(
        folder,
        write_study_files(folder),
        results,
        rows=tuple(table_rows(description, results)),
        notes=tuple(reading_notes(description, results)),
    )


class _UpdateFiles(StudyCallback):
    """Passes every call on to another callback, and brings the study's tables up to date after each run."""

    def __init__(self, callback: StudyCallback, folder: Path) -> None:
        self._callback, self._folder = callback, folder

    def on_run_start(self, run: PlannedRun, *, number: int, total: int, device: str | None) -> None:
        self._callback.on_run_start(run, number=number, total=total, device=device)

    def on_run_end(self, run: PlannedRun, result: RunResult) -> None:
        self._callback.on_run_end(run, result)
        write_study_files(self._folder)

    def on_run_reused(self, run: PlannedRun, study: Path) -> None:
        self._callback.on_run_reused(run, study)

    def training_callback(self) -> AbstractContextManager[Callback]:
        return self._callback.training_callback()


def _describe_session() -> dict[str, Any]:
    """Describe this call: what somebody needs to get the same numbers."""
    session = begin_session()
    return {
        "command": session.command,
        "commit": session.commit or f"version {__version__}",
        "torch": torch.__version__,
        "started": session.started,
    }


def _describe_study(
    study: Study,
    base: Recipe,
    planned: Sequence[PlannedRun],
    folder: Path,
    *,
    data: Path,
    recipe_name: str,
    session: dict[str, Any],
) -> StudyDescription:
    """Describe the study, together with what its folder holds already.

    Raises:
        TrainingError: the folder holds another study.
    """
    refuse_foreign_page(folder / "report.html")
    before = read_description(folder)
    if before and before.variants != json.loads(json.dumps(study.variants)):
        raise TrainingError(
            f"{folder} holds the study '{before.name}' with the variants {', '.join(before.variants)}",
            ", ".join(study.variants),
            f"choose another {option('out')}",
        )
    return StudyDescription(
        name=study.name,
        question=study.question,
        data=str(data.resolve()),
        recipe_name=recipe_name,
        recipe=base.model_dump(mode="json"),
        variants=study.variants,
        # More seeds than before are welcome; those that are there already stay.
        seeds=sorted({*(before.seeds if before else ()), *(run.seed for run in planned)}),
        sessions=[*(before.sessions if before else ()), session],
    )
