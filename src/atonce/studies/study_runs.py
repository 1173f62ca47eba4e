"""The runs of a study, planned and executed one by one: what is over is recognised, what was killed is resumed."""

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
from atonce.studies.shipped_studies import Study
from atonce.studies.study_folder import RunResult, read_result, run_folder
from atonce.training import Callback, TrainingRun, fit, set_up
from atonce.training.trackers import tracked


@dataclass(frozen=True)
class PlannedRun:
    """One run of a study: a variant with a seed, its full recipe and its run directory."""

    variant: str
    seed: int
    recipe: Recipe
    folder: Path

    @property
    def title(self) -> str:
        """Variant and seed: "at-once, seed 0"."""
        return f"{self.variant}, seed {self.seed}"


class StudyCallback:
    """Methods that are called while a study runs; each does nothing here, a subclass overrides what it needs.

    With several devices they are called from several threads, one at a time.
    """

    def on_run_start(self, run: PlannedRun, *, number: int, total: int, device: str | None) -> None:
        """Called when the `number`th of `total` runs starts or is resumed.

        Args:
            device: where it runs; None where the study runs in this process.
        """

    def on_run_end(self, run: PlannedRun, result: RunResult) -> None:
        """Called when a run is over: it came to its end, or failed."""

    def on_run_reused(self, run: PlannedRun, study: Path) -> None:
        """Called when a run has been copied from the folder of another study."""

    def training_callback(self) -> AbstractContextManager[Callback]:
        """Return the callback for the training of the next run, entered before it and left after it.

        Not called with devices: their runs are trained in processes of their own.
        """
        return nullcontext(Callback())


def plan_runs(study: Study, base: Recipe, seeds: int, out: Path) -> list[PlannedRun]:
    """List all runs, seed by seed, so that a study which is interrupted has whole pairs.

    Args:
        base: the recipe that the variants change; seeds count up from its own.
        seeds: how many runs of each variant.
        out: the folder of the study.

    Raises:
        RecipeError: a variant's overrides are not right; nothing has been run then.
        TrainingError: a run directory holds a run of another recipe.
    """
    recipes = study.recipes(base)
    planned = []
    for seed in range(base.train.seed, base.train.seed + seeds):
        for variant, recipe in recipes.items():
            seeded = recipe.model_copy(update={"train": recipe.train.model_copy(update={"seed": seed})})
            planned.append(PlannedRun(variant, seed, seeded, run_folder(out, variant, seed)))
    for run in planned:
        _require_same_recipe(run)
    return planned


def run_sequentially(
    planned: Sequence[PlannedRun],
    data: Path,
    *,
    commit: str = "",
    device: str | None = None,
    callback: StudyCallback | None = None,
) -> None:
    """Execute the runs that are not over, one after the other, in this process.

    Args:
        commit: that of atonce, for the results.
        device: "cpu", "cuda", "cuda:1", ...; None takes the first GPU, or the CPU.

    Raises:
        UserError: a run could not begin, or write. What is over stays; call again to go on.
        KeyboardInterrupt: Ctrl-C; the state of the run has been saved.
    """
    callback = callback or StudyCallback()
    for number, run in enumerate(planned, 1):
        if read_result(run.folder) is not None:
            continue
        callback.on_run_start(run, number=number, total=len(planned), device=None)
        with callback.training_callback() as training_callback:
            result = execute_run(run, data, commit=commit, device=device, callback=training_callback)
        callback.on_run_end(run, result)
        require_one_data_set(planned)


def execute_run(
    run: PlannedRun, data: Path, *, commit: str = "", device: str | None = None, callback: Callback | None = None
) -> RunResult:
    """Start or resume an ordinary training run, report on it, and write result.json, which says that it is over.

    That training cannot go on (the loss is not finite) is a result. The state, three times as large as the model, is
    removed at the end: there is nothing left to resume.

    Raises:
        UserError: the run could not begin, or write.
        KeyboardInterrupt: Ctrl-C; the state has been saved.
    """
    callback, began = callback or Callback(), False
    resume = (run.folder / "recipe.yaml").is_file()
    session = set_up(run.recipe, data, run.folder, resume=resume, device=device, callback=callback)
    failed = None
    with session.lock:
        try:
            with tracked(session, callback, name=run.title) as feeding:
                began = True
                fit(session, feeding)
        except TrainingError as error:
            if not began:
                raise
            failed = error.found
        result = _result_of(run, session, failed, commit)
        if session.is_main:
            write_report(run.folder)
            result.save(run.folder)
            session.folder.state.unlink(missing_ok=True)
    # The next run needs the memory; networks and optimisers are in cycles.
    session.accelerator.free_memory()
    del session
    gc.collect()
    return result


def require_one_data_set(planned: Iterable[PlannedRun]) -> None:
    """Raise DataError if the runs that are over have not been trained on the same pictures."""
    fingerprints = {result.fingerprint for run in planned if (result := read_result(run.folder))}
    if len(fingerprints) > 1:
        raise DataError(
            "the data set has changed since the first runs of the study",
            f"one fingerprint; found {', '.join(sorted(p[:12] for p in fingerprints))}",
            f"choose another {option('out')} for the changed data",
        )


def _result_of(run: PlannedRun, session: TrainingRun, failed: str | None, commit: str) -> RunResult:
    progress = session.progress
    rows = progress.validations
    best: dict[str, Any] = next((row for row in reversed(rows) if row["step"] == progress.best_step), {})
    last = rows[-1] if rows else {}
    return RunResult(
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
        crop=session.recipe.data.crop,
    )


def _require_same_recipe(run: PlannedRun) -> None:
    """Raise TrainingError if the folder holds a run of another recipe."""
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
    """Flatten nested mappings: {"optim": {"lr": 1}} becomes {"optim.lr": 1}."""
    flat: dict[str, Any] = {}
    for key, value in data.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {prefix + key: value}
    return flat
