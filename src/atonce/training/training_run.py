"""A training run: its parts, and what it can do as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from atonce.data.batches import BatchStream
from atonce.data.dataset import Dataset, Item
from atonce.data.input_size import InputSize
from atonce.model import FCN
from atonce.model_file import ModelFile
from atonce.recipes import Recipe
from atonce.training.distillation import Teacher
from atonce.training.optimizers import MovingAverage, build_optimizer
from atonce.training.run_folder import RunFolder
from atonce.training.stages import Stage, extend_to_stride
from atonce.training.state import Progress, save_state


@dataclass
class Run:
    """The parts of a training run, handed to the loop.

    Attributes:
        model: the network itself.
        wrapped: the same, as accelerate wants it called (over several processes, say).
        busy: seconds that this session has spent on updates so far.
        teacher: whose opinion of each crop counts beside the mask.
        stages: of which `progress.stage` is the present one.
        rank: this process; 0 writes.
    """

    recipe: Recipe
    folder: RunFolder
    dataset: Dataset
    accelerator: Accelerator
    model: FCN
    wrapped: nn.Module
    optimizer: Any
    average: MovingAverage | None
    stream: BatchStream
    class_weights: Tensor | None
    progress: Progress
    about_data: dict[str, Any]
    stages: tuple[Stage, ...]
    teacher: Teacher | None = None
    busy: float = 0.0

    @property
    def stage(self) -> Stage:
        return self.stages[self.progress.stage]

    @property
    def rank(self) -> int:
        return int(self.accelerator.process_index)

    @property
    def main(self) -> bool:
        return self.rank == 0

    @property
    def world(self) -> int:
        return int(self.accelerator.num_processes)

    @property
    def waited(self) -> float | None:
        """Share of this session's training, 0..1, that went by waiting for data; None where nothing was trained."""
        return self.stream.waited / (self.stream.waited + self.busy) if self.busy else None

    @property
    def val_items(self) -> Sequence[Item]:
        return self.dataset.split("val")

    def bundle(self, scores: dict[str, Any]) -> ModelFile:
        """The network as it stands, as a model file would hold it."""
        size = InputSize(self.recipe.data.scale, self.recipe.data.max_side)
        recipe = self.recipe.model_dump(mode="json")
        return ModelFile(
            self.model, self.dataset.labels, size, training_data=self.about_data, recipe=recipe, scores=scores
        )

    def agree(self, value: float) -> float:
        """The first process's number, so that all processes decide alike."""
        if self.world == 1:
            return value
        number = torch.tensor(value if self.main else 0.0, dtype=torch.float64, device=self.accelerator.device)
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

    def save_state(self) -> None:
        """Every process may call it, the first one writes. Raises StorageError."""
        if self.main:
            save_state(self.folder.state, self.progress, self.model, _plain(self.optimizer), self.average)


def build_optimizer_and_average(
    model: FCN, recipe: Recipe, accelerator: Accelerator
) -> tuple[torch.optim.Optimizer, MovingAverage | None]:
    """Bring a network to its device; its optimiser and, where there is to be one, the average of its weights."""
    model.to(accelerator.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    model.set_activation_checkpointing(enabled=recipe.train.checkpoint)
    average = MovingAverage(model, recipe.optim.ema_decay) if recipe.optim.ema_decay else None
    return build_optimizer(model, recipe.optim), average


def _plain(optimizer: Any) -> torch.optim.Optimizer:
    """The torch optimiser inside accelerate's wrapper."""
    inner = getattr(optimizer, "optimizer", optimizer)
    assert isinstance(inner, torch.optim.Optimizer)
    return inner
