"""`atonce.plan`: what a training would do, how long it would take and how much memory, from two real steps."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from os import PathLike
from pathlib import Path
from typing import Any

import torch

from atonce.data.sampling import evenly_spaced
from atonce.evaluation.scoring import score_items
from atonce.inference import NetworkPredictor
from atonce.progress import ProgressCallback, shown_as
from atonce.recipes import Recipe
from atonce.remote import local_copy
from atonce.training.callbacks import Callback, CallbackList
from atonce.training.hardware import describe_hardware
from atonce.training.loop import share_of, stage_learning_rate, update
from atonce.training.optimizers import set_learning_rate
from atonce.training.progress_display import progress_display
from atonce.training.recipe_choice import choose_run
from atonce.training.run_folder import RunFolder
from atonce.training.run_length import parts_of
from atonce.training.setup import set_up
from atonce.training.step_log import StepLog
from atonce.training.training_run import TrainingRun
from atonce.weights.registry import REGISTRY, cache_folder

_STEPS, _PICTURES = 2, 2
"""Steps and validation pictures that are tried: the first of each allocates memory and prepares kernels; the second is
what one takes."""


@dataclass(frozen=True, kw_only=True)
class TrainingPlan:
    """A training as it would be.

    Attributes:
        folder: the run folder, where nothing has been written.
        recipe: the whole recipe, epochs turned into steps.
        data: format, root, pictures of each split, names of the classes, and [width, height] of the smallest, median
            and largest training picture.
        hardware: what it computes on, in words.
        parameters: weights of the network.
        steps: updates that would be made; a guess where minutes end the run.
        steps_left: those that the recipe asks for and the run has not made yet.
        epochs: passes over the training pictures that these are.
        validations: how many there would be.
        seconds_per_step: time of the second of two real steps, without waiting for data.
        seconds_per_picture: time to predict and score a validation picture.
        seconds: the whole time, guessed from these.
        memory_bytes: peak of two steps and a prediction: of the GPU, or of this process; None where nothing tells.
        notes: what would be said before the first step, a line for each.
    """

    folder: Path
    recipe: Recipe
    data: dict[str, Any]
    hardware: str
    parameters: int
    steps: int
    steps_left: int
    epochs: float
    validations: int
    seconds_per_step: float
    seconds_per_picture: float
    seconds: float
    memory_bytes: int | None
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return what `atonce train` prints of a plan as JSON; the page "The command line" explains the keys."""
        return {
            "folder": str(self.folder),
            "data": self.data,
            "hardware": self.hardware,
            "parameters": self.parameters,
            "steps": self.steps,
            "steps_left": self.steps_left,
            "epochs": self.epochs,
            "validations": self.validations,
            "seconds_per_step": self.seconds_per_step,
            "seconds_per_picture": self.seconds_per_picture,
            "seconds": self.seconds,
            "memory_bytes": self.memory_bytes,
            "notes": list(self.notes),
            "recipe": self.recipe.model_dump(mode="json"),
        }


class _Notes(Callback):
    may_stop = False

    def __init__(self) -> None:
        self.lines: list[str] = []

    def on_note(self, text: str) -> None:
        self.lines.append(text)


def plan(
    data: str | PathLike[str], *, device: str | None = None, progress: bool = True, **options: Any
) -> TrainingPlan:
    """Say what `atonce.train` would do, and try two steps of it; nothing is written, nor downloaded.

    >>> plan = atonce.plan("path/to/data", recipe="folder", max_minutes=20)   # doctest: +SKIP
    >>> plan.seconds / 3600, plan.memory_bytes / 1e9                          # doctest: +SKIP

    Args:
        data: the folder of the data set, or its address: what lies there is copied.
        device, progress: as in `atonce.train`.
        options: its other ones: recipe, out, weights, overrides, resume, ...

    Raises:
        UserError: what `atonce.train` would refuse before its first step.
    """
    folder, recipe = choose_run(data, **options)
    notes, weights = _Notes(), recipe.weights
    resume = bool(options.get("resume", False))
    # A run with a state to go on from has read its weights.
    begun = resume and RunFolder(folder).state.is_file()
    if not begun and weights in REGISTRY and not (cache_folder() / REGISTRY[str(weights)].file_name).is_file():
        notes.on_note(f"weights: {weights} would be downloaded; tried out with random ones")
        recipe = recipe.model_copy(update={"weights": None})
    # Before the network is there: of a CPU, the peak is that of the whole process.
    _forget_peak_memory()
    with progress_display() if progress else nullcontext(Callback()) as display:
        callback = CallbackList([notes, display])
        run = set_up(recipe, local_copy(data), folder, resume=resume, device=device, callback=callback, dry_run=True)
    whole = run.recipe.model_copy(update={"weights": weights})
    with shown_as("trying it out", progress=progress) as tried:
        return _plan_of(run, notes.lines, whole, tried or _shown_nowhere)


def _shown_nowhere(done: int, total: int) -> None:
    """Show no progress."""


def _plan_of(run: TrainingRun, notes: list[str], recipe: Recipe, progress: ProgressCallback) -> TrainingPlan:
    """Try a set-up run out.

    Args:
        progress: told of each step and picture that is tried.
        recipe: that of the training, which may be tried out without its weights.
    """
    knobs = run.recipe.train
    left = max(0, knobs.steps - run.progress.step)
    tried = 0

    def one_more() -> None:
        nonlocal tried
        tried += 1
        progress(tried, _STEPS + _PICTURES)

    progress(0, _STEPS + _PICTURES)
    per_step, per_picture = _time_steps(run, one_more), _time_validation(run, one_more)
    pictures = len(run.val_items)
    validations = parts_of(knobs) if knobs.validate_every is None else -(-knobs.steps // knobs.validate_every)
    validations = round(validations * left / knobs.steps)
    validating = pictures * per_picture / run.world
    steps, seconds = left, left * per_step + validations * validating
    if knobs.max_minutes and (limit := max(0.0, 60 * knobs.max_minutes - run.progress.seconds)) < seconds:
        steps, seconds = min(left, round(max(0.0, limit - validations * validating) / per_step)), limit
    # The best model is evaluated at the end, by one process.
    seconds += pictures * per_picture
    train = run.dataset.split("train")
    return TrainingPlan(
        folder=run.folder.path,
        recipe=recipe,
        data={
            "format": run.dataset.format,
            "root": str(run.dataset.root),
            "pictures": {split: len(items) for split, items in run.dataset.splits.items()},
            "classes": list(run.dataset.labels.names),
            "picture_sizes": run.about_data["picture_sizes"],
        },
        hardware=describe_hardware(run.accelerator),
        parameters=sum(parameter.numel() for parameter in run.model.parameters()),
        steps=steps,
        steps_left=left,
        epochs=steps * knobs.batch_size / len(train),
        validations=validations,
        seconds_per_step=per_step,
        seconds_per_picture=per_picture,
        seconds=seconds,
        memory_bytes=_peak_memory(run),
        notes=tuple(notes),
    )


def _time_steps(run: TrainingRun, one_more: Callable[[], None]) -> float:
    """Make two updates, in memory alone; the time of the last one in seconds."""
    step_log, seconds = StepLog(run, Callback()), 0.0
    run.wrapped.train()
    first = run.progress.step
    for step, batch in run.stream.batches(first, first + _STEPS):
        set_learning_rate(run.optimizer, stage_learning_rate(run, step, share_of(run)))
        began = time.perf_counter()
        # Losses are numbers on the CPU when it returns, so that a GPU has done its work.
        with run.threads.work():
            update(run, batch, step_log)
        seconds = time.perf_counter() - began
        one_more()
    return seconds


def _time_validation(run: TrainingRun, one_more: Callable[[], None]) -> float:
    """Predict and score two validation pictures; the time of the last one in seconds."""
    predictor = NetworkPredictor(run.model_file(), device=run.accelerator.device)
    seconds = 0.0
    for item in evenly_spaced(run.val_items, _PICTURES):
        began = time.perf_counter()
        score_items(predictor, run.dataset, [item])
        seconds = time.perf_counter() - began
        one_more()
    return seconds


def _forget_peak_memory() -> None:
    """Let the peak of the memory begin anew, where the system can: of a process that has done other things before, as
    a notebook has, it would be theirs."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    with suppress(OSError):  # Linux alone has it
        Path("/proc/self/clear_refs").write_text("5")


def _peak_memory(run: TrainingRun) -> int | None:
    if run.accelerator.device.type == "cuda":
        return int(torch.cuda.max_memory_reserved(run.accelerator.device))
    if not find_spec("resource"):
        return None  # not a POSIX system
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak if sys.platform == "darwin" else peak * 1024)
