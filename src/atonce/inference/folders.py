"""`atonce.predict`: segment pictures, videos and folders of them into files, and go on when one of them is broken."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from PIL.PngImagePlugin import PngInfo

from atonce.data.images import read_image
from atonce.errors import DataError
from atonce.inference import finished_results
from atonce.inference.inputs import Job, find_jobs
from atonce.inference.load import Model, load
from atonce.inference.pixel_limit import MAX_MEGAPIXELS, PixelLimit
from atonce.inference.predictor import Predictor
from atonce.inference.result import Result
from atonce.inference.video.container import frames_stated
from atonce.inference.video.overlay import VideoReport, overlay_suffix, predict_video
from atonce.model_file import find_model_file
from atonce.progress import ProgressCallback
from atonce.storage import allocate, make_folder, write_atomically

_JPEG_SIDE = 65_500
"""Pixels; libjpeg's own limit."""


@dataclass(frozen=True, kw_only=True)
class OutputOptions:
    """What is written of each picture and video.

    Attributes:
        opacity: weight of the colours in the overlays, 0..1.
        probabilities: whether pictures' probabilities are written, too.
        label_video: whether videos' label ids are written, too.
        audio: whether the sound of videos is copied.
    """

    opacity: float = 0.5
    probabilities: bool = False
    label_video: bool = False
    audio: bool = True

    def that_matter(self, job: Job) -> dict[str, Any]:
        """Return the options that change the results of a job, by name."""
        if job.is_video:
            return {"opacity": self.opacity, "label_video": self.label_video, "audio": self.audio}
        return {"opacity": self.opacity, "probabilities": self.probabilities}


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
    """

    out: Path = Path()
    jobs: Sequence[Job] = ()
    done: int = 0
    skipped: int = 0
    videos: list[VideoReport] = field(default_factory=list)
    broken: list[DataError] = field(default_factory=list)


def predict(
    model: Model,
    inputs: str | PathLike[str] | Sequence[str | PathLike[str]],
    *,
    out: str | PathLike[str] = "out",
    opacity: float = 0.5,
    probabilities: bool = False,
    label_video: bool = False,
    audio: bool = True,
    overwrite: bool = False,
    max_megapixels: float = MAX_MEGAPIXELS,
    device: str | None = None,
    engine: str | None = None,
    progress: ProgressCallback | None = None,
    on_note: Callable[[str], None] | None = None,
) -> Summary:
    """Segment pictures, videos and folders of them, as `atonce predict` does.

    Writes overlays/NAME.jpg and labels/NAME.png (palette, ids as indices) for each picture, overlays/NAME.mp4 for each
    video. What the same model has done with the same options is skipped; a model given as a `Predictor` has no file by
    which it could be known again, so that everything is done anew.

    Args:
        model: a run folder, a model file, an exported file, what `train` returned, or a `Predictor`.
        inputs: a file or folder, or several.
        out: the folder for overlays/, labels/ and probabilities/.
        opacity: weight of the colours in the overlays, 0..1.
        probabilities: also write float32 (C, H, W) of each picture to probabilities/NAME.npy.
        label_video: also write the ids of each video to labels/NAME.mkv, grey, lossless.
        audio: copy the sound of videos.
        overwrite: do once more what is finished already, whoever made it.
        max_megapixels: the most of a picture, and of what the network computes for it; larger ones are left out, as
            broken ones are.
        device, engine: see `load`.
        progress: called with what is done and what there is to do: pictures and frames.
        on_note: called with what differs from a video that came in, a line at a time.

    Raises:
        UserError: no such file, model, device or engine; there are results of another model or of other options.
        StorageError: `out` cannot be written.
    """
    paths = [inputs] if isinstance(inputs, (str, PathLike)) else inputs
    problems: list[DataError] = []
    jobs, folder = find_jobs([Path(path) for path in paths], problems.append), make_folder(Path(out))
    predictor = load(model, device=device, engine=engine)
    fingerprint = "" if isinstance(model, Predictor) else finished_results.model_fingerprint(find_model_file(model))
    options = OutputOptions(opacity=opacity, probabilities=probabilities, label_video=label_video, audio=audio)
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
        UserError: there are results of another model or of other options.
        StorageError: `out` cannot be written.
    """
    options = options or OutputOptions()
    limit = PixelLimit(predictor.model_file, round(max_megapixels * 1e6))
    if fingerprint and predictor.engine == "torch-bf16":
        # The other engines give the same labels; rounded weights are another network.
        fingerprint += "-bf16"
    summary = Summary(out, jobs)
    todo = []
    for job in jobs:
        try:
            if fingerprint and not overwrite and _is_finished(job, out, options, fingerprint):
                summary.skipped += 1
            else:
                todo.append(job)
        except DataError as error:
            summary.broken.append(error)
    if fingerprint:
        finished_results.remove_leftovers([out / name for name in ("overlays", "labels", "probabilities")], todo)
    steps = _Steps(todo, summary, progress)
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
                _predict_picture(predictor, job, out, options, limit=limit, tag=tag, progress=tiles_seen)
            summary.done += 1
        except DataError as error:
            summary.broken.append(error)
        steps.end()
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


def _is_finished(job: Job, out: Path, options: OutputOptions, fingerprint: str) -> bool:
    tag = finished_results.ResultTag.for_job(job, fingerprint, options.that_matter(job))
    if job.is_video:
        others = [_path(out, "labels", job, ".mkv")] if options.label_video else []
        return finished_results.is_finished(tag, _path(out, "overlays", job, overlay_suffix(job.source)), others)
    overlay = _path(out, "overlays", job, ".jpg")
    others = [overlay if overlay.exists() else overlay.with_suffix(".png")]
    others += [_path(out, "probabilities", job, ".npy")] if options.probabilities else []
    return finished_results.is_finished(tag, _path(out, "labels", job, ".png"), others)


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
        audio=options.audio,
        labels=_path(out, "labels", job, ".mkv") if options.label_video else None,
        comment=tag,
        require_size=lambda height, width: limit.require(height, width, job.source),
        progress=progress,
    )


def _predict_picture(
    predictor: Predictor,
    job: Job,
    out: Path,
    options: OutputOptions,
    *,
    limit: PixelLimit,
    tag: str,
    progress: ProgressCallback | None,
) -> None:
    image = read_image(job.source)
    limit.require(image.shape[0], image.shape[1], job.source)
    result = predictor(image, progress)
    if options.probabilities:
        path = _path_in_folder(out, "probabilities", job, ".npy")
        write_atomically(path, partial(_write_probabilities, result, predictor))
    overlay = result.overlay(options.opacity)
    # JPEG counts rows and columns in two bytes.
    path = _path_in_folder(out, "overlays", job, ".jpg" if max(overlay.size) <= _JPEG_SIDE else ".png")
    write_atomically(path, lambda temporary: overlay.save(temporary, quality=92))
    # The label picture comes last: where it is, the others are complete.
    label_image, text = result.label_image(), PngInfo()
    if tag:
        text.add_text(finished_results.PNG_KEY, tag)
    path = _path_in_folder(out, "labels", job, ".png")
    write_atomically(path, lambda temporary: label_image.save(temporary, pnginfo=text))


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
