"""From a recipe and a folder of data to everything that a training run is made of."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from atonce.data import open_dataset
from atonce.data.batches import BatchStream, decoded_bytes
from atonce.data.cache import Cache, FileCache, MemoryCache, settings_of
from atonce.data.checks import CheckReport, check, fingerprint, raise_for_problems
from atonce.data.class_weights import class_weights
from atonce.data.dataset import Dataset
from atonce.data.input_size import InputSize
from atonce.data.picture_sizes import summarize_sizes
from atonce.data.sampling import evenly_spaced
from atonce.errors import DataError, TrainingError
from atonce.inference.network_predictor import network_input
from atonce.model import FCN, initialise
from atonce.model.initialization import data_dependent_init
from atonce.model.skip_scaling import calibrate
from atonce.recipes import Recipe
from atonce.training.callbacks import Callback
from atonce.training.distillation import load_teacher, require_same_teacher
from atonce.training.hardware import accelerator_for, in_main_process, require_divisible
from atonce.training.launcher import end_with_launcher
from atonce.training.recorded_data import DataOfRun, RecordedData, split_of_weights
from atonce.training.run_folder import RunFolder
from atonce.training.run_lock import RunLock
from atonce.training.stages import Stage, stages_of
from atonce.training.state import RunProgress, load_state, read_progress
from atonce.training.training_run import TrainingRun, build_optimizer_and_average
from atonce.weights import load_weights

_CALIBRATION_PICTURES = 16


def set_up(
    recipe: Recipe, data: Path, out: Path, *, resume: bool = False, callback: Callback | None = None
) -> TrainingRun:
    """Check the data, build the network, fill it, and create the run folder or read its state.

    Raises:
        UserError: of the kind that fits; nothing has been trained or overwritten then.
    """
    callback = callback or Callback()
    accelerator = accelerator_for(recipe)
    require_divisible(recipe, accelerator.num_processes)
    end_with_launcher()
    folder = RunFolder(out)
    lock = RunLock(out)
    try:
        return _set_up(recipe, data, folder, lock=lock, accelerator=accelerator, resume=resume, callback=callback)
    except BaseException:
        lock.release()
        raise


def _set_up(
    recipe: Recipe,
    data: Path,
    folder: RunFolder,
    *,
    lock: RunLock,
    accelerator: Accelerator,
    resume: bool,
    callback: Callback,
) -> TrainingRun:
    if resume and folder.path.is_dir():
        in_main_process(accelerator, lock.acquire)
    # A run that was killed before its first state begins again.
    resuming = resume and (folder.state.is_file() or not folder.recipe.is_file())
    if not resume:
        folder.require_new()
    elif not resuming:
        folder.require_no_model()
        callback.on_note(f"{folder.path} holds no state yet: it begins at step 0")
    stages = stages_of(recipe)
    stage = _present(stages, read_progress(folder.state).stage, folder) if resuming else stages[0]
    data_of_run = DataOfRun(folder, data) if resuming else None
    dataset, report = _read_data(recipe, data, data_of_run, callback)
    counts = report.statistics["train"]
    weights = class_weights(recipe.loss, counts.pixel_count, counts.pixels_of_pictures_with_class)
    teacher = load_teacher(recipe, dataset, counts.sizes, accelerator.device)
    model = _network(recipe, stage, dataset, None if resuming else callback)
    if not resuming:
        # Before the average of the weights begins, since this may change them.
        _calibrate(model.to(accelerator.device), dataset, recipe, callback)
    optimizer, average = build_optimizer_and_average(model, recipe, accelerator)
    if resuming:
        progress = load_state(folder.state, model, optimizer, average)
        require_same_teacher(teacher, progress.teacher, recipe)
    else:
        progress = RunProgress(model.config.model_dump(mode="json"))
    progress.teacher = teacher.sha256 if teacher else None

    # Last of all that may fail: what has been refused leaves no run behind.
    def begin() -> None:
        folder.make()
        lock.acquire()
        if not resume:
            # Another run may have begun there in the meantime.
            folder.require_new()
        folder.write_recipe(recipe)
        if data_of_run is None or data_of_run.recorded is None:
            RecordedData.describe(dataset, report, recipe).save(folder.data)
        folder.rewind(progress.step, progress.validations)

    in_main_process(accelerator, begin)
    cache = _cache(recipe, dataset, folder, accelerator, counts.sizes, callback)
    accelerator.wait_for_everyone()
    wrapped, prepared = accelerator.prepare(model, optimizer)
    return TrainingRun(
        recipe=recipe,
        folder=folder,
        lock=lock,
        dataset=dataset,
        accelerator=accelerator,
        model=model,
        wrapped=wrapped,
        optimizer=prepared,
        average=average,
        stream=_stream(recipe, dataset, accelerator, cache, callback),
        class_weights=None if weights is None else weights.to(accelerator.device),
        progress=progress,
        about_data={
            **describe_data(dataset),
            "picture_sizes": summarize_sizes(counts.sizes),
            **({"teacher": teacher.sha256} if teacher else {}),
        },
        stages=stages,
        teacher=teacher,
    )


def _network(recipe: Recipe, stage: Stage, dataset: Dataset, callback: Callback | None) -> FCN:
    """The network of a stage, initialised; where a new run begins (with a callback), filled from the weights."""
    model = FCN(recipe.model.model_copy(update={"stride": stage.stride}), dataset.labels.num_classes)
    # Not before: to build a network draws numbers, too. Variants that have a layer in common start it alike.
    torch.manual_seed(recipe.train.seed)
    initialise(model)
    if recipe.weights and callback:
        loaded = load_weights(model, recipe.weights, callback.on_download, classes=dataset.labels.names)
        callback.on_note(f"weights: {loaded.summary()}")
    return model


def _cache(
    recipe: Recipe,
    dataset: Dataset,
    folder: RunFolder,
    accelerator: Accelerator,
    sizes: Mapping[tuple[int, int], int],
    callback: Callback,
) -> Cache:
    """Where decoded pictures are kept; the first process clears away what is of no use there any more."""
    room, size, zoom = recipe.data.cache_mib << 20, _input_size(recipe), recipe.augment.scale[1]
    if (need := decoded_bytes(sizes, size, zoom)) > room > 0:
        remedy = "" if recipe.data.cache == "disk" else "; data.cache=disk and more room keep them in files"
        callback.on_note(
            f"decoded pictures take {need >> 20} MiB, data.cache_mib has room for {recipe.data.cache_mib}: "
            f"the others are decoded anew in every epoch{remedy}"
        )
    if recipe.data.cache == "memory" or not room:
        if accelerator.is_main_process:
            folder.remove_decoded()
        return MemoryCache(room)
    cache = FileCache(folder.decoded, room, settings_of(dataset, size, zoom))
    if accelerator.is_main_process:
        cache.tidy()
    return cache


def _stream(
    recipe: Recipe, dataset: Dataset, accelerator: Accelerator, cache: Cache, callback: Callback
) -> BatchStream:
    return BatchStream(
        dataset,
        dataset.split("train"),
        batch_size=recipe.train.batch_size,
        seed=recipe.train.seed,
        input_size=_input_size(recipe),
        max_zoom=recipe.augment.scale[1],
        rank=accelerator.process_index,
        world=accelerator.num_processes,
        workers=recipe.data.workers,
        cache=cache,
        note=callback.on_note,
    )


def _input_size(recipe: Recipe) -> InputSize:
    return InputSize(recipe.data.scale, recipe.data.max_side)


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


def _read_data(
    recipe: Recipe, data: Path, data_of_run: DataOfRun | None, callback: Callback
) -> tuple[Dataset, CheckReport]:
    """Open and check the data; of a run that is resumed, those that it began with."""
    config = recipe.data
    dataset = open_dataset(
        data,
        config.format,
        ground_truth=config.ground_truth,
        seed=config.split_seed,
        val_fraction=config.val_fraction,
    )
    if data_of_run:
        dataset, note = data_of_run.restrict(dataset, recipe)
        if note:
            callback.on_note(note)
    elif recipe.weights:
        dataset, _ = split_of_weights(dataset, recipe.weights, recipe)
    report = check(dataset, progress=callback.on_data_check)
    # A teacher knows the other classes, too: with one, masks of a single class can be learned from.
    alone = recipe.distill.teacher is None
    raise_for_problems((p for p in report.problems if alone or p.kind != "one-class"), dataset)
    for split in ("train", "val"):
        without = [item.name for item in dataset.split(split) if item.mask is None]
        if without:
            raise DataError(f"{len(without)} pictures of split '{split}' have no mask: {', '.join(without[:5])}")
    if data_of_run:
        data_of_run.require_same_masks(report)
    for note in dataset.notes:
        callback.on_note(note)
    return dataset, report


def _calibrate(model: FCN, dataset: Dataset, recipe: Recipe, callback: Callback) -> None:
    """Measure what the recipe leaves to be measured, on the same pictures in every process."""
    fresh = recipe.weights is None and recipe.model.trunk_init == "data"
    scales = "calibrate" in (recipe.model.skip_scales, recipe.model.head_scale)
    if not fresh and not scales:
        return
    chosen = evenly_spaced(dataset.split("train"), _CALIBRATION_PICTURES)
    size = InputSize(recipe.data.scale, recipe.data.max_side)
    pictures = [network_input(dataset.load(item).image, size) for item in chosen]
    if fresh:
        data_dependent_init(model, pictures)
    if scales:
        config = calibrate(model, pictures)
        found = ", ".join(f"pool{pool} x {scale:.3g}" for pool, scale in model.scales.items())
        callback.on_note(f"calibrated on {len(chosen)} pictures: {found}, pool5 x {float(config.head_scale):.3g}")
