"""Validation while training: scores at the pictures' own size, pictures to look at, the best model kept."""

from __future__ import annotations

import math
from typing import Any

from atonce.data.dataset import Sample
from atonce.data.sampling import evenly_spaced
from atonce.evaluation.scoring import PictureScore, panel, score_items
from atonce.inference import NetworkPredictor
from atonce.inference.result import Result
from atonce.metrics.confusion_matrix import ConfusionMatrix
from atonce.process_group import ProcessGroup
from atonce.reports.single_prediction import absent_but_predicted, single_prediction
from atonce.storage import nan_to_none, write_atomically
from atonce.training.callbacks import Callback, busy
from atonce.training.training_run import TrainingRun


def validate(run: TrainingRun, callback: Callback) -> None:
    """Score the validation split with the averaged weights where there are any; keep the best and the last model.

    Processes share the pictures. Raises StorageError: a model or picture cannot be written.
    """
    items = run.val_items
    shown = {item.name for item in evenly_spaced(items, run.recipe.train.pictures)}

    def draw(sample: Sample, result: Result, _: PictureScore) -> None:
        if sample.name in shown:
            picture = panel(sample.image, sample.mask, result.labels, run.dataset.labels)
            path = run.folder.picture(sample.name, run.progress.step)
            write_atomically(path, lambda temporary: picture.save(temporary, quality=88))

    if run.average:
        run.average.swap(run.model)
    try:
        model_file = run.model_file()
        engine = "torch-bf16" if run.accelerator.mixed_precision == "bf16" else "torch"
        predictor = NetworkPredictor(model_file, device=run.accelerator.device, engine=engine)
        confusion = score_items(
            predictor,
            run.dataset,
            items,
            on_picture=draw,
            progress=callback.on_validation_progress,
            group=ProcessGroup(run.rank, run.world),
        ).confusion
        row = _row(run, confusion)
        best = _finite(confusion.mean_iou) > run.progress.best_mean_iou
        if best:
            run.progress.best_mean_iou, run.progress.best_step = _finite(confusion.mean_iou), run.progress.step
        run.progress.validations.append(row)
        if run.is_main:
            model_file.scores = {**_origin(run), **confusion.scores(run.dataset.labels)}
            with busy(callback, "saving the network"):
                if best:
                    model_file.save(run.folder.model)
                model_file.save(run.folder.last)
            run.folder.write_metrics(run.progress.validations)
    finally:
        if run.average:
            run.average.swap(run.model)
        run.wrapped.train()
    callback.on_validation_end(run, row, best=best)
    collapsed = single_prediction(confusion.scores(run.dataset.labels)["classes"])
    if collapsed and not run.collapsed:
        callback.on_note(f"step {run.progress.step}: {collapsed}")
    run.collapsed = bool(collapsed)
    counted = confusion.scores(run.dataset.labels)["predicted_only"]
    if counted and not run.counted_absent:
        callback.on_note(f"step {run.progress.step}: {absent_but_predicted(counted)}")
        run.counted_absent = True


def _origin(run: TrainingRun) -> dict[str, Any]:
    """The split, the step, the seed and the commit that scores are of."""
    # Of several sessions, the first one says what the run was made with.
    commit = run.progress.sessions[0].get("commit") if run.progress.sessions else None
    return {"split": "val", "step": run.progress.step, "seed": run.recipe.train.seed, "commit": commit}


def _row(run: TrainingRun, confusion: ConfusionMatrix) -> dict[str, Any]:
    means = {
        "mean_iou": confusion.mean_iou,
        "pixel_accuracy": confusion.pixel_accuracy,
        "mean_accuracy": confusion.mean_accuracy,
        "frequency_weighted_iou": confusion.frequency_weighted_iou,
    }
    classes = {f"iou {name}": float(value) for name, value in zip(run.dataset.labels.names, confusion.iou, strict=True)}
    numbers = nan_to_none({name: round(value, 6) for name, value in (means | classes).items()})
    stage = {"stride": run.stage.stride} if len(run.stages) > 1 else {}
    return {"step": run.progress.step, "minutes": round(run.progress.seconds / 60, 2), **stage, **numbers}


def _finite(value: float) -> float:
    return value if math.isfinite(value) else 0.0
