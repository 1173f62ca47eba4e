"""Segment files and folders, write what was asked for, and go on when one of them is broken."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from atonce.data.pictures import PICTURE_SUFFIXES
from atonce.errors import DataError
from atonce.predict.exported import ExportedPredictor
from atonce.predict.predictor import Predictor, Result
from atonce.storage import make_folder, write_atomically

_JPEG_SIDE = 65_500
"""Pixels; libjpeg's own limit."""


@dataclass(frozen=True)
class Job:
    """A picture, and the path below the output folder that its results take, without suffix."""

    picture: Path
    target: Path


def find_pictures(inputs: Sequence[Path]) -> list[Job]:
    """Files as they are, folders with all pictures below them, in order; no two results share a path.

    Raises:
        DataError: an input does not exist, or there is no picture at all.
    """
    found: list[tuple[Path, Path]] = []
    for path in inputs:
        if path.is_dir():
            found += [(p, p.relative_to(path)) for p in sorted(path.rglob("*")) if _is_picture(p)]
        elif path.exists():
            found.append((path, Path(path.name)))
        else:
            raise DataError(f"{path} does not exist", "a picture or a folder of pictures")
    if not found:
        kinds = ", ".join(sorted(s[1:] for s in PICTURE_SUFFIXES))
        raise DataError(f"no pictures in {', '.join(map(str, inputs))}", f"files of type {kinds}")
    jobs, taken = [], set()
    for picture, name in found:
        # a.png and a.jpg, or a.png of two folders, would overwrite each other.
        choices = _names(name)
        target = next(choice for choice in choices if choice not in taken)
        taken.add(target)
        jobs.append(Job(picture, target))
    return jobs


def _is_picture(path: Path) -> bool:
    """By its name; hidden files are other programs' (`._x.jpg` of macOS)."""
    return path.suffix.lower() in PICTURE_SUFFIXES and not path.name.startswith(".") and path.is_file()


def _names(name: Path) -> Iterator[Path]:
    yield name.with_suffix("")
    yield name.with_name(name.name.replace(".", "_"))
    number = 2
    while True:
        yield name.with_name(f"{name.stem}_{number}")
        number += 1


def predict_files(
    predictor: Predictor,
    jobs: Sequence[Job],
    out: Path,
    opacity: float = 0.5,
    probabilities: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> list[DataError]:
    """Write overlays/NAME.jpg, labels/NAME.png (palette, ids as indices) and, if asked, probabilities/NAME.npy.

    Returns:
        What could not be read; everything else has been done.

    Raises:
        StorageError: `out` cannot be written.
    """
    broken = []
    for done, job in enumerate(jobs, 1):
        try:
            # A single picture shows its tiles, of many each is a step.
            result = predictor(job.picture, progress if len(jobs) == 1 else None)
        except DataError as error:
            broken.append(error)
        else:
            if probabilities:
                path = _place(out / "probabilities", job.target, ".npy")
                write_atomically(path, partial(_write_probabilities, result, predictor))
            _write(result, out, job.target, opacity)
        if progress:
            progress(done, len(jobs))
    return broken


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


def _write(result: Result, out: Path, target: Path, opacity: float) -> None:
    # The label picture comes last: where it is, the others are complete.
    overlay = result.overlay(opacity)
    # JPEG counts rows and columns in two bytes.
    path = _place(out / "overlays", target, ".jpg" if max(overlay.size) <= _JPEG_SIDE else ".png")
    write_atomically(path, lambda temporary: overlay.save(temporary, quality=92))
    label_image = result.label_image()
    path = _place(out / "labels", target, ".png")
    write_atomically(path, lambda temporary: label_image.save(temporary))


def _place(folder: Path, target: Path, suffix: str) -> Path:
    path = folder / target.with_name(target.name + suffix)
    make_folder(path.parent)
    return path
