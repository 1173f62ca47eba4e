"""`atonce.evaluate`: score a model on a data set, and leave tables, gallery and report in a folder."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from fnmatch import fnmatchcase
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any, Literal

from atonce import provenance
from atonce.data import Dataset, Item, open_dataset
from atonce.data.formats import named_folder
from atonce.data.images import Problem
from atonce.data.problem_notes import tell_notes, tell_problems
from atonce.data.splits import keep_split, split_was_made
from atonce.errors import DataError, UserError, option
from atonce.evaluation.extra_metrics import CalibrationErrorMetric, default_metrics
from atonce.evaluation.gallery import Gallery
from atonce.evaluation.kitti_scores import RoadMetric, RoadSegmenter
from atonce.evaluation.own_evaluation import require_own_evaluation
from atonce.evaluation.scoring import Evaluation, ExtraMetric, score_items
from atonce.evaluation.trained_pictures import trained_pictures_note
from atonce.inference.load import Model, load
from atonce.inference.predictor import Predictor
from atonce.inference.segmenter import Segmenter
from atonce.inference.tta import AugmentedPredictor, TTAName
from atonce.model_file import ModelFile
from atonce.model_location import name_of_model, require_model_first
from atonce.process_group import ProcessGroup
from atonce.progress import ProgressCallback, shown_as
from atonce.remote import address_of, local_copy, results_at
from atonce.reports import write_report
from atonce.storage import make_folder, write_text
from atonce.text import count_of
from atonce.untrusted_files import parse_json


def evaluate(
    model: Model,
    data: str | PathLike[str],
    *,
    split: str = "val",
    only: Sequence[str] = (),
    metric: Literal["classes", "road"] = "classes",
    birdseye: bool = False,
    ground_truth: Literal["road", "lane"] | None = None,
    boundary: float | None = None,
    quick: bool = False,
    out: str | PathLike[str] | None = None,
    format: str | None = None,
    images: str | PathLike[str] | None = None,
    masks: str | PathLike[str] | None = None,
    device: str | None = None,
    engine: str | None = None,
    tta: TTAName | None = None,
    alone: bool = False,
    progress: bool | ProgressCallback = True,
    on_note: Callable[[str], None] | None = None,
) -> Evaluation:
    """Score a model on a split: one confusion matrix over all pictures, at the pictures' own size.

    Processes that torchrun or accelerate has started share the pictures; every one of them has to make this call, and
    returns the scores of all pictures, which are those of one process, bit for bit.

    The data are opened with the split and the ground truth that the model was trained with, so that "val" is what the
    model has not seen. Where it is not, as with another ground truth, and the model's run folder knows its pictures, a
    note says of how many.

    Args:
        model: a run folder, a model file, an exported file, what `train` returned, or a `Predictor`.
        data: the folder of the data set.
        split: "val", "train", "test", or "all" for train and val.
        only: names or patterns ("um_*"); pictures that match none of them are left out.
        metric: "classes" scores every class; "road" scores as the KITTI road benchmark does, too.
        birdseye: with metric "road": seen from above, which needs the pictures' camera calibration.
        ground_truth: KITTI road: "road" or "lane"; None takes what the model was trained on.
        boundary: tolerance of boundary F1 in pixels; None for 0.75 % of the picture's diagonal.
        quick: leave out boundary F1 and calibration error. The latter is left out, too, for a model that gives no
            probabilities (an exported file).
        out: a folder for evaluation.json, CSV, gallery and report.html; None writes nothing.
        format: the data's format; None recognises it.
        images, masks: the folders of pictures and of masks, where the layout is none that is known; None takes those
            that the model was trained with, where `data` has them.
        device, engine, tta: see `load`; run.json says which views were averaged.
        alone: score all pictures in this process, also where there are others.
        progress: whether progress is shown on stderr: a bar on a terminal and in a notebook, lines elsewhere; or a
            function called with (done, total).
        on_note: called with a line at a time: where it is computed, what was left out, what was lost in reading the
            pictures, how many the model was trained on, and of how many the size is far from that in training; None
            makes Python's warnings of the latter three.

    Returns:
        The `Evaluation`: `.mean_iou`, `.pixel_accuracy`, `.class_iou`, `.confusion`, `.to_json()`.

    Raises:
        UserError: options that contradict each other; no such model, data, split, device or engine.
        WeightsError: the model has other classes than the data.
        DataError: a picture without a mask, or one that cannot be read; files in `out` that no evaluation has written.
    """
    if birdseye and metric != "road":
        found = f"{option('birdseye', value=True)} with {option('metric', metric)}"
        raise UserError(found, option("metric", "road"), "only roads are seen from above")
    if quick and boundary is not None:
        found = f"{option('quick', value=True)} and {option('boundary')}"
        raise UserError(
            found, "one of them", f"{option('quick', value=True)} leaves out what {option('boundary')} is about"
        )
    require_model_first(model, [data], "evaluate")
    if out is not None and address_of(out) is None:
        require_own_evaluation(Path(out))  # before the seconds that loading takes
    session = provenance.begin_session()
    group = ProcessGroup() if alone else ProcessGroup.of_launcher()
    predictor = load(model, device=device, engine=engine, tta=tta)
    views = str(predictor.tta) if isinstance(predictor, AugmentedPredictor) else ""
    dataset = open_as_trained(
        predictor.model_file, data, format=format, ground_truth=ground_truth, images=images, masks=masks
    )
    items = choose_items(dataset, split, only)
    segmenter, metrics = _what_to_measure(
        predictor, dataset, items, metric=metric, birdseye=birdseye, quick=quick, tolerance=boundary
    )
    problems, notes = list(dataset.problems), Counter[str]()
    with (
        results_at(out) if out is not None else nullcontext() as results,
        shown_as("evaluating", progress=progress) as bar,
    ):
        if results:
            require_own_evaluation(results.folder)
        evaluation = evaluate_items(
            predictor,
            dataset,
            items,
            segmenter=segmenter,
            metrics=metrics,
            out=results.folder if results else None,
            about={"model": _name_of(model), "split": split, **({"tta": views} if views else {})},
            session=session,
            progress=_telling_first(bar, partial(on_note, predictor.hardware)) if on_note else bar,
            problems=problems,
            notes=notes,
            group=group,
        )
    tell_problems(problems, on_note, dataset.root)
    if known := trained_pictures_note(model, dataset, items, split):
        tell_notes([known], on_note)
    tell_notes((f"{count_of(pictures, 'picture')} of {note}" for note, pictures in notes.items()), on_note)
    for one in metrics:
        if on_note and isinstance(one, CalibrationErrorMetric) and one.left_out:
            on_note(
                f"calibration error leaves out {count_of(one.left_out, 'picture')} of {len(items)}: "
                "this model gives labels for them, but no probabilities"
            )
    return evaluation


def _telling_first(progress: ProgressCallback | None, tell: Callable[[], None]) -> ProgressCallback:
    """Tell something when the first picture is done: what is refused before that is one line, and no more."""
    told = False

    def count(done: int, total: int) -> None:
        nonlocal told
        if done and not told:
            told = True
            tell()
        if progress:
            progress(done, total)

    return count


def evaluate_items(
    predictor: Predictor,
    dataset: Dataset,
    items: Sequence[Item],
    *,
    metrics: Sequence[ExtraMetric[Any]],
    session: provenance.Session,
    segmenter: Segmenter | None = None,
    out: Path | None = None,
    about: Mapping[str, Any] | None = None,
    progress: ProgressCallback | None = None,
    problems: list[Problem] | None = None,
    notes: Counter[str] | None = None,
    group: ProcessGroup | None = None,
) -> Evaluation:
    """Score items; with a folder, leave scores, gallery, run.json and report there.

    Args:
        segmenter: the predictor as a metric sees it; None takes the predictor itself.
        session: the call that this belongs to, for run.json.
        out: the folder; None writes nothing.
        about: what run.json says beside versions and device.
        problems, notes: see `score_items`.
        group: processes that share the items, of which the first one writes; None for this one alone.
    """
    gallery, group = Gallery() if out else None, group or ProcessGroup()
    if out:
        make_folder(out)
    evaluation = score_items(
        segmenter or predictor,
        dataset,
        items,
        metrics=metrics,
        on_picture=gallery,
        progress=progress,
        problems=problems,
        notes=notes,
        group=group,
    )
    galleries = group.gather(lambda: gallery)
    if out and gallery and group.is_first:
        for other in galleries[1:]:
            if other:
                gallery.merge(other)
        evaluation.save(out)
        write_text(out / "gallery.json", json.dumps(gallery.save(out), indent=1))
        data = {"format": dataset.format, "folder": str(dataset.root), "pictures": len(items)}
        run = {**circumstances(predictor, session), "data": data, **(about or {})}
        write_text(out / "run.json", json.dumps(run, indent=1))
        write_report(out)
    return evaluation


def circumstances(predictor: Predictor, session: provenance.Session) -> dict[str, Any]:
    """Return versions, device, command and commit: what somebody needs to get the same numbers."""
    return {
        **provenance.describe_machine(predictor.device),
        "command": session.command,
        "commit": session.commit,
        "started": session.started,
        "parameters": sum(p.numel() for p in predictor.model.parameters()),
    }


def open_as_trained(
    model_file: ModelFile,
    data: str | PathLike[str],
    *,
    format: str | None = None,
    ground_truth: Literal["road", "lane"] | None = None,
    images: str | PathLike[str] | None = None,
    masks: str | PathLike[str] | None = None,
) -> Dataset:
    """Open data with the split and ground truth that a model was trained with, so that val is what val was.

    Args:
        format: the data's format; None recognises it.
        ground_truth: another one than the model's, for KITTI road.
        images, masks: folders of pictures and masks; None takes those that the model was trained with, if `data` has
            them.

    Raises:
        DataError: as `open_dataset`.
    """
    trained: dict[str, Any] = model_file.recipe.get("data", {})
    same: dict[str, Any] = {"seed": trained.get("split_seed", 0), "val_fraction": trained.get("val_fraction", 0.2)}
    same["bands"] = model_file.bands
    path = local_copy(data)
    same |= _folders_as_trained(path, trained, images, masks)
    if ground_truth:
        dataset = open_dataset(path, format, ground_truth=ground_truth, **same)
    else:
        dataset = open_dataset(path, format, **same)
        if trained.get("ground_truth") and dataset.format == "kitti-road":
            dataset = open_dataset(path, format, ground_truth=trained["ground_truth"], **same)
    return _with_split_of(model_file, dataset)


def _with_split_of(model_file: ModelFile, dataset: Dataset) -> Dataset:
    """Keep the model's validation pictures, also where pictures have been added to the data since: by the same seed,
    the split of more pictures is another one."""
    try:
        val = parse_json(model_file.training_data["split_val"])
    except (KeyError, TypeError, ValueError):
        return dataset
    if not split_was_made(dataset) or not isinstance(val, list):
        return dataset
    return keep_split(dataset, val=set(map(str, val)), whose="the model")[0]


def _folders_as_trained(
    data: Path,
    trained: Mapping[str, Any],
    images: str | PathLike[str] | None,
    masks: str | PathLike[str] | None,
) -> dict[str, str | PathLike[str] | None]:
    """The folders of pictures and masks: those given, else those of the model's recipe, if the data set has them."""
    if images is None and masks is None:
        known = {key: trained.get(key) for key in ("images", "masks")}
        if all(path is not None and named_folder(data, Path(path)) is not None for path in known.values()):
            return known
    return {"images": images, "masks": masks}


def choose_items(dataset: Dataset, split: str, only: Sequence[str] = ()) -> tuple[Item, ...]:
    """List the pictures of a split ("all": of train and val), or those of them whose name matches one of the patterns.

    Raises:
        DataError: no such split, or a pattern without a picture.
    """
    if split == "all":
        items = tuple(item for name in ("train", "val") if dataset.splits.get(name) for item in dataset.split(name))
    else:
        items = dataset.split(split)
    for pattern in only:
        if not any(fnmatchcase(item.name, pattern) for item in items):
            raise DataError(
                f"no picture of split '{split}' is named {pattern}",
                f"names like {items[0].name}" if items else "pictures",
                "" if split == "all" else f"{option('split', 'all')} looks in train and val",
            )
    return tuple(item for item in items if not only or any(fnmatchcase(item.name, pattern) for pattern in only))


def _what_to_measure(
    predictor: Predictor,
    dataset: Dataset,
    items: Sequence[Item],
    *,
    metric: str,
    birdseye: bool,
    quick: bool,
    tolerance: float | None,
) -> tuple[Segmenter, list[ExtraMetric[Any]]]:
    """Return the network as the metric sees it, and what is counted beside the confusion matrix."""
    segmenter: Segmenter = predictor
    metrics: list[ExtraMetric[Any]] = []
    if metric == "road":
        if dataset.format != "kitti-road":
            wanted = f"data_road of KITTI for {option('metric', 'road')}"
            raise DataError(f"{dataset.root} is of format {dataset.format}", wanted)
        segmenter = RoadSegmenter(predictor)
        metrics.append(RoadMetric(items, dataset.extras["ground_truth"], from_above=birdseye))
    if not quick:
        metrics += default_metrics(segmenter.labels, tolerance)
    return segmenter, metrics


def _name_of(model: Model) -> str:
    """Return what run.json calls the model."""
    return type(model).__name__ if isinstance(model, Predictor) else name_of_model(model)
