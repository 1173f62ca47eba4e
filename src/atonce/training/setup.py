"""The parts of a training run, made from a recipe and a folder of data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from atonce.data import open_dataset
from atonce.data.augmentation import largest_sides
from atonce.data.batches import BatchStream, decoded_bytes
from atonce.data.cache import Cache, FileCache, MemoryCache, settings_of
from atonce.data.checks import CheckReport, check, fingerprint, raise_for_problems
from atonce.data.class_weights import class_weights
from atonce.data.dataset import Dataset
from atonce.data.input_size import InputSize
from atonce.data.picture_sizes import summarize_sizes
from atonce.data.problem_notes import problem_notes
from atonce.data.sampling import evenly_spaced
from atonce.doctor.statistics_findings import statistics_findings
from atonce.errors import DataError, TrainingError
from atonce.evaluation.own_evaluation import EVALUATION_FILES
from atonce.inference.network_predictor import network_input
from atonce.launcher import end_with_launcher
from atonce.model import FCN, initialise
from atonce.model.initialization import data_dependent_init
from atonce.model.skip_scaling import calibrate
from atonce.process_group import leave_group_at_exit
from atonce.provenance import Session, begin_session
from atonce.recipes import FCNConfig, Recipe
from atonce.text import count_of
from atonce.threads import at_most
from atonce.training.callbacks import Callback, busy
from atonce.training.distillation import load_teacher, require_same_teacher
from atonce.training.hardware import (
    accelerator_for,
    describe_hardware,
    in_main_process,
    require_divisible,
    threads_of_run,
    threads_to_record,
)
from atonce.training.recorded_data import DataOfRun, RecordedData, split_of_weights
from atonce.training.run_folder import RunFolder
from atonce.training.run_lock import RunLock
from atonce.training.stages import Stage, stages_of
from atonce.training.state import RunProgress, load_state, read_progress, terms_of, terms_since_log
from atonce.training.training_run import TrainingRun, build_optimizer_and_average
from atonce.weights import load_weights

_CALIBRATION_PICTURES = 16


def set_up(
    recipe: Recipe,
    data: Path,
    out: Path,
    *,
    resume: bool = False,
    device: str | None = None,
    session: Session | None = None,
    callback: Callback | None = None,
    dry_run: bool = False,
) -> TrainingRun:
    """Check the data, build the network, fill it, and create the run folder or read its state.

    Args:
        device: "cpu", "cuda", "cuda:1", ...; see `accelerator_for`.
        session: the call that this belongs to; None where it begins here.
        dry_run: the parts alone: nothing is written, and no lock is taken. `fit` must not be called with them.

    Raises:
        UserError: of the kind that fits; nothing has been trained or overwritten then.
    """
    callback, session = callback or Callback(), session or begin_session()
    # Before the processes wait for each other: the launcher may be gone by then.
    end_with_launcher()
    leave_group_at_exit()
    accelerator = accelerator_for(recipe, device)
    require_divisible(recipe, accelerator.num_processes)
    callback.on_note(describe_hardware(accelerator))
    lock = RunLock(out)
    try:
        return _set_up(
            recipe, data, lock, accelerator=accelerator, resume=resume, session=session, callback=callback,
            dry_run=dry_run,
        )  # fmt: skip
    except BaseException:
        lock.release()
        raise


def _set_up(
    recipe: Recipe,
    data: Path,
    lock: RunLock,
    *,
    accelerator: Accelerator,
    resume: bool,
    session: Session,
    callback: Callback,
    dry_run: bool,
) -> TrainingRun:
    """Set up a run as `set_up`; the lock is that of its folder, and is held at the end."""
    folder = RunFolder(lock.folder)
    if resume and folder.path.is_dir() and not dry_run:
        in_main_process(accelerator, lock.acquire)
    # A run that was killed before its first state begins again.
    resuming = resume and (folder.state.is_file() or not folder.recipe.is_file())
    folder.require_files(EVALUATION_FILES)
    if not resume:
        folder.require_place(data)
        folder.require_new()
    elif not resuming:
        folder.require_no_model()
        callback.on_note(f"{folder.path} holds no state yet: it begins at step 0")
    stages = stages_of(recipe)
    stage, data_of_run = stages[0], None
    if resuming:
        before, data_of_run = read_progress(folder.state), DataOfRun(folder, data)
        data_of_run.require_own_state(before)
        stage = _present(stages, before.stage, folder)
    dataset, report = _read_data(recipe, data, data_of_run, callback)
    # The run folder keeps the recipe as it was asked for; its epochs are steps from here on.
    asked, recipe = recipe, _with_steps(recipe, dataset, callback)
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
        if terms_since_log(progress) not in (None, terms_of(recipe)):
            # A line of the log is over steps that minimised one loss.
            progress.steps_since_log = {}
        if progress.crop:
            # data.crop or the zoom may be others than before.
            progress.crop = _crop_of_smaller_pictures(recipe, counts.sizes, callback)
        progress.sessions = progress.sessions or folder.sessions_of_first_edition()
    else:
        progress = RunProgress(model.config.model_dump(mode="json"))
        progress.crop = _crop_of_smaller_pictures(recipe, counts.sizes, callback)
    recipe = _with_crop(recipe, progress.crop)
    progress.teacher = teacher.sha256 if teacher else None
    threads = threads_of_run(accelerator, progress.threads, callback.on_note)
    progress.threads = threads_to_record(accelerator, threads, progress.threads)
    progress.sessions.append(asdict(session))

    def begin() -> None:
        folder.make()
        lock.acquire()
        if not resume:
            # Another run may have begun there in the meantime.
            folder.require_new()
        folder.write_recipe(asked)
        if data_of_run is None:
            recorded = RecordedData.describe(dataset, report, recipe)
            progress.run = recorded.run
            recorded.save(folder.data)
        elif data_of_run.recorded is None:
            replace(RecordedData.describe(dataset, report, recipe), run=progress.run).save(folder.data)
        folder.rewind(progress.logged, progress.validations)

    # Last of all that may fail: what has been refused leaves no run behind.
    if dry_run:
        cache: Cache = MemoryCache(0)
    else:
        in_main_process(accelerator, begin)
        cache = _cache(recipe, dataset, folder, accelerator=accelerator, sizes=counts.sizes, callback=callback)
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
        stream=_stream(recipe, dataset, accelerator=accelerator, cache=cache, callback=callback),
        class_weights=None if weights is None else weights.to(accelerator.device),
        progress=progress,
        threads=threads,
        about_data={
            **describe_data(dataset),
            "picture_sizes": summarize_sizes(counts.sizes),
            **({"teacher": teacher.sha256} if teacher else {}),
        },
        stages=stages,
        teacher=teacher,
    )


def _with_steps(recipe: Recipe, dataset: Dataset, callback: Callback) -> Recipe:
    """The recipe with its epochs as steps, now that the number of pictures is known.

    Raises:
        RecipeError: a stage would be shorter than one step.
    """
    if recipe.train.epochs is None:
        return recipe
    pictures = len(dataset.split("train"))
    knobs = recipe.train.with_steps_of_epochs(pictures)
    # Only now can it be told whether each stage has a step.
    stages_of(recipe.model_copy(update={"train": knobs.model_copy(update={"epochs": None})}))
    epochs, of = f"{knobs.epochs:g} epochs", f"{count_of(pictures, 'picture')} in batches of {knobs.batch_size}"
    callback.on_note(f"{epochs} of {of}: {count_of(knobs.steps, 'step')}")
    return recipe.model_copy(update={"train": knobs})


def _crop_of_smaller_pictures(recipe: Recipe, sizes: Mapping[tuple[int, int], int], callback: Callback) -> list[int]:
    """Height and width of crops that every picture fits into; empty where data.crop is no larger than that.

    What a crop holds beside the picture is void: it teaches nothing, and takes as long as the picture does.
    """
    crop, largest = recipe.data.crop, largest_sides(sizes, _input_size(recipe), recipe.augment)
    fitting = [min(pair) for pair in zip(crop, largest, strict=True)]
    if fitting == list(crop):
        return []
    callback.on_note(
        f"crops of {fitting[1]}x{fitting[0]} pixels, as large as the pictures become by zoom: data.crop is "
        f"{crop[1]}x{crop[0]}"
    )
    return fitting


def _with_crop(recipe: Recipe, crop: list[int]) -> Recipe:
    if not crop:
        return recipe
    return recipe.model_copy(update={"data": recipe.data.model_copy(update={"crop": (crop[0], crop[1])})})


def _network(recipe: Recipe, stage: Stage, dataset: Dataset, callback: Callback | None) -> FCN:
    """The network of a stage, initialised; where a new run begins (with a callback), filled from the weights."""
    model = FCN(recipe.model.model_copy(update={"stride": stage.stride}), dataset.labels.num_classes)
    # Not before: to build a network draws numbers, too. Variants that have a layer in common start it alike.
    torch.manual_seed(recipe.train.seed)
    initialise(model)
    if recipe.weights and callback:
        with busy(callback, "reading weights"):
            loaded = load_weights(model, recipe.weights, callback.on_download, classes=dataset.labels.names)
        callback.on_note(f"weights: {loaded.summary()}")
    return model


def _cache(
    recipe: Recipe,
    dataset: Dataset,
    folder: RunFolder,
    *,
    accelerator: Accelerator,
    sizes: Mapping[tuple[int, int], int],
    callback: Callback,
) -> Cache:
    """The store of decoded pictures; the first process clears away what is of no use there any more."""
    capacity, size, zoom = recipe.data.cache_mib << 20, _input_size(recipe), recipe.augment.scale[1]
    if (need := decoded_bytes(sizes, size, zoom)) > capacity > 0:
        remedy = "" if recipe.data.cache == "disk" else "; data.cache=disk and more room keep them in files"
        callback.on_note(
            f"decoded pictures take {need >> 20} MiB, data.cache_mib has room for {recipe.data.cache_mib}: "
            f"the others are decoded anew in every epoch{remedy}"
        )
    if recipe.data.cache == "memory" or not capacity:
        if accelerator.is_main_process:
            folder.remove_decoded()
        return MemoryCache(capacity)
    cache = FileCache(folder.decoded, capacity, settings_of(dataset, size, zoom))
    if accelerator.is_main_process:
        cache.tidy()
    return cache


def _stream(
    recipe: Recipe, dataset: Dataset, *, accelerator: Accelerator, cache: Cache, callback: Callback
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
        workers=at_most(recipe.data.workers),
        cache=cache,
        note=callback.on_note,
    )


def _input_size(recipe: Recipe) -> InputSize:
    return InputSize.of_recipe(recipe.data)


def _present(stages: tuple[Stage, ...], index: int, folder: RunFolder) -> Stage:
    if index >= len(stages):
        raise TrainingError(
            f"{folder.state} does not fit this recipe: it is in stage {index + 1} of {len(stages)} (schedule)",
            "the recipe the run began with",
        )
    return stages[index]


def describe_data(dataset: Dataset) -> dict[str, Any]:
    """The entry of a model file on the data behind it: format, fingerprint, numbers of pictures per split, notes."""
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
        images=config.images,
        masks=config.masks,
        bands=config.bands,
    )
    if data_of_run:
        dataset, note = data_of_run.restrict(dataset, recipe)
        if note:
            callback.on_note(note)
    elif recipe.weights:
        dataset, _ = split_of_weights(dataset, recipe.weights, recipe)
    callback.on_note(f"data: {dataset}")
    report = check(dataset, progress=callback.on_data_check)
    # A teacher knows the other classes, too: with one, masks of a single class can be learned from.
    alone = recipe.distill.teacher is None
    raise_for_problems((p for p in report.problems if alone or p.kind != "one-class"), dataset)
    for split in ("train", "val"):
        without = [item.name for item in dataset.split(split) if item.mask is None]
        if without:
            have = "has" if len(without) == 1 else "have"
            found = f"{count_of(len(without), 'picture')} of split '{split}' {have} no mask: {', '.join(without[:5])}"
            raise DataError(found)
    if data_of_run:
        data_of_run.require_same_masks(report)
    findings = statistics_findings(dataset, report.statistics)
    warnings = (f"warning: {'; '.join(finding.marked)}" for finding in findings if finding.severity == "warning")
    for note in (*dataset.notes, *problem_notes(report.problems, dataset.root), *warnings):
        callback.on_note(note)
    return dataset, report


def _calibrate(model: FCN, dataset: Dataset, recipe: Recipe, callback: Callback) -> None:
    """Measure what the recipe leaves to be measured, on the same pictures in every process."""
    before = model.config
    fresh = recipe.weights is None and recipe.model.trunk_init == "data"
    scales = "calibrate" in (before.skip_scales, before.head_scale)
    if not fresh and not scales:
        return
    chosen = evenly_spaced(dataset.split("train"), _CALIBRATION_PICTURES)
    size = _input_size(recipe)
    with busy(callback, "reading pictures to calibrate on"):
        pictures = [network_input(dataset.load(item).image, size) for item in chosen]
    if fresh:
        with busy(callback, "fitting the initial weights"):
            data_dependent_init(model, pictures)
    calibrated = calibrate(model, pictures, callback.on_calibration) if scales else before
    if scales and (found := _measured_scales(recipe.model, before, calibrated)):
        callback.on_note(f"calibrated on {count_of(len(chosen), 'picture')}: {', '.join(found)}")


def _measured_scales(network: FCNConfig, before: FCNConfig, after: FCNConfig) -> list[str]:
    """Say which scales calibration has put in place of which `calibrate`: "pool4 x 0.0123".

    Args:
        network: that of the end of the run, whose pools are named; a staged one begins with fewer.
    """
    found = []
    if before.skip_scales == "calibrate":
        scales = zip((4, 3), after.skip_scales, strict=True)
        found += [f"pool{pool} x {scale:.3g}" for pool, scale in scales if pool in network.skips]
    if before.head_scale == "calibrate":
        found.append(f"pool5 x {float(after.head_scale):.3g}")
    return found
