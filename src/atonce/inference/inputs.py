"""Find the files that are to be segmented, and name their results."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from atonce.data.formats import open_dataset, recognise
from atonce.data.images import IMAGE_SUFFIXES
from atonce.data.mask_sources import mask_parts
from atonce.errors import DataError
from atonce.extras import require_extra
from atonce.inference.own_results import FOLDERS, is_own_result
from atonce.remote import require_existing
from atonce.storage import case_insensitive, file_stem
from atonce.text import count_of

VIDEO_SUFFIXES = frozenset(
    {".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".mts", ".m2ts", ".wmv", ".flv", ".3gp"}
)

_MASK_FOLDERS = frozenset(
    {
        "ann_dir", "annotation", "annotations", "gtfine", "gtcoarse", "gt_image_2", "label", "labels", "mask", "masks",
        "segmentationclass", "segmentationclassaug", "segmentationclasspng", "segmentationobject",
        "trainannot", "valannot", "testannot", "train_labels", "val_labels", "test_labels",
    }
)  # fmt: skip
"""Names of folders of masks, in lower case: for masks that no picture claims, and data sets that cannot be opened."""


_LONGEST = 255 - len(".json")
"""Bytes of the longest name without its suffix: file systems take 255, and .json is the longest suffix of a result."""

OnProblem = Callable[[DataError], object]
"""A function that is called with the error for something that is left out."""


@dataclass(frozen=True)
class Job:
    """A picture or a video to be segmented.

    Attributes:
        source: the file.
        target: the path of its results below the output folder, without suffix.
    """

    source: Path
    target: Path

    @property
    def is_video(self) -> bool:
        """True for the suffixes of videos; a file of any other name is taken for a picture."""
        return self.source.suffix.lower() in VIDEO_SUFFIXES

    @property
    def name(self) -> str:
        """The path of the file below the folder that was given, with its suffix: what annotation tools know it by."""
        return (self.target.parent / self.source.name).as_posix()


def find_pictures(
    inputs: Sequence[Path],
    *,
    out: Path | None = None,
    on_note: Callable[[str], None] | None = None,
    on_problem: OnProblem | None = None,
) -> list[Job]:
    """List files as they are and folders with all pictures below them, in order; no two results share a path.

    Links to folders are followed, each folder once. What is named as a picture but is none (a broken link, a pipe) is
    listed, too: whoever reads it says so. Left out below a folder are the masks of a data set, earlier results of
    atonce, and what lies in the folders of results in `out`.

    Args:
        out: the folder that results will be written to.
        on_note: called with what was left out, a line at a time.
        on_problem: called with an error for each folder that cannot be entered; without it, the first one is raised.

    Raises:
        DataError: an input does not exist, or is no file; there is no picture at all; a folder cannot be entered.
    """
    return _find(inputs, IMAGE_SUFFIXES, "pictures", out=out, on_note=on_note, on_problem=on_problem)


def find_jobs(
    inputs: Sequence[Path],
    *,
    out: Path | None = None,
    on_note: Callable[[str], None] | None = None,
    on_problem: OnProblem | None = None,
) -> list[Job]:
    """List pictures and videos, as `find_pictures` lists pictures.

    Raises:
        DataError: as `find_pictures`.
        UserError: there are videos, but the extra `video` is not installed.
    """
    suffixes = IMAGE_SUFFIXES | VIDEO_SUFFIXES
    jobs = _find(inputs, suffixes, "pictures or videos", out=out, on_note=on_note, on_problem=on_problem)
    video = next((job for job in jobs if job.is_video), None)
    if video:
        # Before thousands of pictures have been segmented.
        require_extra("av", str(video.source), "video")
    return jobs


def _find(
    inputs: Sequence[Path],
    suffixes: frozenset[str],
    what: str,
    *,
    out: Path | None,
    on_note: Callable[[str], None] | None,
    on_problem: OnProblem | None,
) -> list[Job]:
    problems: list[DataError] = []
    found: list[tuple[Path, Path]] = []
    for path in inputs:
        require_existing(path, f"{what}, or folders of them")
        if path.is_dir():
            files, notes = _pictures_below(path, suffixes, out, problems.append)
            found += [(file, file.relative_to(path)) for file in files]
            for note in notes:
                if on_note:
                    on_note(note)
        elif path.is_file():
            found.append((path, Path(path.name)))
        else:
            # To open a pipe would wait for whoever writes into it.
            raise DataError(f"{path} is no ordinary file", f"{what}, or folders of them")
    for problem in problems:
        if on_problem is None or not found:
            raise problem
        on_problem(problem)
    if not found:
        kinds = ", ".join(sorted(s[1:] for s in suffixes))
        raise DataError(f"no {what} in {', '.join(map(str, inputs))}", f"files of type {kinds}")
    jobs, taken = [], set()
    for source, name in found:
        # a.png and a.jpg, or a.png of two folders, would overwrite each other.
        target = next(choice for choice in map(_fitting, _names(name)) if case_insensitive(str(choice)) not in taken)
        taken.add(case_insensitive(str(target)))
        jobs.append(Job(source, target))
    return jobs


def _pictures_below(
    folder: Path, suffixes: frozenset[str], out: Path | None, on_problem: OnProblem
) -> tuple[list[Path], list[str]]:
    """List the files below a folder that are to be segmented, and what was left out of it."""
    files = sorted(path for path in _files_below(folder, on_problem) if _is_input(path, suffixes))
    if out is not None:
        # Also what a killed process left there, which bears no mark.
        results = [result for name in FOLDERS if (result := (out / name).resolve()).is_relative_to(folder.resolve())]
        files = [path for path in files if not any(path.resolve().is_relative_to(result) for result in results)]
    files = [path for path in files if not is_own_result(path, folder)]
    is_mask = _mask_test(folder)
    if is_mask is None:
        return files, []
    pictures = [path for path in files if not is_mask(path)]
    left_out = len(files) - len(pictures)
    # A folder of masks alone may be what is wanted.
    if not left_out or not pictures:
        return files, []
    return pictures, [f"{folder} is a data set: {count_of(left_out, 'mask')} left out"]


def _mask_test(folder: Path) -> Callable[[Path], bool] | None:
    """Return a test that tells the masks of a data set; None where the folder is none."""
    if recognise(folder) is None:
        return None
    try:
        items = [item for items in open_dataset(folder).splits.values() for item in items]
    except DataError:
        items = []
    images = {item.image for item in items}
    masks = {part for item in items for part in mask_parts(item.mask) if isinstance(part, Path)}
    # With masks, their folders: some masks have no picture, or are of another kind (instances, dummies of a test set).
    mask_folders = {mask.parent for mask in masks} - {image.parent for image in images}

    def is_mask(path: Path) -> bool:
        if path in masks or any(parent in mask_folders for parent in path.parents):
            return True
        return path not in images and any(part.lower() in _MASK_FOLDERS for part in path.relative_to(folder).parts[:-1])

    return is_mask


def _files_below(root: Path, on_problem: OnProblem) -> Iterator[Path]:
    """Yield what lies below a folder and is no folder. Links to folders are followed, each folder once."""
    seen: set[tuple[int, int]] = set()
    folders, linked = [root], list[Path]()
    while folders or linked:
        # What a folder holds itself comes first, so that a link beside it does not give its files another name.
        folder = folders.pop() if folders else linked.pop()
        try:
            state = folder.stat()
            if (state.st_dev, state.st_ino) in seen:
                continue
            seen.add((state.st_dev, state.st_ino))
            for path in folder.iterdir():
                if not path.is_dir():
                    yield path
                elif path.is_symlink():
                    linked.append(path)
                else:
                    folders.append(path)
        except OSError as error:
            remedy = "give yourself the right to enter it, or name the files that you mean"
            on_problem(DataError(f"{folder} cannot be entered ({error.strerror})", "a folder", remedy))


def _is_input(path: Path, suffixes: frozenset[str]) -> bool:
    """Tell by its name; hidden files are other programs' (`._x.jpg` of macOS)."""
    return path.suffix.lower() in suffixes and not path.name.startswith(".")


def _fitting(target: Path) -> Path:
    """Shorten a name that leaves no room for the suffix of every result: the picture's own may be shorter."""
    if len(os.fsencode(target.name)) <= _LONGEST:
        return target
    return target.with_name(file_stem(target.name, _LONGEST))


def _names(name: Path) -> Iterator[Path]:
    yield name.with_suffix("")
    yield name.with_name(name.name.replace(".", "_"))
    number = 2
    while True:
        yield name.with_name(f"{name.stem}_{number}")
        number += 1
