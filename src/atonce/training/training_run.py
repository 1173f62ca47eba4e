"""A training run: its parts, and what it can do as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from atonce.adaptive_threads import AdaptiveThreads
from atonce.data.batches import BatchStream
from atonce.data.dataset import Dataset, Item
from atonce.data.input_size import InputSize
from atonce.data.mask_values import labels_with_mask_values
from atonce.model import FCN
from atonce.model_file import ModelFile
from atonce.recipes import Recipe
from atonce.text import count_of
from atonce.training.distillation import Teacher
from atonce.training.optimizers import MovingAverage, build_optimizer
from atonce.training.run_folder import RunFolder
from atonce.training.run_lock import RunLock
from atonce.training.stages import Stage, extend_to_stride
from atonce.training.state import RunProgress, save_state


@dataclass(kw_only=True)
class TrainingRun:
    """The parts of a training run, handed to the loop.

    Attributes:
        recipe: what the run goes by.
        folder: where its files are.
        lock: the right to write there; a context that gives it back, to be left when the run's last file is written.
        dataset: what it learns from.
        accelerator: device, processes and precision.
        model: the network itself.
        wrapped: the same, as accelerate wants it called (over several processes, say).
        optimizer: as accelerate wraps it.
        average: the moving average of the weights; None without.
        stream: the training batches.
        class_weights: float (C,), on the device; None where all are 1.
        progress: where the run stands.
        threads: how many torch computes with.
        about_data: format, fingerprint and split of the data, for the model file.
        stages: of which `progress.stage` is the present one.
        teacher: the network whose logits count beside the masks; None without.
        update_seconds: the time that this session has spent on updates so far.
        stop_reason: why a callback has asked the run to stop; None where none has.
        may_stop: whether a callback may ask at all; then the processes of a run agree on it at each step.
        counted_absent: whether this session has said that a class which no mask shows counts, since it was predicted.
        collapsed: whether the last validation of this session met one class only in the predictions.
    """

    recipe: Recipe
    folder: RunFolder
    lock: RunLock
    dataset: Dataset
    accelerator: Accelerator
    model: FCN
    wrapped: nn.Module
    optimizer: Any
    average: MovingAverage | None
    stream: BatchStream
    class_weights: Tensor | None
    progress: RunProgress
    threads: AdaptiveThreads
    about_data: dict[str, Any]
    stages: tuple[Stage, ...]
    teacher: Teacher | None = None
    update_seconds: float = 0.0
    stop_reason: str | None = None
    may_stop: bool = False
    collapsed: bool = False
    counted_absent: bool = False

    @property
    def stage(self) -> Stage:
        """The present stage."""
        return self.stages[self.progress.stage]

    @property
    def rank(self) -> int:
        """The number of this process; 0 is the main one, which writes."""
        return int(self.accelerator.process_index)

    @property
    def is_main(self) -> bool:
        """True in the process that writes."""
        return self.rank == 0

    @property
    def world(self) -> int:
        """The number of processes."""
        return int(self.accelerator.num_processes)

    @property
    def waited(self) -> float | None:
        """Share of this session's training, 0..1, that went by waiting for data; None where nothing was trained."""
        seconds = self.stream.waited + self.update_seconds
        return self.stream.waited / seconds if self.update_seconds else None

    @property
    def val_items(self) -> Sequence[Item]:
        """The validation split."""
        return self.dataset.split("val")

    def model_file(self) -> ModelFile:
        """Return the network as it stands, as a model file would hold it, without scores."""
        return ModelFile(
            self.model,
            labels_with_mask_values(self.dataset),
            InputSize.of_recipe(self.recipe.data),
            training_data=self.about_data,
            recipe=self.recipe.model_dump(mode="json"),
        )

    def stop(self, reason: str) -> None:
        """Ask the run to stop after the present step; it is then validated, saved and reported on as at its end.

        Args:
            reason: one line for the log.
        """
        self.stop_reason = self.stop_reason or reason

    def must_stop(self) -> bool:
        """Tell whether a callback of the first process has asked the run to stop."""
        if not self.may_stop:
            return False
        return bool(self.from_main(1.0 if self.stop_reason else 0.0))

    def out_of_patience(self) -> bool:
        """Tell whether train.patience ends the run: so many validations of its last stage without a better one.

        It follows from the validations alone, so that all processes, and a session that resumes the run, decide alike.
        """
        patience, progress = self.recipe.train.patience, self.progress
        if patience is None or self.stage is not self.stages[-1] or progress.best_mean_iou < 0:
            return False
        waited = sum(row["step"] > progress.best_step for row in progress.validations)
        if waited < patience:
            return False
        self.stop(f"{count_of(waited, 'validation')} without a better one (train.patience)")
        return True

    def in_any_process(self, *, asked: bool) -> bool:
        """Tell whether something is true in any process, so that all decide alike."""
        if self.world == 1:
            return asked
        number = torch.tensor(1.0 if asked else 0.0, device=self.accelerator.device)
        return float(self.accelerator.reduce(number, "sum")) > 0

    def from_main(self, value: float) -> float:
        """Broadcast the first process's number, so that all processes decide alike."""
        if self.world == 1:
            return value
        number = torch.tensor(value if self.is_main else 0.0, dtype=torch.float64, device=self.accelerator.device)
        return float(self.accelerator.reduce(number, "sum"))

    def next_stage(self) -> None:
        """Go on with the next finer network, made from the present one, and an optimiser without a history."""
        if self.average:
            # What a stage has come to is what it saves.
            self.average.swap(self.model)
        self.progress.stage, self.progress.stage_began = self.progress.stage + 1, self.progress.step
        self.progress.best_mean_iou = -1.0
        self.model = extend_to_stride(self.model, self.stage.stride)
        self.progress.model = self.model.config.model_dump(mode="json")
        self.accelerator.free_memory()
        optimizer, self.average = build_optimizer_and_average(self.model, self.recipe, self.accelerator)
        self.wrapped, self.optimizer = self.accelerator.prepare(self.model, optimizer)
        self.wrapped.train()

    def take_back(self) -> None:
        """Leave nothing of a run that began in this session and has not made a step; the lock is given back."""
        if self.is_main and self.folder.is_new:
            self.folder.take_back()
            self.lock.release()
            with suppress(OSError):  # somebody else has files there
                self.folder.path.rmdir()

    def save_state(self) -> None:
        """Save the state; every process may call it, the first one writes. Raises StorageError."""
        if self.is_main:
            optimizer = _unwrapped(self.optimizer)
            save_state(self.folder.state, self.progress, self.model, optimizer=optimizer, average=self.average)


def build_optimizer_and_average(
    model: FCN, recipe: Recipe, accelerator: Accelerator
) -> tuple[torch.optim.Optimizer, MovingAverage | None]:
    """Bring a network to its device; build its optimiser and, where there is to be one, the average of its weights."""
    model.to(accelerator.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    model.set_activation_checkpointing(enabled=recipe.train.activation_checkpointing)
    average = MovingAverage(model, recipe.optim.ema_decay) if recipe.optim.ema_decay else None
    return build_optimizer(model, recipe.optim), average


def _unwrapped(optimizer: Any) -> torch.optim.Optimizer:
    """Return the torch optimiser inside accelerate's wrapper."""
    inner = getattr(optimizer, "optimizer", optimizer)
    assert isinstance(inner, torch.optim.Optimizer)
    return inner
