"""Segment pictures, videos and folders of them, write what was asked for, and go on when one of them is broken."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL.PngImagePlugin import PngInfo

from atonce.errors import DataError
from atonce.inference import finished_results
from atonce.inference.exported import ExportedPredictor
from atonce.inference.inputs import Job, find_jobs, find_pictures
from atonce.inference.predictor import Predictor, Result
from atonce.inference.video.container import frames_stated
from atonce.inference.video.overlay import VideoReport, overlay_suffix, predict_video
from atonce.storage import make_folder, write_atomically

__all__ = ["Job", "Options", "Summary", "find_jobs", "find_pictures", "predict_files"]

_JPEG_SIDE = 65_500
"""Pixels; libjpeg's own limit."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Options:
    """What is written.

    Attributes:
        opacity: of the colours in the overlays, 0..1.
        probabilities: of pictures, too.
        label_video: of videos the ids, too.
        audio: copy the sound of videos.
    """

    opacity: float = 0.5
    probabilities: bool = False
    label_video: bool = False
    audio: bool = True

    def of(self, job: Job) -> dict[str, Any]:
        """Those that change the results of a job."""
        if job.is_video:
            return {"opacity": self.opacity, "label_video": self.label_video, "audio": self.audio}
        return {"opacity": self.opacity, "probabilities": self.probabilities}


@dataclass
class Summary:
    """Attributes: done, skipped: jobs. videos: their reports. broken: what could not be read."""

    done: int = 0
    skipped: int = 0
    videos: list[VideoReport] = field(default_factory=list)
    broken: list[DataError] = field(default_factory=list)


def predict_files(
    predictor: Predictor,
    jobs: Sequence[Job],
    out: Path,
    options: Options | None = None,
    model: str = "",
    overwrite: bool = False,
    progress: Progress | None = None,
    note: Callable[[str], None] | None = None,
) -> Summary:
    """Write overlays/NAME.jpg, labels/NAME.png (palette, ids as indices) and, if asked, probabilities/NAME.npy;
    of videos overlays/NAME.mp4 and, if asked, labels/NAME.mkv.

    Args:
        model: the `fingerprint` of the model's file: results that it has made already are skipped. Without it,
            everything is done anew.
        overwrite: do everything anew, whoever made what is there.
        progress: called with what is done and what there is to do: pictures and frames.
        note: called with what differs from a video that came in.

    Raises:
        UserError: there are results of another model or of other options.
        StorageError: `out` cannot be written.
    """
    options = options or Options()
    if model and predictor.engine == "torch-bf16":
        # The other engines give the same labels; rounded weights are another network.
        model += "-bf16"
    summary = Summary()
    todo = []
    for job in jobs:
        try:
            if model and not overwrite and _is_done(job, out, options, model):
                summary.skipped += 1
            else:
                todo.append(job)
        except DataError as error:
            summary.broken.append(error)
    if model:
        finished_results.remove_leftovers([out / name for name in ("overlays", "labels", "probabilities")], todo)
    steps = _Steps(todo, summary, progress)
    for job in steps.jobs:
        try:
            mark = str(finished_results.Mark.of(job, model, options.of(job))) if model else ""
            if job.is_video:
                report = _video(predictor, job, out, options, mark, steps.within)
                summary.videos.append(report)
                if note:
                    for line in report.notes:
                        note(line)
            else:
                _picture(predictor, job, out, options, mark, steps.within if len(jobs) == 1 else None)
            summary.done += 1
        except DataError as error:
            summary.broken.append(error)
        steps.end()
    return summary


class _Steps:
    """One bar for everything: a picture is a step, and so is each frame of a video."""

    def __init__(self, todo: Sequence[Job], summary: Summary, progress: Progress | None) -> None:
        self.jobs, self._sizes = [], []
        for job in todo:
            try:
                self._sizes.append(frames_stated(job.source) if job.is_video and progress else 1)
                self.jobs.append(job)
            except DataError as error:
                summary.broken.append(error)
        self._progress, self._before, self._index = progress, 0, 0

    def within(self, done: int, total: int) -> None:
        """What there is of the job at hand: tiles of a picture, frames of a video."""
        self._sizes[self._index] = total
        if self._progress:
            self._progress(self._before + done, sum(self._sizes))

    def end(self) -> None:
        """The job at hand has ended."""
        size = self._sizes[self._index]
        self._before += size
        self._index += 1
        if self._progress:
            self._progress(self._before, sum(self._sizes))


def _is_done(job: Job, out: Path, options: Options, model: str) -> bool:
    mark = finished_results.Mark.of(job, model, options.of(job))
    if job.is_video:
        others = [_path(out, "labels", job, ".mkv")] if options.label_video else []
        return finished_results.is_done(mark, _path(out, "overlays", job, overlay_suffix(job.source)), others)
    overlay = _path(out, "overlays", job, ".jpg")
    others = [overlay if overlay.exists() else overlay.with_suffix(".png")]
    others += [_path(out, "probabilities", job, ".npy")] if options.probabilities else []
    return finished_results.is_done(mark, _path(out, "labels", job, ".png"), others)


def _video(predictor: Predictor, job: Job, out: Path, options: Options, mark: str, progress: Progress) -> VideoReport:
    overlay = _path(out, "overlays", job, overlay_suffix(job.source))
    labels = _path(out, "labels", job, ".mkv") if options.label_video else None
    return predict_video(predictor, job.source, overlay, options.opacity, options.audio, labels, mark, progress)


def _picture(predictor: Predictor, job: Job, out: Path, options: Options, mark: str, progress: Progress | None) -> None:
    result = predictor(job.source, progress)
    if options.probabilities:
        path = _place(out, "probabilities", job, ".npy")
        write_atomically(path, partial(_write_probabilities, result, predictor))
    overlay = result.overlay(options.opacity)
    # JPEG counts rows and columns in two bytes.
    path = _place(out, "overlays", job, ".jpg" if max(overlay.size) <= _JPEG_SIDE else ".png")
    write_atomically(path, lambda temporary: overlay.save(temporary, quality=92))
    # The label picture comes last: where it is, the others are complete.
    label_image, text = result.label_image(), PngInfo()
    if mark:
        text.add_text(finished_results.KEY, mark)
    path = _place(out, "labels", job, ".png")
    write_atomically(path, lambda temporary: label_image.save(temporary, pnginfo=text))


def _write_probabilities(result: Result, predictor: Predictor, path: Path) -> None:
    """float32 (C, H, W) as .npy; of huge pictures part by part, straight into the file."""
    if not result.labels_only or isinstance(predictor, ExportedPredictor):
        np.save(path, result.probabilities)
        return
    shape = (len(result.classes), *result.image.shape[:2])
    values = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
    for block in predictor.blocks(result.image):
        values[:, block.rows, block.columns] = block.logits.softmax(0).numpy()
    values.flush()


def _path(out: Path, kind: str, job: Job, suffix: str) -> Path:
    return out / kind / job.target.with_name(job.target.name + suffix)


def _place(out: Path, kind: str, job: Job, suffix: str) -> Path:
    path = _path(out, kind, job, suffix)
    make_folder(path.parent)
    return path
