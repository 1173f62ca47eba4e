"""Problems in short: those of a sort in one line, for a training that goes on, and as the doctor's findings."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from pathlib import Path

from atonce.data.images import Problem, ProblemKind
from atonce.errors import as_python
from atonce.text import listing

_SUMMARIES: dict[ProblemKind, tuple[str, str]] = {
    "missing": ("file is not there", "files are not there"),
    "unpaired": ("file has no partner", "files have no partner"),
    "no-mask": ("picture has no mask and is left out", "pictures have no mask and are left out"),
    "duplicate": ("name is there twice", "names are there twice"),
    "leak": ("picture is in two splits", "pictures are in two splits"),
    "unsupported": ("file is of a type that is not read", "files are of a type that is not read"),
    "list": ("line of a list cannot be used", "lines of lists cannot be used"),
    "unreadable": ("file cannot be read", "files cannot be read"),
    "lossy": ("mask was compressed with loss", "masks were compressed with loss"),
    "mode": ("file is of a mode that cannot be used", "files are of a mode that cannot be used"),
    "size": ("mask has another size than its picture", "masks have another size than their pictures"),
    "values": ("mask holds values that are no class", "masks hold values that are no class"),
    "void": ("mask has no labelled pixel", "masks have no labelled pixel"),
    "one-class": ("data set shows one class only", "data sets show one class only"),
    "blank": ("picture with nothing to be seen", "pictures with nothing to be seen"),
    "range": ("picture of an unusual range of numbers", "pictures of an unusual range of numbers"),
    "bands": ("picture of which some bands are not read", "pictures of which some bands are not read"),
    "pages": ("file of several pages", "files of several pages"),
    "alpha": ("picture with transparency, which is dropped", "pictures with transparency, which is dropped"),
}

_SPEAKS_FOR_ITSELF: frozenset[ProblemKind] = frozenset({"no-mask", "alpha"})
"""Kinds whose summary says all: of them the files are listed, not what is wrong with the first."""


def summary(kind: ProblemKind, count: int) -> str:
    """Say how many problems of a kind there are: "3 masks hold values that are no class"."""
    singular, plural = _SUMMARIES[kind]
    return f"{count} {plural if count > 1 else singular}"


def group_problems(problems: Iterable[Problem]) -> list[list[Problem]]:
    """Gather the problems of a kind, a severity and a remedy, in the order of their first one."""
    groups: dict[tuple[str, str, str], list[Problem]] = {}
    for problem in dict.fromkeys(problems):
        groups.setdefault((problem.kind, problem.severity, problem.remedy), []).append(problem)
    return list(groups.values())


def problem_notes(problems: Iterable[Problem], root: Path | None = None) -> list[str]:
    """Write a line for each sort of warnings and notes: how many files, which, and what to do.

    Args:
        problems: those of severity "error" are left out.
        root: paths are written relative to it.
    """
    lines = []
    for group in group_problems(problem for problem in problems if problem.severity != "error"):
        first = group[0]
        if first.kind in _SPEAKS_FOR_ITSELF:
            files = listing(problem.where(root) for problem in group)
        else:
            files = first.line(root, remedy=False) + (f" (and {len(group) - 1} more)" if len(group) > 1 else "")
        said = "warning: " if first.severity == "warning" else ""
        remedy = f"; {first.remedy}" if first.remedy else ""
        lines.append(f"{said}{summary(first.kind, len(group))}: {files}{remedy}")
    return lines


def tell_problems(problems: Iterable[Problem], on_note: Callable[[str], None] | None, root: Path | None = None) -> None:
    """Hand the lines of `problem_notes` to a caller who listens; else they become warnings of Python."""
    tell_notes(problem_notes(problems, root), on_note, above=1)


def tell_notes(lines: Iterable[str], on_note: Callable[[str], None] | None, *, above: int = 0) -> None:
    """Hand lines to a caller who listens; else they become warnings of Python.

    Args:
        above: how many functions lie between this one and the one whose caller is warned.
    """
    for line in lines:
        if on_note is not None:
            on_note(line)
        else:
            warnings.warn(as_python(line), UserWarning, stacklevel=3 + above)
