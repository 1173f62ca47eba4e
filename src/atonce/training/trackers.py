"""Experiment trackers: TensorBoard, MLflow and Weights & Biases, through accelerate.

A run that is resumed goes on in the same place: the ids of its MLflow and W&B runs lie in the run folder.
"""

from __future__ import annotations

import json
import logging
import math
import os
import re
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from atonce.data.sampling import evenly_spaced
from atonce.errors import TrainingError, UserError
from atonce.recipes import Recipe, to_yaml
from atonce.recipes.schema import MASK_LOSSES
from atonce.storage import file_stem, write_text
from atonce.text import distinct_names, words_of
from atonce.training.callbacks import Callback, CallbackList, StepRecord
from atonce.training.hardware import in_main_process
from atonce.training.run_folder import RunFolder
from atonce.training.training_run import TrainingRun
from atonce.untrusted_files import read_json

_TITLES = {"tensorboard": "TensorBoard", "mlflow": "MLflow", "wandb": "Weights & Biases"}
_PROJECT = "atonce"
_REMEDIES = {
    "tensorboard": "is the run folder writable?",
    "mlflow": "MLFLOW_TRACKING_URI says where it keeps its runs; a folder of files wants MLFLOW_ALLOW_FILE_STORE=true",
    "wandb": "log in by `wandb login`, or set WANDB_MODE=offline",
}


@contextmanager
def tracked(run: TrainingRun, callback: Callback, *, name: str | None = None) -> Iterator[Callback]:
    """Open the trackers that the recipe asks for, in the first process; yields a callback that feeds them, too.

    Args:
        name: of the run, for those who see it beside others; None for that of the run folder.

    Raises:
        TrainingError: a tracker does not start, in every process; nothing has been trained then, and of a new run
            nothing is left.
    """
    names = list(dict.fromkeys(run.recipe.train.track))
    if not names:
        yield callback
        return
    # accelerate warns of values that are dropped, which is done on purpose here.
    logging.getLogger("accelerate.tracking").setLevel(logging.ERROR)
    tracking = Tracking([], callback.on_note)
    title = name or run.folder.path.resolve().name
    outcome, began = "failed", False
    try:
        # Nobody trains while the first process says that it cannot begin.
        in_main_process(run.accelerator, lambda: tracking.start(names, run, title))
        began = True
        yield CallbackList([callback, tracking]) if run.is_main else callback
        outcome = "finished"
    except KeyboardInterrupt:
        outcome = "stopped"
        raise
    finally:
        tracking.finish(outcome)
        if not began:
            run.take_back()


class Tracker:
    """One tracker, as accelerate wraps it.

    Attributes:
        name: "tensorboard", "mlflow" or "wandb".
        title: its name for people.
    """

    def __init__(self, name: str, wrapped: Any) -> None:
        self.name, self.title, self._wrapped = name, _TITLES[name], wrapped

    def log(self, values: Mapping[str, float | None], step: int) -> None:
        """Log numbers by name; those that are not finite are left out."""
        finite = {key: float(value) for key, value in values.items() if value is not None and math.isfinite(value)}
        if self.name == "mlflow":
            # Of other characters it refuses the whole batch.
            names = distinct_names([re.sub(r"[^\w.\- :/]", "_", key) for key in finite])
            finite = dict(zip(names, finite.values(), strict=True))
        self._wrapped.log(finite, step=step)

    def log_picture(self, name: str, path: Path, step: int) -> None:
        """Log a picture's file under a name."""
        if self.name == "mlflow":
            self._wrapped.log_artifact(str(path), artifact_path="validation")
            return
        with Image.open(path) as picture:
            pixels = np.asarray(picture.convert("RGB"))
        if self.name == "tensorboard":
            self._wrapped.log_images({f"validation/{name}": pixels[None]}, step=step, dataformats="NHWC")
        else:
            self._wrapped.log_images({f"validation/{name}": [pixels]}, step=step)

    def log_recipe(self, recipe: Recipe, path: Path) -> None:
        """Log the recipe: as text, as parameters and a file, or as the configuration."""
        if self.name == "tensorboard":
            # Four blanks make a block of code in Markdown.
            text = "".join(
                f"    {line}\n" for line in to_yaml(recipe).splitlines() if not line.lstrip().startswith("#")
            )
            self._wrapped.log({"recipe": text}, step=0)
            return
        self._wrapped.store_init_configuration(_flat(recipe.model_dump(mode="json")))
        if self.name == "mlflow":
            self._wrapped.log_artifact(str(path))

    def finish(self, outcome: str) -> None:
        """End the tracker's run.

        Args:
            outcome: "finished", "stopped" or "failed".
        """
        if self.name == "wandb":
            self._wrapped.tracker.finish(exit_code=0 if outcome == "finished" else 1)
        elif self.name == "mlflow":
            import mlflow

            mlflow.end_run({"finished": "FINISHED", "stopped": "KILLED", "failed": "FAILED"}[outcome])
        else:
            self._wrapped.finish()


class Tracking(Callback):
    """Feeds trackers; one that fails on the way is let go of, with a note: the training does not depend on it."""

    may_stop = False

    def __init__(self, trackers: Sequence[Tracker], on_note: Callable[[str], None]) -> None:
        self._trackers, self._on_note = list(trackers), on_note
        self._let_go: list[Tracker] = []

    def start(self, names: Sequence[str], run: TrainingRun, title: str) -> None:
        """Start trackers in the places that the run has there, and log its recipe where it is new.

        Args:
            names: of "tensorboard", "mlflow" and "wandb".
            title: the name of the run there.

        Raises:
            TrainingError: one does not start; those before it are still to be finished.
        """
        for name in names:
            ids = _read_ids(run.folder)
            resumed = name in ids
            try:
                wrapped, where = _OPENERS[name](run, ids, title)
                tracker = Tracker(name, wrapped)
                self._trackers.append(tracker)
                _write_ids(run.folder, ids)
                if not resumed:
                    tracker.log_recipe(run.recipe, run.folder.recipe)
            except UserError:
                raise
            except Exception as error:
                found = f"train.track: {_TITLES[name]} does not start ({words_of(error, 300)})"
                raise TrainingError(found, remedy=_REMEDIES[name]) from None
            self._on_note(f"tracked: {tracker.title}, {where}")

    def on_log(self, run: TrainingRun, record: StepRecord) -> None:
        losses = ("loss", *MASK_LOSSES, "distillation", "l2")
        numbers = ("grad_norm", "train_mean_iou", "pictures_per_second", "waited")
        values = {f"train/{key.removeprefix('train_')}": getattr(record, key) for key in (*losses, *numbers)}
        rates = {f"lr/{group['name']}": group["lr"] for group in run.optimizer.param_groups}
        self._for_each(lambda tracker: tracker.log(values | rates, record.step))

    def on_validation_end(self, run: TrainingRun, row: dict[str, Any], *, best: bool) -> None:
        step = row["step"]
        values = {
            f"val/iou/{key.removeprefix('iou ')}" if key.startswith("iou ") else f"val/{key}": value
            for key, value in row.items()
            if key not in ("step", "minutes", "stride")
        }
        self._for_each(lambda tracker: tracker.log(values, step))
        for item in evenly_spaced(run.val_items, run.recipe.train.pictures):
            name = file_stem(item.name)
            path = run.folder.picture(item.name, step)
            if path.is_file():
                self._for_each(lambda tracker, name=name, path=path: tracker.log_picture(name, path, step))  # type: ignore[misc]

    def finish(self, outcome: str) -> None:
        """End what the trackers have begun, see `Tracker.finish`; also those that were let go of."""
        for tracker in self._let_go:
            with suppress(Exception):
                tracker.finish(outcome)
        self._for_each(lambda tracker: tracker.finish(outcome))

    def _for_each(self, act: Callable[[Tracker], None]) -> None:
        for tracker in list(self._trackers):
            try:
                act(tracker)
            except Exception as error:
                # Networks and disks of others have errors of every kind.
                self._trackers.remove(tracker)
                self._let_go.append(tracker)
                self._on_note(f"{tracker.title} is not written to any more: {words_of(error, 300)}")


def _tensorboard(run: TrainingRun, ids: dict[str, str], title: str) -> tuple[Any, str]:
    from accelerate.tracking import TensorBoardTracker

    folder = run.folder.tensorboard
    # What a session that was killed wrote after its last state, or before its first one, is hidden: it comes again.
    purge = {"purge_step": run.progress.step + 1} if "tensorboard" in ids else {}
    ids["tensorboard"] = folder.name
    tracker = TensorBoardTracker(folder.name, folder.parent, **purge)
    tracker.start()
    return tracker, f"events in {folder}"


def _mlflow(run: TrainingRun, ids: dict[str, str], title: str) -> tuple[Any, str]:
    # It would print its address on stdout, where the scores or one JSON document are.
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    import mlflow
    from accelerate.tracking import MLflowTracker

    tracker = MLflowTracker(_PROJECT, run_id=ids.get("mlflow"), run_name=title)
    tracker.start()
    ids["mlflow"] = tracker.tracker.info.run_id
    return tracker, f"run {ids['mlflow']} in {mlflow.get_tracking_uri()}"


def _wandb(run: TrainingRun, ids: dict[str, str], title: str) -> tuple[Any, str]:
    import wandb
    from accelerate.tracking import WandBTracker

    begun = "wandb" in ids
    ids.setdefault("wandb", secrets.token_hex(4))
    tracker = WandBTracker(
        os.environ.get("WANDB_PROJECT", _PROJECT),
        id=ids["wandb"],
        resume="allow" if begun else None,
        name=title,
        dir=str(run.folder.path.resolve()),
        # Whatever is printed would go through it, bars and JSON included.
        settings=wandb.Settings(console="off"),
    )
    tracker.start()
    return tracker, f"run {ids['wandb']} in {tracker.tracker.dir}"


_OPENERS = {"tensorboard": _tensorboard, "mlflow": _mlflow, "wandb": _wandb}
"""Each starts a tracker: it returns what accelerate wraps it in, and the place in words; an id goes into `ids`."""


def _read_ids(folder: RunFolder) -> dict[str, str]:
    """Read the ids of the runs that trackers have begun; empty where there are none, or they are damaged."""
    try:
        data = read_json(folder.trackers)
        return {str(name): str(value) for name, value in data.items()}
    except (OSError, ValueError, AttributeError):
        return {}


def _write_ids(folder: RunFolder, ids: Mapping[str, str]) -> None:
    write_text(folder.trackers, json.dumps(ids, indent=1))


def _flat(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Return the knobs by full name, lists and nothing as text: trackers know words and numbers."""
    found: dict[str, Any] = {}
    for section, values in recipe.items():
        for key, value in values.items() if isinstance(values, Mapping) else [("", values)]:
            name = f"{section}.{key}" if key else section
            found[name] = value if isinstance(value, (bool, int, float, str)) else json.dumps(value)
    return found
