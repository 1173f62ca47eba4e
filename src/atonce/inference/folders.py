"""`atonce.predict`: segment pictures, videos and folders of them into files, and go on when one of them is broken."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from atonce.data.images import Problem, read_size
from atonce.data.problem_notes import problem_notes, tell_problems
from atonce.errors import DataError, UserError, as_python, option
from atonce.inference import finished_results, own_results
from atonce.inference.annotation_files import CONFIDENCES_KEY, AnnotationFiles, AnnotationKind, require_kinds
from atonce.inference.annotations import class_confidences
from atonce.inference.inputs import Job, find_jobs
from atonce.inference.load import Model, load
from atonce.inference.pixel_limit import MAX_MEGAPIXELS, PixelLimit
from atonce.inference.predictor import Predictor
from atonce.inference.result import (
    LABEL_STYLES,
    LabelStyle,
    Result,
    read_labels,
    require_distinct_colours,
    require_one_for_threshold,
)
from atonce.inference.tta import TTA, TTAName
from atonce.inference.video.container import frames_stated
from atonce.inference.video.overlay import VideoReport, overlay_suffix, predict_video
from atonce.labels import ColourName, LabelSpec
from atonce.model_location import find_model_file, require_model_first
from atonce.progress import ProgressCallback
from atonce.storage import allocate, make_folder, write_atomically
from atonce.text import count_of

_JPEG_SIDE = 65_500
"""Pixels; libjpeg's own limit."""


OverlayKind = Literal["jpg", "png", "none"]
OVERLAY_KINDS: tuple[str, ...] = get_args(OverlayKind)


@dataclass(frozen=True, kw_only=True)
class OutputOptions:
    """The choice of files that are written for each picture and video.

    Attributes:
        opacity: weight of the colours in the overlays, 0..1.
        colours: other colours than the model's, by class.
        only: the classes that overlays, labels, maps and annotations are of; None takes all.
        threshold: 0..1; the one class in `only` is where its probability is at least this.
        overlays: the format of pictures' overlays.
        labels: how label pictures are written, see `Result.label_image`.
        probabilities: whether pictures' probabilities are written, too.
        maps: whether a grey picture of the probability of each class is written, too.
        label_video: whether videos' label ids are written, too.
        audio: whether the sound of videos is copied.
        write: the annotations that are written of pictures.
        simplify: pixels by which outlines in annotations may be off.
        min_area: areas of fewer pixels are left out of annotations.
    """

    opacity: float = 0.5
    colours: Mapping[str, ColourName] = field(default_factory=dict)
    only: tuple[str, ...] | None = None
    threshold: float | None = None
    overlays: OverlayKind = "jpg"
    labels: LabelStyle = "palette"
    probabilities: bool = False
    maps: bool = False
    label_video: bool = False
    audio: bool = True
    write: tuple[AnnotationKind, ...] = ()
    simplify: float = 1.0
    min_area: float = 0.0

    def that_matter(self, job: Job) -> dict[str, Any]:
        """Return the options that change the results of a job, by name.

        Annotations follow from labels, and are not among them. Options that came later are there where they are not
        as they were before: results of the first edition are results to go on with.
        """
        same: dict[str, Any] = {"opacity": self.opacity}
        later: dict[str, Any] = {
            "colours": {name: list(colour) for name, colour in sorted(self.colours.items())},
            "only": sorted(self.only) if self.only is not None else None,
            "threshold": self.threshold,
        }
        default: dict[str, Any] = {"colours": {}, "only": None, "threshold": None}
        if job.is_video:
            same |= {"label_video": self.label_video, "audio": self.audio}
        else:
            same |= {"probabilities": self.probabilities}
            later |= {"overlays": self.overlays, "labels": self.labels, "maps": self.maps}
            default |= {"overlays": "jpg", "labels": "palette", "maps": False}
        return same | {name: value for name, value in later.items() if value != default[name]}

    def mapped(self, spec: LabelSpec) -> tuple[str, ...]:
        """Return the classes whose probability is written as a picture."""
        if not self.maps:
            return ()
        return spec.names if self.only is None else self.only

    def resolved(self, spec: LabelSpec) -> OutputOptions:
        """Return the options with class names and colours as the model has them.

        Raises:
            UserError: there is no such class, colour, format or kind; options that do not go together.
        """
        require_kinds(self.write)
        for name, value, known in (("labels", self.labels, LABEL_STYLES), ("overlays", self.overlays, OVERLAY_KINDS)):
            if value not in known:
                raise UserError(option(name, value), f"one of {', '.join(known)}")
        only = None if self.only is None else tuple(spec.names[i] for i in spec.ids_of(self.only))
        if self.threshold is not None:
            require_one_for_threshold(only or (), self.threshold)
        coloured = spec.with_colours(self.colours)
        colours = {spec.names[i]: coloured.palette[i] for i in spec.ids_of(self.colours)}
        if self.labels == "values":
            spec.value_lookup()
        if self.labels == "colours":
            require_distinct_colours(coloured)
        return replace(self, only=only, colours=colours)


@dataclass
class Summary:
    """The outcome of `predict`.

    Attributes:
        out: the folder of the results.
        jobs: the pictures and videos that were found.
        done: how many of them were segmented.
        skipped: how many were finished already.
        videos: a report for each video that was segmented.
        broken: an error for each file that could not be read.
        problems: what was lost in reading the pictures: bands and pages that were left out, numbers that became black.
    """

    out: Path = Path()
    jobs: Sequence[Job] = ()
    done: int = 0
    skipped: int = 0
    videos: list[VideoReport] = field(default_factory=list)
    broken: list[DataError] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def predict(
    model: Model,
    inputs: str | PathLike[str] | Sequence[str | PathLike[str]],
    *,
    out: str | PathLike[str] = "out",
    opacity: float = 0.5,
    only: str | Sequence[str] | None = None,
    colours: Mapping[str, ColourName] | None = None,
    threshold: float | None = None,
    overlays: OverlayKind = "jpg",
    labels: LabelStyle = "palette",
    probabilities: bool = False,
    maps: bool = False,
    label_video: bool = False,
    audio: bool = True,
    write: AnnotationKind | Sequence[AnnotationKind] = (),
    simplify: float = 1.0,
    min_area: float = 0.0,
    scale: float | None = None,
    size: int | None = None,
    tta: TTAName | None = None,
    overwrite: bool = False,
    max_megapixels: float = MAX_MEGAPIXELS,
    device: str | None = None,
    engine: str | None = None,
    progress: ProgressCallback | None = None,
    on_note: Callable[[str], None] | None = None,
) -> Summary:
    """Segment pictures, videos and folders of them, as `atonce predict` does.

    Writes overlays/NAME.jpg and labels/NAME.png for each picture, overlays/NAME.mp4 for each video. What the same model
    has done with the same options is skipped; a model given as a `Predictor` has no file by which it could be known
    again, so that everything is done anew. Of a folder, its earlier results are left out, and of a data set its masks.

    Args:
        model: a run folder, a model file, an exported file, what `train` returned, or a `Predictor`.
        inputs: a file or folder, or several.
        out: the folder for overlays/, labels/ and what else is asked for.
        opacity: weight of the colours in the overlays, 0..1.
        only: a class, or several: overlays, labels, maps and annotations are of these alone; the rest of a picture
            stays as it is, and in labels becomes background, the other one of two classes, or void.
        colours: other colours than the model's, by class: {"road": "#00ff00"}.
        threshold: 0..1; the one class in `only` is where its probability is at least this, instead of where it is the
            most probable one.
        overlays: "jpg", "png", or "none" for no overlays of pictures.
        labels: label pictures as "palette" (ids, with the colours as a palette), "grey" (ids, as OpenCV reads them),
            "values" (those of the masks that the model was trained on) or "colours".
        probabilities: also write float32 (C, H, W) of each picture to probabilities/NAME.npy.
        maps: also write each class's probability to maps/CLASS/NAME.png, grey, 255 for 1; with a threshold 255 where
            it is reached and 0 elsewhere.
        label_video: also write the ids of each video to labels/NAME.mkv, grey, lossless.
        audio: copy the sound of videos.
        write: annotations of pictures: "coco" (coco.json, run-length masks), "labelme" (labelme/NAME.json, polygons),
            "json" (json/NAME.json, see `Result.to_dict`), "csv" (areas.csv: pixels and share of each class).
        simplify: pixels by which the polygons of "labelme" and "json" may be off.
        min_area: areas of fewer pixels are left out of annotations.
        scale, size: the size at which the network sees pictures, see `load`.
        tta: test-time augmentation, see `load`: better labels for two to seven times the time.
        overwrite: do once more what is finished already, whoever made it.
        max_megapixels: the most of a picture, and of what the network computes for it; larger ones are left out, as
            broken ones are.
        device, engine: see `load`.
        progress: called with what is done and what there is to do: pictures and frames.
        on_note: called with what a user should know, a line at a time: masks of a data set that were left out, videos
            that differ from what came in, pictures of another size than in training, what was lost in reading them;
            None makes Python's warnings of the latter.

    Raises:
        UserError: no such file, model, class, device or engine; there are results of another model or of other options,
            or files that were not written by atonce; options that contradict each other.
        StorageError: `out` cannot be written.
    """
    paths = [inputs] if isinstance(inputs, (str, PathLike)) else inputs
    require_model_first(model, paths, "predict")
    problems: list[DataError] = []
    jobs = find_jobs([Path(path) for path in paths], out=Path(out), on_note=on_note, on_problem=problems.append)
    predictor = load(model, device=device, engine=engine, scale=scale, size=size, tta=tta)
    fingerprint = "" if isinstance(model, Predictor) else finished_results.model_fingerprint(find_model_file(model))
    if fingerprint and (scale is not None or size is not None):
        # What it sees is another picture.
        fingerprint += f"-scale-{scale}" if scale is not None else f"-size-{size}"
    if fingerprint and (views := TTA.parse(tta)).views > 1:
        fingerprint += f"-tta-{views}"
    options = OutputOptions(
        opacity=opacity,
        only=(only,) if isinstance(only, str) else None if only is None else tuple(only),
        colours=dict(colours or {}),
        threshold=threshold,
        overlays=overlays,
        labels=labels,
        probabilities=probabilities,
        maps=maps,
        label_video=label_video,
        audio=audio,
        write=(write,) if isinstance(write, str) else tuple(write),
        simplify=simplify,
        min_area=min_area,
    ).resolved(predictor.labels)
    folder = make_folder(Path(out))
    summary = predict_files(
        predictor,
        jobs,
        folder,
        options,
        fingerprint=fingerprint,
        overwrite=overwrite,
        max_megapixels=max_megapixels,
        progress=progress,
        on_note=on_note,
    )
    summary.broken[:0] = problems
    tell_problems(summary.problems, on_note)
    return summary


def predict_files(
    predictor: Predictor,
    jobs: Sequence[Job],
    out: Path,
    options: OutputOptions | None = None,
    *,
    fingerprint: str = "",
    overwrite: bool = False,
    max_megapixels: float = MAX_MEGAPIXELS,
    progress: ProgressCallback | None = None,
    on_note: Callable[[str], None] | None = None,
) -> Summary:
    """Carry out the jobs, see `predict`.

    Args:
        fingerprint: the `model_fingerprint` of the model's file: results that it has made already are skipped. Without
            it, everything is done anew.

    Raises:
        UserError: there are results of another model or of other options, or files that were not written by atonce.
        StorageError: `out` cannot be written.
    """
    options = (options or OutputOptions()).resolved(predictor.labels)
    limit = PixelLimit(predictor.model_file, round(max_megapixels * 1e6))
    if fingerprint and predictor.engine == "torch-bf16":
        # The other engines give the same labels; rounded weights are another network.
        fingerprint += "-bf16"
    summary = Summary(out, jobs)
    todo, finished = [], []
    for job in jobs:
        try:
            if not overwrite and _is_finished(job, out, options, predictor.labels, fingerprint=fingerprint):
                summary.skipped += 1
                finished.append(job)
            else:
                todo.append(job)
        except DataError as error:
            summary.broken.append(error)
    annotations = AnnotationFiles(
        out,
        options.write,
        predictor.labels.with_colours(options.colours),
        only=options.only,
        simplify=options.simplify,
        min_area=options.min_area,
    )
    if not overwrite:
        annotations.require_unchanged([job for job in todo if not job.is_video])
    if fingerprint:
        finished_results.remove_leftovers([out / name for name in own_results.FOLDERS], todo)
    for job in finished:
        try:
            _add_finished(annotations, job, out, options=options, spec=predictor.labels)
        except DataError as error:
            summary.broken.append(error)
    steps = _Steps(todo, summary, progress)
    sizes: Counter[str] = Counter()
    for job in steps.jobs:
        try:
            tag = ""
            if fingerprint:
                tag = str(finished_results.ResultTag.for_job(job, fingerprint, options.that_matter(job)))
            if job.is_video:
                report = _predict_video(predictor, job, out, options, limit=limit, tag=tag, progress=steps.within)
                summary.videos.append(report)
                if on_note:
                    for line in report.notes:
                        on_note(line)
            else:
                tiles_seen = steps.within if len(jobs) == 1 else None
                result = _predict_picture(
                    predictor, job, out, options, annotations=annotations, limit=limit, tag=tag, progress=tiles_seen
                )
                # What was lost in reading is told for all pictures together.
                lost = set(map(as_python, problem_notes(result.problems)))
                sizes.update(note for note in result.notes if note not in lost)
                summary.problems += result.problems
            summary.done += 1
        except DataError as error:
            summary.broken.append(error)
        steps.end()
    annotations.finish(overwrite=overwrite)
    if on_note:
        for note, pictures in sizes.items():
            on_note(f"{count_of(pictures, 'picture')} of {note}")
    return summary


class _Steps:
    """The steps of one bar for everything: a picture is a step, and so is each frame of a video."""

    def __init__(self, todo: Sequence[Job], summary: Summary, progress: ProgressCallback | None) -> None:
        self.jobs, self._sizes = [], []
        for job in todo:
            try:
                self._sizes.append(frames_stated(job.source) if job.is_video and progress else 1)
                self.jobs.append(job)
            except DataError as error:
                summary.broken.append(error)
        self._progress, self._before, self._index = progress, 0, 0

    def within(self, done: int, total: int) -> None:
        """Move on within the present job: tiles of a picture, frames of a video."""
        self._sizes[self._index] = total
        if self._progress:
            self._progress(self._before + done, sum(self._sizes))

    def end(self) -> None:
        """End the present job."""
        size = self._sizes[self._index]
        self._before += size
        self._index += 1
        if self._progress:
            self._progress(self._before, sum(self._sizes))


def _is_finished(job: Job, out: Path, options: OutputOptions, spec: LabelSpec, *, fingerprint: str) -> bool:
    """Tell whether the results of a job are there.

    Raises:
        UserError: there are others in their place, or files that were not written by atonce.
    """
    tagged, others = _paths(job, out, options, spec)
    if not tagged.exists() or not fingerprint:
        own_results.require_own([tagged, *others])
        return False
    tag = finished_results.ResultTag.for_job(job, fingerprint, options.that_matter(job))
    return finished_results.is_finished(tag, tagged, others)


def _paths(job: Job, out: Path, options: OutputOptions, spec: LabelSpec) -> tuple[Path, list[Path]]:
    """Return the result of a job that carries the tag, and those beside it."""
    if job.is_video:
        others = [_path(out, "labels", job, ".mkv")] if options.label_video else []
        return _path(out, "overlays", job, overlay_suffix(job.source)), others
    others = []
    if options.overlays != "none":
        overlay = _path(out, "overlays", job, f".{options.overlays}")
        # JPEG is no choice for the longest pictures.
        png = overlay.with_suffix(".png")
        others.append(png if not overlay.exists() and png.exists() else overlay)
    others += [_path(out, "probabilities", job, ".npy")] if options.probabilities else []
    others += [_map_path(out, name, job, spec) for name in options.mapped(spec)]
    return _path(out, "labels", job, ".png"), others


def _add_finished(
    annotations: AnnotationFiles, job: Job, out: Path, *, options: OutputOptions, spec: LabelSpec
) -> None:
    """Make annotations of a picture that was segmented before, from its label picture."""
    if job.is_video or not options.write:
        return
    path, coloured = _path(out, "labels", job, ".png"), spec.with_colours(options.colours)
    try:
        with Image.open(path, formats=("PNG",)) as picture:
            labels = read_labels(picture, coloured, options.labels)
            text = picture.info.get(CONFIDENCES_KEY)
    except (OSError, SyntaxError, ValueError) as error:
        raise DataError(f"{path} is damaged ({error})", "a label picture", "remove it, to have it done again") from None
    image = np.broadcast_to(np.uint8(0), (*labels.shape, 3))
    result = Result(image, coloured, labels=labels, source=str(job.source))
    annotations.add(job, result, confidences=json.loads(text) if text else None, new=False)


def _predict_video(
    predictor: Predictor,
    job: Job,
    out: Path,
    options: OutputOptions,
    *,
    limit: PixelLimit,
    tag: str,
    progress: ProgressCallback,
) -> VideoReport:
    return predict_video(
        predictor,
        job.source,
        _path(out, "overlays", job, overlay_suffix(job.source)),
        opacity=options.opacity,
        colours=options.colours,
        only=options.only,
        threshold=options.threshold,
        audio=options.audio,
        labels=_path(out, "labels", job, ".mkv") if options.label_video else None,
        comment=tag or own_results.SOFTWARE,
        require_size=lambda height, width: limit.require(height, width, job.source),
        progress=progress,
    )


def _predict_picture(
    predictor: Predictor,
    job: Job,
    out: Path,
    options: OutputOptions,
    *,
    annotations: AnnotationFiles,
    limit: PixelLimit,
    tag: str,
    progress: ProgressCallback | None,
) -> Result:
    limit.require(*read_size(job.source), job.source)
    result = predictor(job.source, progress)
    result.label_spec = result.label_spec.with_colours(options.colours)
    for name in options.mapped(result.label_spec):
        path = _map_path(out, name, job, result.label_spec)
        _write_map(result, predictor, name, threshold=options.threshold, path=path)
    if options.probabilities:
        path = _path_in_folder(out, "probabilities", job, ".npy")
        write_atomically(path, partial(_write_probabilities, result, predictor))
    result = _select(result, predictor, options)
    if options.overlays != "none":
        overlay = result.overlay(options.opacity, colours=options.colours, only=options.only)
        # JPEG counts rows and columns in two bytes.
        suffix = f".{options.overlays}" if max(overlay.size) <= _JPEG_SIDE else ".png"
        path = _path_in_folder(out, "overlays", job, suffix)
        write_atomically(path, lambda temporary: overlay.save(temporary, **own_results.save_options(temporary)))
    # The label picture comes last: where it is, the others are complete.
    texts = own_results.png_texts(tag)
    confidences = None
    if annotations.wants_confidences and not result.labels_only:
        confidences = class_confidences(result)
        texts.add_text(CONFIDENCES_KEY, json.dumps(confidences))
    label_image = result.label_image(options.labels)
    path = _path_in_folder(out, "labels", job, ".png")
    write_atomically(path, lambda temporary: label_image.save(temporary, pnginfo=texts))
    annotations.add(job, result, confidences=confidences, new=True)
    return result


def _select(result: Result, predictor: Predictor, options: OutputOptions) -> Result:
    """Return the result of the classes that are asked for, also where a picture is too large to hold logits."""
    if options.only is None:
        return result
    if options.threshold is None or not result.labels_only:
        return result.select(*options.only, threshold=options.threshold)
    class_id = result.label_spec.id_of(options.only[0])
    there = _probability(result, predictor, class_id) >= options.threshold
    labels = np.where(there, class_id, result.label_spec.remainder_of([class_id])).astype(np.uint8)
    return Result(
        result.image,
        result.label_spec,
        labels=labels,
        source=result.source,
        notes=result.notes,
        problems=result.problems,
    )


def _probability(result: Result, predictor: Predictor, class_id: int) -> NDArray[np.float32]:
    """The probability of a class, float32 (H, W); of huge pictures computed once more, part by part."""
    if not result.labels_only:
        probability: NDArray[np.float32] = result.probabilities[class_id]
        return probability
    found = np.empty(result.image.shape[:2], np.float32)
    for block in predictor.blocks(result.image):
        found[block.rows, block.columns] = block.logits.softmax(0)[class_id].numpy()
    return found


def _write_map(result: Result, predictor: Predictor, name: str, *, threshold: float | None, path: Path) -> None:
    """Write where a class is: its probability in 256 levels of grey, or 0 and 255 below and above the threshold."""
    probability = _probability(result, predictor, result.label_spec.id_of(name))
    levels = np.rint(probability * 255) if threshold is None else (probability >= threshold) * 255
    picture = Image.fromarray(levels.astype(np.uint8))
    make_folder(path.parent)
    write_atomically(path, lambda temporary: picture.save(temporary, pnginfo=own_results.png_texts()))


def _map_path(out: Path, name: str, job: Job, spec: LabelSpec) -> Path:
    """Return the path of a class's map; a class may be called what no folder may."""
    folders = [re.sub(r"[^\w .-]|^[. ]+|[. ]+$", "_", known) for known in spec.names]
    index = spec.names.index(name)
    folder = folders[index]
    if not folder or folders.count(folder) > 1:
        folder = f"{folder}_{index}"
    return out / "maps" / folder / job.target.with_name(job.target.name + ".png")


def _write_probabilities(result: Result, predictor: Predictor, path: Path) -> None:
    """Write float32 (C, H, W) as .npy; of huge pictures part by part, straight into the file."""
    if not result.labels_only:
        np.save(path, result.probabilities)
        return
    blocks = predictor.blocks(result.image)
    shape = (len(result.classes), *result.image.shape[:2])
    values = create_npy(path, shape)
    for block in blocks:
        values[:, block.rows, block.columns] = block.logits.softmax(0).numpy()
    values.flush()


def create_npy(path: Path, shape: tuple[int, ...]) -> np.memmap[Any, np.dtype[np.float32]]:
    """Create a .npy file of float32 to be written through memory, with all of its space taken. Raises OSError."""
    with path.open("wb") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        begin = file.tell()
    allocate(path, begin + 4 * math.prod(shape))
    return np.memmap(path, np.float32, "r+", begin, shape)


def _path(out: Path, kind: str, job: Job, suffix: str) -> Path:
    return out / kind / job.target.with_name(job.target.name + suffix)


def _path_in_folder(out: Path, kind: str, job: Job, suffix: str) -> Path:
    """Return the path of a result, after making its folder."""
    path = _path(out, kind, job, suffix)
    make_folder(path.parent)
    return path
