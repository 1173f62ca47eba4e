"""The runs of a study, one by one: what is over is recognised, what was killed is resumed."""

from __future__ import annotations

import gc
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from atonce.errors import DataError, TrainingError, option
from atonce.recipes import Recipe, load_recipe
from atonce.reports import write_report
from atonce.storage import none_to_nan
from atonce.studies.records import Record, read_record, run_folder
from atonce.studies.shipped_studies import Study
from atonce.training import Callback, TrainingRun, fit, set_up


@dataclass(frozen=True)
class Planned:
    """One run of a study: a variant with a seed, its full recipe and its run directory."""

    variant: str
    seed: int
    recipe: Recipe
    folder: Path

    @property
    def title(self) -> str:
        return f"{self.variant}, seed {self.seed}"


class Observer:
    """Hears of everything and does nothing; the command line's subclass tells the user."""

    def begins(self, run: Planned, number: int, total: int, device: str | None) -> None:
        """The `number`th of `total` runs starts or is resumed."""

    def ended(self, run: Planned, record: Record) -> None:
        """It is over, come to its end or failed."""

    def listening(self) -> AbstractContextManager[Callback]:
        """Who hears of the training of the next run."""
        return nullcontext(Callback())


def plan(study: Study, base: Recipe, seeds: int, out: Path) -> list[Planned]:
    """All runs, seed by seed, so that a study which is interrupted has whole pairs.

    Seeds count up from the recipe's own.

    Raises:
        RecipeError: a variant's overrides are not right; nothing has been run then.
        TrainingError: a run directory holds a run of another recipe.
    """
    recipes = study.recipes(base)
    planned = []
    for seed in range(base.train.seed, base.train.seed + seeds):
        for variant, recipe in recipes.items():
            seeded = recipe.model_copy(update={"train": recipe.train.model_copy(update={"seed": seed})})
            planned.append(Planned(variant, seed, seeded, run_folder(out, variant, seed)))
    for run in planned:
        _require_same_recipe(run)
    return planned


def run_study(planned: Sequence[Planned], data: Path, about: Mapping[str, Any], observer: Observer) -> None:
    """Train what is not over, one run after the other, in this process.

    Raises:
        UserError: a run could not begin, or write. What is over stays; call again to go on.
        KeyboardInterrupt: Ctrl-C; the state of the run has been saved.
    """
    for number, run in enumerate(planned, 1):
        if read_record(run.folder) is not None:
            continue
        observer.begins(run, number, len(planned), None)
        with observer.listening() as listener:
            record = carry_out(run, data, about, listener)
        observer.ended(run, record)
        require_one_data_set(planned)


def carry_out(run: Planned, data: Path, about: Mapping[str, Any], listener: Callback) -> Record:
    """An ordinary training run, started or resumed; its report; and result.json, which says that it is over.

    That training cannot go on (the loss is not finite) is a result. The state, three times as large as the model, is
    removed at the end: there is nothing left to resume.

    Args:
        about: `commit`, which goes into the record.

    Raises as `run_study` does.
    """
    resume = (run.folder / "recipe.yaml").is_file()
    session = set_up(run.recipe, data, run.folder, resume=resume, callback=listener)
    failed = None
    try:
        fit(session, listener)
    except TrainingError as error:
        failed = error.found
    record = _record(run, session, failed, str(about.get("commit", "")))
    if session.is_main:
        write_report(run.folder)
        record.save(run.folder)
        session.folder.state.unlink(missing_ok=True)
    # The next run needs the memory; networks and optimisers are in cycles.
    session.accelerator.free_memory()
    del session
    gc.collect()
    return record


def require_one_data_set(planned: Iterable[Planned]) -> None:
    """Raises DataError: the runs that are over have not been trained on the same pictures."""
    prints = {record.fingerprint for run in planned if (record := read_record(run.folder))}
    if len(prints) > 1:
        raise DataError(
            "the data set has changed since the first runs of the study",
            f"one fingerprint; found {', '.join(sorted(p[:12] for p in prints))}",
            f"choose another {option('out')} for the changed data",
        )


def _record(run: Planned, session: TrainingRun, failed: str | None, commit: str) -> Record:
    progress = session.progress
    rows = progress.validations
    best: dict[str, Any] = next((row for row in reversed(rows) if row["step"] == progress.best_step), {})
    last = rows[-1] if rows else {}
    return Record(
        variant=run.variant,
        seed=run.seed,
        failed=failed,
        step=progress.step,
        minutes=progress.seconds / 60,
        best_step=progress.best_step,
        mean_iou=none_to_nan(best.get("mean_iou")),
        pixel_accuracy=none_to_nan(best.get("pixel_accuracy")),
        last_mean_iou=none_to_nan(last.get("mean_iou")),
        last_pixel_accuracy=none_to_nan(last.get("pixel_accuracy")),
        skip_scales={f"pool{pool}": scale for pool, scale in session.model.scales.items()},
        fingerprint=str(session.about_data["fingerprint"]),
        commit=commit,
        device=str(session.accelerator.device),
    )


def _require_same_recipe(run: Planned) -> None:
    path = run.folder / "recipe.yaml"
    if not path.is_file():
        return
    there, here = load_recipe(path).model_dump(), run.recipe.model_dump()
    changed = [key for key, value in _flat(here).items() if _flat(there).get(key) != value]
    if changed:
        key = changed[0]
        raise TrainingError(
            f"{run.folder} holds a run with {key} = {_flat(there).get(key)!r}",
            f"{_flat(here)[key]!r}",
            f"choose another {option('out')} for another study",
        )


def _flat(data: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in data.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {prefix + key: value}
    return flat
