"""Find the files that are to be segmented, and name their results."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from atonce.data.images import IMAGE_SUFFIXES
from atonce.errors import DataError
from atonce.extras import require_extra

VIDEO_SUFFIXES = frozenset(
    {".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".mts", ".m2ts", ".wmv", ".flv", ".3gp"}
)


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


def find_pictures(inputs: Sequence[Path], on_problem: OnProblem | None = None) -> list[Job]:
    """List files as they are and folders with all pictures below them, in order; no two results share a path.

    Links to folders are followed, each folder once. What is named as a picture but is none (a broken link, a pipe) is
    listed, too: whoever reads it says so.

    Args:
        on_problem: called with an error for each folder that cannot be entered; without it, the first one is raised.

    Raises:
        DataError: an input does not exist, a folder cannot be entered, or there is no picture at all.
    """
    return _find(inputs, IMAGE_SUFFIXES, "pictures", on_problem)


def find_jobs(inputs: Sequence[Path], on_problem: OnProblem | None = None) -> list[Job]:
    """List pictures and videos, as `find_pictures` lists pictures.

    Raises:
        DataError: an input does not exist, a folder cannot be entered, or there is nothing at all.
        UserError: there are videos, but the extra `video` is not installed.
    """
    jobs = _find(inputs, IMAGE_SUFFIXES | VIDEO_SUFFIXES, "pictures or videos", on_problem)
    video = next((job for job in jobs if job.is_video), None)
    if video:
        # Before thousands of pictures have been segmented.
        require_extra("av", str(video.source), "video")
    return jobs


def _find(inputs: Sequence[Path], suffixes: frozenset[str], what: str, on_problem: OnProblem | None) -> list[Job]:
    found: list[tuple[Path, Path]] = []
    problems: list[DataError] = []
    for path in inputs:
        if path.is_dir():
            below = (p for p in sorted(_files_below(path, problems.append)) if _is_input(p, suffixes))
            found += [(p, p.relative_to(path)) for p in below]
        elif path.exists():
            found.append((path, Path(path.name)))
        else:
            raise DataError(f"{path} does not exist", f"{what}, or folders of them")
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
        target = next(choice for choice in _names(name) if choice not in taken)
        taken.add(target)
        jobs.append(Job(source, target))
    return jobs


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


def _names(name: Path) -> Iterator[Path]:
    yield name.with_suffix("")
    yield name.with_name(name.name.replace(".", "_"))
    number = 2
    while True:
        yield name.with_name(f"{name.stem}_{number}")
        number += 1
