"""From a recipe and a folder of data to everything that a training run is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from atonce.bundle import Bundle
from atonce.data import open_dataset
from atonce.data.batches import BatchStream
from atonce.data.check import CheckReport, check, fingerprint, raise_for_problems
from atonce.data.samples import Dataset, Item
from atonce.data.sizes import InputSize
from atonce.errors import DataError, TrainingError
from atonce.model import FCN, initialise
from atonce.model.calibration import calibrate
from atonce.model.init import standardise
from atonce.predict.predictor import network_input
from atonce.recipe import Recipe
from atonce.train.events import Listener
from atonce.train.folder import RunFolder
from atonce.train.hardware import accelerator_for, require_divisible
from atonce.train.loss import class_weights
from atonce.train.optim import MovingAverage, build_optimizer
from atonce.train.stages import Stage, grown, stages_of
from atonce.train.state import Progress, load_state, read_progress, save_state
from atonce.weights import load_weights

_CALIBRATION_PICTURES = 16


@dataclass
class Run:
    """The parts of a training run, handed to the loop.

    Attributes:
        model: the network itself.
        wrapped: the same, as accelerate wants it called (over several processes, say).
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
    def val_items(self) -> Sequence[Item]:
        return self.dataset.split("val")

    def bundle(self, scores: dict[str, Any]) -> Bundle:
        """The network as it stands, as a model file would hold it."""
        size = InputSize(self.recipe.data.scale, self.recipe.data.max_side)
        recipe = self.recipe.model_dump(mode="json")
        return Bundle(self.model, self.dataset.labels, size, self.about_data, recipe, scores)

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
        self.model = grown(self.model, self.stage.stride)
        self.progress.model = self.model.config.model_dump(mode="json")
        self.accelerator.free_memory()
        optimizer, self.average = _equip(self.model, self.recipe, self.accelerator)
        self.wrapped, self.optimizer = self.accelerator.prepare(self.model, optimizer)
        self.wrapped.train()

    def save_state(self) -> None:
        """Every process may call it, the first one writes. Raises StorageError."""
        if self.main:
            save_state(self.folder.state, self.progress, self.model, _plain(self.optimizer), self.average)


def set_up(recipe: Recipe, data: Path, out: Path, resume: bool, listener: Listener) -> Run:
    """Check the data, build the network, fill it, and create the run directory or read its state.

    Raises:
        UserError: of the kind that fits; nothing has been trained or overwritten then.
    """
    accelerator = accelerator_for(recipe)
    require_divisible(recipe, accelerator.num_processes)
    folder = RunFolder(out)
    # A run that was killed before its first state begins again.
    going_on = resume and (folder.state.is_file() or not folder.recipe.is_file())
    if not resume:
        folder.require_new()
    stages = stages_of(recipe)
    stage = _present(stages, read_progress(folder.state).stage, folder) if going_on else stages[0]
    dataset, report = _read_data(recipe, data, listener)
    counts = report.statistics["train"]
    weights = class_weights(recipe.loss, counts.pixel_count, counts.pixels_of_pictures_with_class)
    model = _network(recipe, stage, dataset, None if going_on else listener)
    optimizer, average = _equip(model, recipe, accelerator)
    if going_on:
        progress = load_state(folder.state, model, optimizer, average)
    else:
        _calibrate(model, dataset, recipe, listener)
        progress = Progress(model.config.model_dump(mode="json"))
    # Last of all that may fail: what has been refused leaves no run behind.
    if accelerator.is_main_process:
        folder.create(recipe)
        folder.rewind(progress.step, progress.validations)
    accelerator.wait_for_everyone()
    wrapped, prepared = accelerator.prepare(model, optimizer)
    return Run(
        recipe,
        folder,
        dataset,
        accelerator,
        model,
        wrapped,
        prepared,
        average,
        _stream(recipe, dataset, accelerator),
        None if weights is None else weights.to(accelerator.device),
        progress,
        describe_data(dataset),
        stages,
    )


def _network(recipe: Recipe, stage: Stage, dataset: Dataset, listener: Listener | None) -> FCN:
    """The network of a stage, initialised; where a new run begins (with a listener), filled from the weights."""
    model = FCN(recipe.model.model_copy(update={"stride": stage.stride}), dataset.labels.num_classes)
    # Not before: to build a network draws numbers, too. Variants that have a layer in common start it alike.
    torch.manual_seed(recipe.train.seed)
    initialise(model)
    if recipe.weights and listener:
        loaded = load_weights(model, recipe.weights, listener.downloading)
        listener.note(f"weights: {loaded.layout}, {len(loaded.loaded)} layers; fresh: {', '.join(loaded.fresh)}")
    return model


def _stream(recipe: Recipe, dataset: Dataset, accelerator: Accelerator) -> BatchStream:
    return BatchStream(
        dataset,
        dataset.split("train"),
        recipe.train.batch_size,
        recipe.train.seed,
        InputSize(recipe.data.scale, recipe.data.max_side),
        max_zoom=recipe.augment.scale[1],
        rank=accelerator.process_index,
        world=accelerator.num_processes,
        workers=recipe.data.workers,
        cache_mib=recipe.data.cache_mib,
    )


def _equip(model: FCN, recipe: Recipe, accelerator: Accelerator) -> tuple[torch.optim.Optimizer, MovingAverage | None]:
    """Bring a network to its device; its optimiser and, where there is to be one, the average of its weights."""
    model.to(accelerator.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = MovingAverage(model, recipe.optim.ema_decay) if recipe.optim.ema_decay else None
    return build_optimizer(model, recipe.optim), average


def _present(stages: tuple[Stage, ...], index: int, folder: RunFolder) -> Stage:
    if index >= len(stages):
        raise TrainingError(
            f"{folder.state} does not fit this recipe: it is in stage {index + 1} of {len(stages)} (schedule)",
            "the recipe the run began with",
        )
    return stages[index]


def describe_data(dataset: Dataset) -> dict[str, Any]:
    """What a model file says of the data behind it."""
    return {
        "format": dataset.format,
        "fingerprint": fingerprint(dataset),
        "pictures": {split: len(items) for split, items in dataset.splits.items()},
        "notes": list(dataset.notes),
        **dict(dataset.extras),
    }


def _read_data(recipe: Recipe, data: Path, listener: Listener) -> tuple[Dataset, CheckReport]:
    config = recipe.data
    dataset = open_dataset(
        data,
        config.format,
        ground_truth=config.ground_truth,
        seed=config.split_seed,
        val_fraction=config.val_fraction,
    )
    report = check(dataset, progress=listener.checking)
    raise_for_problems(report.problems, dataset)
    for split in ("train", "val"):
        without = [item.name for item in dataset.split(split) if item.mask is None]
        if without:
            raise DataError(f"{len(without)} pictures of split '{split}' have no mask: {', '.join(without[:5])}")
    for note in dataset.notes:
        listener.note(note)
    return dataset, report


def _calibrate(model: FCN, dataset: Dataset, recipe: Recipe, listener: Listener) -> None:
    """Measure what the recipe leaves to be measured, on the same pictures in every process."""
    fresh = recipe.weights is None and recipe.model.trunk_init == "data"
    scales = "calibrate" in (recipe.model.skip_scales, recipe.model.head_scale)
    if not fresh and not scales:
        return
    items = dataset.split("train")
    chosen = [items[i * len(items) // _CALIBRATION_PICTURES] for i in range(min(len(items), _CALIBRATION_PICTURES))]
    size = InputSize(recipe.data.scale, recipe.data.max_side)
    pictures = [network_input(dataset.load(item).image, size) for item in chosen]
    if fresh:
        standardise(model, pictures)
    if scales:
        config = calibrate(model, pictures)
        found = ", ".join(f"pool{pool} x {scale:.3g}" for pool, scale in model.scales.items())
        listener.note(f"calibrated on {len(chosen)} pictures: {found}, pool5 x {float(config.head_scale):.3g}")


def _plain(optimizer: Any) -> torch.optim.Optimizer:
    """The torch optimiser inside accelerate's wrapper."""
    inner = getattr(optimizer, "optimizer", optimizer)
    assert isinstance(inner, torch.optim.Optimizer)
    return inner
