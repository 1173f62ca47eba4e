"""Reusing the runs of another study: the same recipe and seed need no second training."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from atonce.errors import DataError, StorageError, option
from atonce.recipes import load_recipe
from atonce.studies.study_folder import RunResult, read_result
from atonce.studies.study_runs import PlannedRun


def reuse_runs(planned: Sequence[PlannedRun], study: Path) -> list[PlannedRun]:
    """Copy finished runs of the study in a folder whose recipe, seed included, is that of a run not begun yet.

    A training run is determined by its recipe and its data: its result is what a second one would come to, up to the
    last bits of another machine. The copy keeps the commit that made it.

    Returns:
        The runs that are now over.

    Raises:
        DataError: the folder is no study; a file is damaged.
        StorageError: a run cannot be copied.
    """
    if not (study / "study.json").is_file():
        raise DataError(
            f"{study} holds no study", "a folder that `atonce ablate` has written", f"check {option('reuse')}"
        )
    finished = [(folder, result) for folder in sorted(study.glob("*/seed-*")) if (result := read_result(folder))]
    reused = []
    for run in planned:
        if (run.folder / "recipe.yaml").is_file():
            continue
        for folder, result in finished:
            if result.seed == run.seed and load_recipe(folder / "recipe.yaml") == run.recipe:
                _copy(folder, result, run)
                reused.append(run)
                break
    return reused


def _copy(folder: Path, result: RunResult, run: PlannedRun) -> None:
    """Copy a run's folder; the copy appears in one moment, whole."""
    partial = run.folder.with_name(f"{run.folder.name}.partial")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        shutil.copytree(folder, partial)
        replace(result, variant=run.variant).save(partial)
        if run.folder.is_dir():
            run.folder.rmdir()
        partial.replace(run.folder)
    except OSError as error:
        raise StorageError(f"{run.folder}: {error}", "an empty folder that can be written", "remove it") from error
