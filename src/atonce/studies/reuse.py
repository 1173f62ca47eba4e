"""Runs that another study has done already: the same recipe and seed need no second training."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from atonce.errors import DataError, StorageError, option
from atonce.recipes import load_recipe
from atonce.studies.records import Record, read_record
from atonce.studies.run_study import Planned


def take_over(planned: Sequence[Planned], study: Path) -> list[Planned]:
    """Copy finished runs of `study` whose recipe, seed included, is that of a run which is not begun yet.

    A training is determined by its recipe and its data: what it came to is what a second one would come to, up to the
    last bits of another machine. The copy keeps the commit that made it.

    Returns:
        The runs that need not be done any more.

    Raises:
        DataError: the folder is no study; a file is damaged.
        StorageError: a run cannot be copied.
    """
    if not (study / "study.json").is_file():
        raise DataError(
            f"{study} holds no study", "a folder that `atonce ablate` has written", f"check {option('reuse')}"
        )
    finished = [(folder, record) for folder in sorted(study.glob("*/seed-*")) if (record := read_record(folder))]
    taken = []
    for run in planned:
        if (run.folder / "recipe.yaml").is_file():
            continue
        for folder, record in finished:
            if record.seed == run.seed and load_recipe(folder / "recipe.yaml") == run.recipe:
                _copy(folder, record, run)
                taken.append(run)
                break
    return taken


def _copy(folder: Path, record: Record, run: Planned) -> None:
    """The run becomes visible in one moment, whole."""
    partial = run.folder.with_name(f"{run.folder.name}.partial")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        shutil.copytree(folder, partial)
        replace(record, variant=run.variant).save(partial)
        if run.folder.is_dir():
            run.folder.rmdir()
        partial.replace(run.folder)
    except OSError as error:
        raise StorageError(f"{run.folder}: {error}", "an empty place that can be written", "remove it") from error
