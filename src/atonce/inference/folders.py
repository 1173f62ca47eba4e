"""`atonce.predict`: segment pictures, videos and folders of them into files, and go on when one of them is broken."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import groupby
from os import PathLike
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from atonce.data.image_checks import image_problems
from atonce.data.images import Problem, read_image, read_size, stored_size
from atonce.data.problem_notes import tell_problems
from atonce.errors import DataError, UserError, option
from atonce.inference import finished_results, own_results
from atonce.inference.annotation_files import (
    CONFIDENCES_KEY,
    AnnotationFiles,
    AnnotationKind,
    Entries,
    parse_confidences,
    require_kinds,
)
from atonce.inference.annotations import class_confidences
from atonce.inference.inputs import Job, find_jobs
from atonce.inference.load import Model, load, size_text
from atonce.inference.picture_pipeline import segment_pictures
from atonce.inference.pixel_limit import MAX_MEGAPIXELS, PixelLimit
from atonce.inference.predictor import Predictor
from atonce.inference.result import (
    LABEL_STYLES,
    LabelStyle,
    OverlayBlender,
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
from atonce.process_group import ProcessGroup
from atonce.progress import ProgressCallback
from atonce.remote import address_of, local_copy, results_at
from atonce.storage import allocate, distinct_folder_names, make_folder, refuse_inputs, write_atomically
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
        out: the folder of the results, or its address.
        jobs: the pictures and videos that were found.
        done: how many of them were segmented.
        skipped: how many were finished already.
        videos: a report for each video that was segmented.
        broken: an error for each file that could not be read.
        seconds: the time that segmenting the pictures took, with all that is read and written.
        problems: what was lost in reading the pictures: bands and pages that were left out, numbers that became black.
    """

    out: Path | str = Path()
    jobs: Sequence[Job] = ()
    done: int = 0
    skipped: int = 0
    videos: list[VideoReport] = field(default_factory=list)
    broken: list[DataError] = field(default_factory=list)
    seconds: float = 0.0
    problems: list[Problem] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Return what `atonce predict` prints as JSON; the page "The command line" explains the keys, and they stay."""
        return {
            "out": str(self.out),
            "inputs": [{"source": str(j.source), "name": j.name, "video": j.is_video} for j in self.jobs],
            "segmented": self.done,
            "skipped": self.skipped,
            "videos": [report.to_json() for report in self.videos],
            "broken": [error.for_command_line() for error in self.broken],
        }


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
    size: int | tuple[int, int] | None = None,
    tta: TTAName | None = None,
    overwrite: bool = False,
    max_megapixels: float = MAX_MEGAPIXELS,
    device: str | None = None,
    engine: str | None = None,
    alone: bool = False,
    progress: ProgressCallback | None = None,
    on_note: Callable[[str], None] | None = None,
) -> Summary:
    """Segment pictures, videos and folders of them, as `atonce predict` does.

    Writes overlays/NAME.jpg and labels/NAME.png for each picture, overlays/NAME.mp4 for each video. What the same model
    has done with the same options is skipped; a model given as a `Predictor` has no file by which it could be known
    again, so that everything is done anew. Of a folder, its earlier results are left out, and of a data set its masks.

    Processes that torchrun or accelerate has started share the pictures and videos; every one of them has to make this
    call, and all return the same summary.

    Args:
        model: a run folder, a model file, an exported file, what `train` returned, or a `Predictor`.
        inputs: a file or folder, or several; addresses (s3://bucket/folder), too, see `atonce.remote`.
        out: the folder for overlays/, labels/ and what else is asked for, or its address.
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
        write: annotations of pictures: "coco" (coco.json, run-length masks), "cvat" (cvat.zip, CVAT's "Segmentation
            mask 1.1"), "labelme" (labelme/NAME.json, polygons), "json" (json/NAME.json, see `Result.to_dict`), "csv"
            (areas.csv: pixels and share of each class).
        simplify: pixels by which the polygons of "labelme" and "json" may be off.
        min_area: areas of fewer pixels are left out of annotations.
        scale, size: the size at which the network sees pictures, see `load`.
        tta: test-time augmentation, see `load`: better labels for two to seven times the time.
        overwrite: do once more what is finished already, whoever made it.
        max_megapixels: the most of a picture, and of what the network computes for it; larger ones are left out, as
            broken ones are.
        device, engine: see `load`.
        alone: do everything in this process, also where there are others.
        progress: called with what is done and what there is to do: pictures and frames.
        on_note: called with what a user should know, a line at a time: masks of a data set that were left out, videos
            that differ from what came in, pictures of another size than in training or without the confidence that
            `write` asks for, what was lost in reading them; None makes Python's warnings of the latter.

    Raises:
        UserError: no such file, model, class, device or engine; there are results of another model or of other options,
            or files that were not written by atonce; options that contradict each other.
        StorageError: `out` cannot be written.
    """
    paths = [inputs] if isinstance(inputs, (str, PathLike)) else inputs
    require_model_first(model, paths, "predict")
    problems: list[DataError] = []
    found_in = [local_copy(path) for path in paths]
    jobs = find_jobs(found_in, out=Path(out), on_note=on_note, on_problem=problems.append)
    predictor = load(model, device=device, engine=engine, scale=scale, size=size, tta=tta)
    fingerprint = "" if isinstance(model, Predictor) else finished_results.model_fingerprint(find_model_file(model))
    if fingerprint and (scale is not None or size is not None):
        # What it sees is another picture.
        fingerprint += f"-scale-{scale}" if scale is not None else f"-size-{size_text(size)}" if size else ""
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
    if on_note:
        on_note(predictor.hardware)
    with results_at(out) as results:
        summary = predict_files(
            predictor,
            jobs,
            make_folder(results.folder),
            options,
            fingerprint=fingerprint,
            overwrite=overwrite,
            max_megapixels=max_megapixels,
            group=ProcessGroup() if alone else ProcessGroup.of_launcher(),
            on_files=results.push,
            progress=progress,
            on_note=on_note,
        )
    summary.out = address_of(out) or Path(out)
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
    group: ProcessGroup | None = None,
    on_files: Callable[[list[Path]], None] | None = None,
    progress: ProgressCallback | None = None,
    on_note: Callable[[str], None] | None = None,
) -> Summary:
    """Carry out the jobs, see `predict`.

    Args:
        group: processes that share the jobs; None for this one alone.
        on_files: called, by several threads, with the files of a picture or video, complete; the last one tells that.
        fingerprint: the `model_fingerprint` of the model's file: results that it has made already are skipped. Without
            it, everything is done anew.

    Raises:
        UserError: there are results of another model or of other options, or files that were not written by atonce.
        StorageError: `out` cannot be written.
    """
    options = (options or OutputOptions()).resolved(predictor.labels)
    limit = PixelLimit(predictor.model_file, round(max_megapixels * 1e6))
    if fingerprint and predictor.engine in ("torch-bf16", "openvino-bf16"):
        # The other engines give the same labels; what is rounded is another network.
        fingerprint += f"-{predictor.engine.removeprefix('torch-')}"
    group = group or ProcessGroup()
    annotations = AnnotationFiles(
        out,
        options.write,
        predictor.labels.with_colours(options.colours),
        only=options.only,
        simplify=options.simplify,
        min_area=options.min_area,
    )
    annotations.require_names(jobs)
    pictures = _Pictures(
        predictor,
        out,
        options,
        limit=limit,
        annotations=annotations,
        fingerprint=fingerprint,
        on_files=on_files or (lambda _: None),
    )
    summary = Summary(out, jobs)
    _require_same_jobs(jobs, group)
    group.gather(lambda: _refuse_inputs(jobs, pictures, annotations, group))
    looked = group.map(_error_or(lambda job: not overwrite and pictures.is_finished(job)), jobs)
    summary.broken += [found for found in looked if isinstance(found, DataError)]
    finished = [job for job, found in zip(jobs, looked, strict=True) if found is True]
    todo = [job for job, found in zip(jobs, looked, strict=True) if found is False]
    summary.skipped = len(finished)
    if not overwrite:
        group.gather(lambda: annotations.require_unchanged([j for j in group.share(todo) if not j.is_video]))
    if fingerprint and group.is_first:
        finished_results.remove_leftovers([out / name for name in own_results.FOLDERS], todo)
    unsure: Counter[str] = Counter()
    for job, entries in zip(finished, group.map(_error_or(pictures.finished_entries), finished), strict=True):
        _take(summary, annotations, job, entries)
        if isinstance(entries, Entries) and entries.lacks_confidence:
            unsure[_why_unsure(predictor, finished=True)] += 1
    began = time.perf_counter()
    only_one = len(jobs) == 1
    shares = group.gather(
        lambda: _do_share(
            todo,
            pictures,
            group,
            total=sum(not job.is_video for job in jobs),
            tiles=only_one,
            progress=progress,
            on_note=on_note,
        )
    )
    sizes: Counter[str] = Counter()
    for index, done in sorted((one for share in shares for one in share), key=lambda pair: pair[0]):
        if isinstance(done, VideoReport):
            summary.videos.append(done)
            summary.done += 1
        elif isinstance(done, _Done):
            _take(summary, annotations, todo[index], done.entries)
            sizes.update(done.notes)
            if done.entries.lacks_confidence:
                unsure[_why_unsure(predictor, finished=False)] += 1
            summary.problems += done.problems
            summary.done += 1
        else:
            summary.broken.append(done)
    summary.seconds = time.perf_counter() - began - sum(report.seconds for report in summary.videos) / group.world
    if group.is_first:
        annotations.finish(overwrite=overwrite)
    if on_note:
        for note, count in sizes.items():
            # What was written just now is in the way of what is advised.
            again = f", with {option('overwrite', value=True)} or another {option('out')}" if fingerprint else ""
            on_note(f"{count_of(count, 'picture')} of {note}{again}")
        for why, count in unsure.items():
            on_note(f"{count_of(count, 'picture')} without confidence: {why}")
    return summary


def _why_unsure(predictor: Predictor, *, finished: bool) -> str:
    """Say why confidences of a picture are unknown, and what would tell them; of one that was finished before, too."""
    if not predictor.gives_probabilities:
        asked = option("probabilities", value=True)
        return f"the exported file gives labels alone; take the model file, or export it with {asked}"
    if finished:
        return f"segmented before, when none was asked for; {option('overwrite', value=True)} segments once more"
    return "it is too large to hold its probabilities"


T = TypeVar("T")


def _error_or(work: Callable[[Job], T]) -> Callable[[Job], T | DataError]:
    """Return a function that returns the error of a file that cannot be read, and so goes on with the next one."""

    def attempt(job: Job) -> T | DataError:
        try:
            return work(job)
        except DataError as error:
            return error

    return attempt


def _take(summary: Summary, annotations: AnnotationFiles, job: Job, entries: Entries | DataError) -> None:
    if isinstance(entries, DataError):
        summary.broken.append(entries)
    else:
        annotations.collect(job, entries)


def _require_same_jobs(jobs: Sequence[Job], group: ProcessGroup) -> None:
    """Refuse processes that do not see the same files: each would leave some to another one that has not got them."""
    names = hashlib.sha256("\0".join(map(str, (job.target for job in jobs))).encode("utf-8", "surrogateescape"))
    if len(set(group.gather(names.digest))) > 1:
        raise DataError(
            "the processes see different files",
            "the same pictures and videos in each",
            "give a folder that all machines see, and one that does not change meanwhile",
        )


def _refuse_inputs(jobs: Sequence[Job], pictures: _Pictures, annotations: AnnotationFiles, group: ProcessGroup) -> None:
    """Refuse to write over any of the pictures and videos; this process looks at the results of its share of them.

    What is finished is looked at, too: whether a call is refused does not depend on what the one before came to.
    """
    mine = group.share(jobs)
    targets = [*(path for job in mine for path in pictures.targets(job)), *annotations.targets(mine)]
    refuse_inputs(targets, (job.source for job in jobs))


def _do_share(
    todo: Sequence[Job],
    pictures: _Pictures,
    group: ProcessGroup,
    *,
    total: int,
    tiles: bool,
    progress: ProgressCallback | None,
    on_note: Callable[[str], None] | None,
) -> list[tuple[int, _Done | VideoReport | DataError]]:
    """Do this process's share of the jobs; returns what came of each, with its place among all."""
    found: list[tuple[int, _Done | VideoReport | DataError]] = []
    steps = _Steps(group.share(list(enumerate(todo))), found, progress)
    for is_video, of_a_kind in groupby(steps.jobs, lambda one: one[1].is_video):
        mine = list(of_a_kind)
        if is_video:
            for index, job in mine:
                report = _error_or(partial(pictures.segment_video, progress=steps.within))(job)
                found.append((index, report))
                if on_note and isinstance(report, VideoReport):
                    for line in report.marked:
                        on_note(line)
                steps.end()
            continue
        segmented = segment_pictures(
            pictures.predictor,
            [job for _, job in mine],
            pictures,
            total=total,
            progress=steps.within if tiles else None,
        )
        with closing(segmented):
            for (index, _), (_, outcome) in zip(mine, segmented, strict=True):
                found.append((index, outcome.error if isinstance(outcome.error, DataError) else outcome.get()))
                steps.end()
    return found


class _Steps:
    """The steps of one bar for everything: a picture is a step, and so is each frame of a video."""

    def __init__(
        self,
        todo: Sequence[tuple[int, Job]],
        found: list[tuple[int, _Done | VideoReport | DataError]],
        progress: ProgressCallback | None,
    ) -> None:
        self.jobs, self._sizes = list[tuple[int, Job]](), list[int]()
        for index, job in todo:
            try:
                self._sizes.append(frames_stated(job.source) if job.is_video and progress else 1)
                self.jobs.append((index, job))
            except DataError as error:
                found.append((index, error))
        self._progress, self._before, self._index = progress, 0, 0
        if progress and self._sizes:
            progress(0, sum(self._sizes))  # from here on the time counts

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


@dataclass(frozen=True)
class _Opened:
    """A picture that was read, see `picture_pipeline.Loaded`."""

    image: NDArray[np.uint8]
    tag: str
    problems: Sequence[Problem]


@dataclass(frozen=True)
class _Done:
    """The rest of a picture when its files are written.

    Attributes:
        notes: on its size; what was lost in reading is told for all pictures together.
    """

    entries: Entries
    notes: tuple[str, ...]
    problems: tuple[Problem, ...]


class _Pictures:
    """The work on each picture: it is read, and its files are written. See `picture_pipeline.PictureWork`."""

    def __init__(
        self,
        predictor: Predictor,
        out: Path,
        options: OutputOptions,
        *,
        limit: PixelLimit,
        annotations: AnnotationFiles,
        fingerprint: str,
        on_files: Callable[[list[Path]], None],
    ) -> None:
        self._predictor, self._out, self._options = predictor, out, options
        self._limit, self._annotations, self._fingerprint = limit, annotations, fingerprint
        self._on_files = on_files
        self._spec = predictor.labels.with_colours(options.colours)
        self._blender = OverlayBlender(predictor.labels, options.opacity, colours=options.colours, only=options.only)

    @property
    def predictor(self) -> Predictor:
        return self._predictor

    def is_finished(self, job: Job) -> bool:
        """Tell whether the results of a job are there.

        Raises:
            UserError: there are others in their place, or files that were not written by atonce.
        """
        tagged, others = _paths(job, self._out, self._options, self._spec)
        if not tagged.exists() or not self._fingerprint:
            own_results.require_own([tagged, *others])
            return False
        tag = finished_results.ResultTag.for_job(job, self._fingerprint, self._options.that_matter(job))
        return finished_results.is_finished(tag, tagged, others)

    def targets(self, job: Job) -> list[Path]:
        """Return all files that may be written for a job, but for annotations."""
        tagged, others = _paths(job, self._out, self._options, self._spec)
        # Overlays of the longest pictures are PNG, which only shows when they are read.
        return [tagged, *others, *(path.with_suffix(".png") for path in others if path.suffix == ".jpg")]

    def finished_entries(self, job: Job) -> Entries:
        """Make annotations of a picture that was segmented before, from its label picture. Raises DataError."""
        if job.is_video or not self._options.write:
            return Entries()
        path = _path(self._out, "labels", job, ".png")
        try:
            with Image.open(path, formats=("PNG",)) as picture:
                labels = read_labels(picture, self._spec, self._options.labels)
                confidences = parse_confidences(picture.info.get(CONFIDENCES_KEY), self._spec)
        except (OSError, SyntaxError, ValueError) as error:
            remedy = "remove it, to have it done again"
            raise DataError(f"{path} is damaged ({error})", "a label picture", remedy) from None
        image = np.broadcast_to(np.uint8(0), (*labels.shape, 3))
        result = Result(image, self._spec, labels=labels, source=str(job.source))
        return self._annotations.write(job, result, confidences=confidences, new=False)

    def segment_video(self, job: Job, progress: ProgressCallback) -> VideoReport:
        """Segment a video into its files. Raises DataError."""
        options = self._options
        report = predict_video(
            self._predictor,
            job.source,
            _path(self._out, "overlays", job, overlay_suffix(job.source)),
            opacity=options.opacity,
            colours=options.colours,
            only=options.only,
            threshold=options.threshold,
            audio=options.audio,
            labels=_path(self._out, "labels", job, ".mkv") if options.label_video else None,
            comment=self.tag(job) or own_results.SOFTWARE,
            require_size=lambda height, width: self._limit.require(height, width, job.source),
            progress=progress,
        )
        self._tell_files(job)
        return report

    def _tell_files(self, job: Job) -> None:
        tagged, others = _paths(job, self._out, self._options, self._spec)
        self._on_files([*others, tagged])

    def tag(self, job: Job) -> str:
        """Return the text of a result's tag; "" where results are not to be known again. Raises DataError."""
        if not self._fingerprint:
            return ""
        return str(finished_results.ResultTag.for_job(job, self._fingerprint, self._options.that_matter(job)))

    def size_of(self, job: Job) -> tuple[int, int] | None:
        return stored_size(job.source)

    def load(self, job: Job) -> _Opened:
        tag = self.tag(job)
        size = stored_size(job.source)
        if size is None or self._limit.problem(*size):
            self._limit.require(*read_size(job.source), job.source)
        bands = self._predictor.model_file.bands
        image = read_image(job.source, bands)
        return _Opened(image, tag, image_problems(job.source, image, bands))

    def finish(self, job: Job, opened: _Opened, result: Result) -> _Done:
        predictor, options = self._predictor, self._options
        result = predictor.annotated(result, str(job.source), opened.problems)
        size_note = predictor.size_note(result.image.shape[:2])
        result.label_spec = self._spec
        for name in options.mapped(result.label_spec):
            path = _map_path(self._out, name, job, result.label_spec)
            _write_map(result, predictor, name, threshold=options.threshold, path=path)
        whole, result = result, _select(result, predictor, options)
        if options.overlays != "none":
            overlay = self._blender.paint(result)
            # JPEG counts rows and columns in two bytes.
            suffix = f".{options.overlays}" if max(overlay.size) <= _JPEG_SIDE else ".png"
            path = _path_in_folder(self._out, "overlays", job, suffix)
            write_atomically(path, lambda temporary: overlay.save(temporary, **own_results.save_options(temporary)))
        texts = own_results.png_texts(opened.tag)
        confidences = None
        if self._annotations.wants_confidences and not result.labels_only:
            confidences = class_confidences(result)
            texts.add_text(CONFIDENCES_KEY, json.dumps(confidences))
        label_image = result.label_image(options.labels)
        label_path = _path_in_folder(self._out, "labels", job, ".png")
        write_labels = partial(write_atomically, label_path, lambda path: label_image.save(path, pnginfo=texts))
        if options.probabilities:
            path = _path_in_folder(self._out, "probabilities", job, ".npy")
            if options.overlays == "none":
                # An array bears no mark: alone, after a kill, it would be somebody else's.
                path.unlink(missing_ok=True)
                write_labels()
            write_atomically(path, partial(_write_probabilities, whole, predictor))
        # The label picture comes last: where it is with all others, these are complete.
        write_labels()
        entries = self._annotations.write(job, result, confidences=confidences, new=True)
        self._tell_files(job)
        return _Done(entries, (size_note,) if size_note else (), result.problems)


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
    folder = distinct_folder_names(spec.names)[spec.names.index(name)]
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
