"""Video in, overlay video out: frames are streamed, so that a day of video takes the memory of a few frames."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atonce.errors import DataError, as_command_line, as_python
from atonce.extras import require_extra
from atonce.inference.result import OverlayBlender, require_one_for_threshold, selection_table
from atonce.inference.segmenter import BatchSegmenter
from atonce.inference.video.container import conversion_errors, count_frames
from atonce.inference.video.reader import Frame, Video
from atonce.inference.video.writer import LABEL_ENCODERS, STDOUT, VideoWriter, overlay_encoders
from atonce.labels import ColourName
from atonce.progress import ProgressCallback
from atonce.storage import make_folder, refuse_inputs, write_atomically
from atonce.text import count_of

CONTAINERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska"}
"""Suffixes of the videos that are written -> FFmpeg's names of their containers."""


@dataclass(frozen=True)
class VideoReport:
    """The outcome for one video.

    Attributes:
        frames: how many were segmented.
        seconds: the time that it took, from the file read to the file written.
        notes: what differs from the video that came in, a line for each; options are named as in Python.
    """

    frames: int
    seconds: float
    notes: tuple[str, ...] = ()
    _marked: tuple[str, ...] = field(default=(), init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_marked", self.notes)
        object.__setattr__(self, "notes", tuple(map(as_python, self.notes)))

    @property
    def marked(self) -> tuple[str, ...]:
        """The notes with their options marked as `option` marks them."""
        return self._marked

    def to_json(self) -> dict[str, Any]:
        """Return the report for JSON, options as on the command line."""
        return {
            "frames": self.frames,
            "seconds": self.seconds,
            "notes": list(map(as_command_line, self._marked)),
            "frames_per_second": self.frames_per_second,
        }

    @property
    def frames_per_second(self) -> float:
        """The frames segmented in a second, reading and writing included."""
        return self.frames / self.seconds if self.seconds else 0.0


def overlay_suffix(source: Path) -> str:
    """Return the suffix of the source where it can be kept, so that sound of all kinds fits; else .mp4."""
    suffix = source.suffix.lower()
    return suffix if suffix in (".mkv", ".mov") else ".mp4"


def predict_video(
    predictor: BatchSegmenter,
    source: Path,
    out: Path,
    *,
    opacity: float = 0.5,
    colours: Mapping[str, ColourName] | None = None,
    only: Sequence[str] | None = None,
    threshold: float | None = None,
    audio: bool = True,
    labels: Path | None = None,
    comment: str = "",
    require_size: Callable[[int, int], None] | None = None,
    progress: ProgressCallback | None = None,
) -> VideoReport:
    """Write a video (.mp4, .mov, .mkv) with the classes' colours laid over it: H.264, or MPEG-4 where there is none.

    Frames keep their times and their size in pixels, upright; sound is copied as it is where the container takes
    it. The file gets its name when it is complete.

    Args:
        opacity: weight of the colours, 0..1.
        colours: other colours than the model's, by class, see `Result.overlay`.
        only: the classes that are painted, and written as ids; None paints all but background.
        threshold: 0..1; of the one class in `only`: it is where its probability is at least this.
        audio: whether the sound is copied.
        labels: also write the ids as a lossless grey video (FFV1) to this .mkv; its times are rounded to milliseconds.
        comment: a text for the metadata of `out`.
        require_size: called with height and width of the frames; raises a DataError where they are too large.
        progress: called with the frames done and all frames.

    Raises:
        DataError: `source` is not a video, breaks off, or has a size that no encoder takes; `out` has another suffix,
            or is `source`.
        StorageError: `out` cannot be written.
        UserError: the extra `video` is not installed.
    """
    container = CONTAINERS.get(out.suffix.lower())
    if container is None:
        raise DataError(f"{out} as a video to be written", f"one of {', '.join(CONTAINERS)}")
    refuse_inputs([out] if labels is None else [out, labels], [source])
    segment = _segmentation(predictor, only, threshold)
    blender = OverlayBlender(predictor.labels, opacity, colours=colours, only=only)
    started = perf_counter()
    av = require_extra("av", str(source), "video")
    total = count_frames(source)
    done: list[VideoReport] = []

    def write(path: Path, label_path: Path | None = None) -> None:
        with conversion_errors(av, source), ExitStack() as stack:
            video = stack.enter_context(Video(source))
            if require_size:
                require_size(*video.size[::-1])
            encoders = overlay_encoders(video.size)
            target = str(path.absolute())
            overlay = stack.enter_context(VideoWriter(target, container, encoders, video, sound=audio, comment=comment))
            label_video = None
            if label_path:
                target = str(label_path.absolute())
                label_video = stack.enter_context(VideoWriter(target, "matroska", LABEL_ENCODERS, video))
            batch_size = 1 if threshold is not None else predictor.batch_size_for(video.size[::-1])
            frames = _segment_frames(
                segment,
                blender,
                video,
                overlay,
                label_video=label_video,
                batch_size=batch_size,
                progress=progress,
                total=total,
            )
        notes = _notes(video, overlay, predictor.size_note(video.size[::-1]), audio=audio)
        done.append(VideoReport(frames, perf_counter() - started, notes))

    make_folder(out.parent)
    if labels is None:
        write_atomically(out, write)
    else:
        # The overlay comes last: where it is, the labels are complete.
        make_folder(labels.parent)
        write_atomically(out, lambda path: write_atomically(labels, lambda label_path: write(path, label_path)))
    return done[0]


def play_video(
    predictor: BatchSegmenter,
    source: Path,
    *,
    opacity: float = 0.5,
    colours: Mapping[str, ColourName] | None = None,
    only: Sequence[str] | None = None,
    threshold: float | None = None,
    audio: bool = True,
) -> VideoReport:
    """Write the overlay to stdout as it comes, as Matroska for a player; ends when either side does.

    Arguments and errors are those of `predict_video`; a file that breaks off is played as far as it goes.
    """
    segment = _segmentation(predictor, only, threshold)
    blender = OverlayBlender(predictor.labels, opacity, colours=colours, only=only)
    started, frames = perf_counter(), 0
    av = require_extra("av", str(source), "video")

    def count(done: int, _: int) -> None:
        nonlocal frames
        frames = done

    try:
        with conversion_errors(av, source), Video(source) as video:
            encoders = overlay_encoders(video.size, live=True)
            with VideoWriter(STDOUT, "matroska", encoders, video, sound=audio) as overlay:
                _segment_frames(segment, blender, video, overlay, batch_size=1, progress=count)
            notes = _notes(video, overlay, predictor.size_note(video.size[::-1]), audio=audio)
    except BrokenPipeError:
        notes = ()  # the player has been closed
    return VideoReport(frames, perf_counter() - started, notes)


_Segmentation = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]
"""A function from frames uint8 (N, H, W, 3) RGB to ids uint8 (N, H, W)."""


def _segmentation(predictor: BatchSegmenter, only: Sequence[str] | None, threshold: float | None) -> _Segmentation:
    """Return what makes ids of frames: those of all classes or of some, see `Result.select`."""
    if threshold is not None:
        names = tuple(only or ())
        require_one_for_threshold(names, threshold)
        return lambda images: np.stack(
            [predictor.segment(image).select(*names, threshold=threshold).labels for image in images]
        )
    if only is None:
        return predictor.predict_labels
    table = selection_table(predictor.labels, only)
    return lambda images: table[predictor.predict_labels(images)]


def _segment_frames(
    segment: _Segmentation,
    blender: OverlayBlender,
    video: Video,
    overlay: VideoWriter,
    *,
    label_video: VideoWriter | None = None,
    batch_size: int,
    progress: ProgressCallback | None,
    total: int = 0,
) -> int:
    """Segment every frame of a video into the writers, and copy its sound; returns the number of frames."""
    batch: list[Frame] = []
    frames = 0

    def flush() -> None:
        nonlocal frames
        if not batch:
            return
        found = segment(np.stack([frame.image for frame in batch]))
        for frame, labels in zip(batch, found, strict=True):
            overlay.write(blender(frame.image, labels), frame.time)
            if label_video:
                label_video.write(labels, frame.time)
            frames += 1
            if progress:
                progress(frames, max(frames, total))
        batch.clear()

    for item in video:
        if isinstance(item, Frame):
            batch.append(item)
            if len(batch) == batch_size:
                flush()
        else:
            overlay.copy(item)
    flush()
    return frames


def _notes(video: Video, overlay: VideoWriter, size_note: str | None, *, audio: bool) -> tuple[str, ...]:
    notes = [f"{video.path}: sound left out, {codec} does not go into this container" for codec in overlay.dropped]
    if audio and video.unknown_sound:
        tracks = count_of(video.unknown_sound, "track")
        notes.append(f"{video.path}: {tracks} of sound left out, of a kind that the installed FFmpeg does not know")
    if video.damaged:
        notes.append(f"{video.path}: {video.damaged} damaged packets left out")
    if size_note:
        notes.append(f"{video.path}: {size_note}")
    return tuple(notes)
