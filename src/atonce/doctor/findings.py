"""What the doctor found: one finding for each sort of trouble, with the files it is about and what to do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from atonce.data.images import Problem
from atonce.errors import as_command_line

Severity = Literal["error", "warning", "note"]

SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")
"""error: training would be wrong, or would not start. warning: worth mending. note: worth knowing."""

_MOST_FILES = 1000
"""Files that a finding names: whoever needs more has one cause for all of them."""

# Singular and plural of what the kinds of `Problem` mean, after a number.
_SAYS = {
    "missing": ("file is not there", "files are not there"),
    "unpaired": ("file has no partner", "files have no partner"),
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
}


@dataclass(frozen=True)
class File:
    """A file that a finding is about, and what it is about it ("holds 200 (12 pixels, 0.1 %)")."""

    path: Path
    about: str = ""


@dataclass(frozen=True)
class Finding:
    """One sort of trouble, or of news.

    Attributes:
        kind: a short, stable word ("unpaired", "values", "near-duplicates-across", ...; docs/doctor.md lists them).
        found: one sentence.
        remedy: what to do; empty where there is nothing to do.
        files: at most 1000 of them.
        count: of how many files it is true; 0 where it is about the whole.
    """

    severity: Severity
    kind: str
    found: str
    remedy: str = ""
    files: tuple[File, ...] = ()
    count: int = 0

    def to_json(self, root: Path) -> dict[str, Any]:
        files = [{"path": relative(file.path, root), "about": file.about} for file in self.files]
        head = {"severity": self.severity, "kind": self.kind, "found": self.found}
        head["remedy"] = as_command_line(self.remedy)
        return {**head, "count": self.count, "files": files}


def about_files(severity: Severity, kind: str, found: str, remedy: str, files: Sequence[File]) -> Finding:
    """A finding about files; only the first 1000 are kept."""
    return Finding(severity, kind, found, remedy, tuple(files[:_MOST_FILES]), len(files))


def relative(path: Path, root: Path) -> str:
    """As a reader wants to see it: below the data set's root where it lies there."""
    return path.relative_to(root).as_posix() if path != root and path.is_relative_to(root) else str(path)


def from_problems(problems: Iterable[Problem]) -> list[Finding]:
    """Problems of a kind, a severity and a remedy become one finding, in the order of their first one."""
    groups: dict[tuple[str, Severity, str], list[Problem]] = {}
    for problem in problems:
        groups.setdefault((problem.kind, problem.severity, problem.remedy), []).append(problem)
    findings = []
    for (kind, severity, remedy), group in groups.items():
        one, many = _SAYS[kind]
        files = [File(p.path, "; ".join([p.found, *([f"expected {p.expected}"] if p.expected else [])])) for p in group]
        findings.append(about_files(severity, kind, f"{len(files)} {many if len(files) > 1 else one}", remedy, files))
    return findings


def by_severity(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Errors first, then warnings, then notes."""
    return tuple(sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity)))
