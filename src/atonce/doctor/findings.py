"""Findings: one for each sort of trouble, with the files it is about and what to do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from atonce.data.images import Problem
from atonce.data.problem_notes import group_problems, summary
from atonce.errors import as_command_line, as_python

Severity = Literal["error", "warning", "note"]

SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")
"""error: training would be wrong, or would not start. warning: worth mending. note: worth knowing."""

_MAX_FILES = 1000
"""The most files that a finding names: whoever needs more has one cause for all of them."""


@dataclass(frozen=True)
class AffectedFile:
    """A file that a finding is about.

    Attributes:
        about: what is wrong with it ("holds 200 (12 pixels, 0.1 %)").
    """

    path: Path
    about: str = ""


@dataclass(frozen=True)
class Finding:
    """One sort of trouble, or of news.

    Attributes:
        severity: "error", "warning" or "note"; see `SEVERITIES`.
        kind: a short, stable word ("unpaired", "values", "near-duplicates-across", ...; the page "atonce doctor" lists
            them).
        found: one sentence.
        remedy: what to do; empty where there is nothing to do. Both name options as Python does; see `option`.
        files: at most 1000 of them.
        count: the number of files that it is true of; 0 where it is about the whole.
    """

    severity: Severity
    kind: str
    found: str
    remedy: str = ""
    files: tuple[AffectedFile, ...] = field(default=(), kw_only=True)
    count: int = field(default=0, kw_only=True)
    _marked: tuple[str, str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_marked", (self.found, self.remedy))
        object.__setattr__(self, "found", as_python(self.found))
        object.__setattr__(self, "remedy", as_python(self.remedy))

    @property
    def marked(self) -> tuple[str, str]:
        """The text found and the remedy, with options marked as `option` marks them, for a message that quotes them."""
        return self._marked

    def for_command_line(self) -> tuple[str, str]:
        """Return what was found and the remedy, with their options as flags."""
        found, remedy = self._marked
        return as_command_line(found), as_command_line(remedy)

    def to_json(self, root: Path) -> dict[str, Any]:
        """Return the finding for JSON: options as on the command line, paths relative to the data set's root."""
        found, remedy = self.for_command_line()
        files = [{"path": relative_path(file.path, root), "about": file.about} for file in self.files]
        head = {"severity": self.severity, "kind": self.kind, "found": found, "remedy": remedy}
        return {**head, "count": self.count, "files": files}


def about_files(severity: Severity, kind: str, found: str, *, remedy: str, files: Sequence[AffectedFile]) -> Finding:
    """Return a finding about files, of which only the first 1000 are kept."""
    return Finding(severity, kind, found, remedy, files=tuple(files[:_MAX_FILES]), count=len(files))


def relative_path(path: Path, root: Path) -> str:
    """Write a path relative to the data set's root where it lies below it."""
    return path.relative_to(root).as_posix() if path != root and path.is_relative_to(root) else str(path)


def from_problems(problems: Iterable[Problem]) -> list[Finding]:
    """Gather the problems of a kind, a severity and a remedy into one finding, in the order of their first one."""
    findings = []
    for group in group_problems(problems):
        first = group[0]
        files = [AffectedFile(p.path, found_and_expected(p.found, p.expected)) for p in group]
        found = summary(first.kind, len(group))
        findings.append(about_files(first.severity, first.kind, found, remedy=first.remedy, files=files))
    return findings


def found_and_expected(found: str, expected: str) -> str:
    """Join what was found and what was expected, as messages do."""
    return f"{found}; expected {expected}" if expected else found


def sort_by_severity(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Sort findings: errors first, then warnings, then notes."""
    return tuple(sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity)))
