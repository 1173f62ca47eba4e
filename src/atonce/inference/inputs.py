"""Find the files that are to be segmented, and name their results."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from atonce.data.images import IMAGE_SUFFIXES
from atonce.errors import DataError
from atonce.extras import require_extra

VIDEO_SUFFIXES = frozenset(
    {".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".mts", ".m2ts", ".wmv", ".flv", ".3gp"}
)


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


def find_pictures(inputs: Sequence[Path]) -> list[Job]:
    """List files as they are and folders with all pictures below them, in order; no two results share a path.

    Raises:
        DataError: an input does not exist, or there is no picture at all.
    """
    return _find(inputs, IMAGE_SUFFIXES, "pictures")


def find_jobs(inputs: Sequence[Path]) -> list[Job]:
    """List pictures and videos, as `find_pictures` lists pictures.

    Raises:
        DataError: an input does not exist, or there is nothing at all.
        UserError: there are videos, but the extra `video` is not installed.
    """
    jobs = _find(inputs, IMAGE_SUFFIXES | VIDEO_SUFFIXES, "pictures or videos")
    video = next((job for job in jobs if job.is_video), None)
    if video:
        # Before thousands of pictures have been segmented.
        require_extra("av", str(video.source), "video")
    return jobs


def _find(inputs: Sequence[Path], suffixes: frozenset[str], what: str) -> list[Job]:
    found: list[tuple[Path, Path]] = []
    for path in inputs:
        if path.is_dir():
            found += [(p, p.relative_to(path)) for p in sorted(path.rglob("*")) if _is_input(p, suffixes)]
        elif path.exists():
            found.append((path, Path(path.name)))
        else:
            raise DataError(f"{path} does not exist", f"{what}, or folders of them")
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


def _is_input(path: Path, suffixes: frozenset[str]) -> bool:
    """Tell by its name; hidden files are other programs' (`._x.jpg` of macOS)."""
    return path.suffix.lower() in suffixes and not path.name.startswith(".") and path.is_file()


def _names(name: Path) -> Iterator[Path]:
    yield name.with_suffix("")
    yield name.with_name(name.name.replace(".", "_"))
    number = 2
    while True:
        yield name.with_name(f"{name.stem}_{number}")
        number += 1
