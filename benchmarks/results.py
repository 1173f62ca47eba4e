"""What was found: rows, sections, and the whole report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from benchmarks.timing import Series, quartiles


@dataclass(frozen=True)
class Row:
    """One contestant in one case.

    Attributes:
        seconds: every repetition.
        pictures: that a repetition goes through; None where that is not what is counted.
        operations: additions and multiplications of a repetition; None where that is not what takes the time.
        arithmetic: "fp32" or "bf16", the measured peak that it is held against; None where there is none.
        memory: peak of the process, bytes.
    """

    case: str
    contestant: str
    seconds: tuple[float, ...]
    pictures: int | None = None
    operations: int | None = None
    arithmetic: str | None = None
    memory: int | None = None

    @property
    def median(self) -> float:
        return quartiles(self.seconds)[1]

    @property
    def spread(self) -> float:
        """Between the quartiles, seconds."""
        low, _, high = quartiles(self.seconds)
        return high - low

    @property
    def pictures_per_second(self) -> float | None:
        return self.pictures / self.median if self.pictures else None

    @property
    def rate(self) -> float | None:
        """Operations a second, at the median."""
        return self.operations / self.median if self.operations else None

    def share(self, peaks: Mapping[str, float]) -> float | None:
        """Of the measured peak of its arithmetic."""
        peak = peaks.get(self.arithmetic or "")
        return self.rate / peak if self.rate and peak else None

    def to_json(self, peaks: Mapping[str, float]) -> dict[str, Any]:
        low, middle, high = quartiles(self.seconds)
        return {
            "case": self.case,
            "contestant": self.contestant,
            "median_seconds": middle,
            "quartiles_seconds": [low, high],
            "repetitions": len(self.seconds),
            "seconds": list(self.seconds),
            "pictures": self.pictures,
            "pictures_per_second": self.pictures_per_second,
            "operations": self.operations,
            "operations_per_second": self.rate,
            "arithmetic": self.arithmetic,
            "share_of_peak": self.share(peaks),
            "peak_memory_bytes": self.memory,
        }


@dataclass
class Section:
    """A part of the run.

    Attributes:
        key: its name in the JSON and for --sections.
        note: one paragraph for the reader of the table.
        baselines: contestants that the others of a case are compared with.
        left_out: what was not measured, and why; one line each.
    """

    key: str
    title: str
    note: str
    baselines: tuple[str, ...] = ()
    rows: list[Row] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    def find(self, case: str, contestant: str) -> Row | None:
        return next((row for row in self.rows if (row.case, row.contestant) == (case, contestant)), None)

    def cases(self) -> Iterator[str]:
        """In the order of the rows, each once."""
        yield from dict.fromkeys(row.case for row in self.rows)

    def add(self, case: str, found: Mapping[str, Series], **about: Any) -> None:
        """Rows of a case; `about` are attributes of Row, the same for all, or by contestant in a dict."""
        for name, series in found.items():
            own = {key: value[name] if isinstance(value, dict) else value for key, value in about.items()}
            self.rows.append(Row(case, name, tuple(series.seconds), memory=series.memory, **own))

    def lose(self, case: str, failed: dict[str, str]) -> None:
        """Take note of who failed."""
        self.left_out += [f"{name}, {case}: {reason}" for name, reason in failed.items()]

    def to_json(self, peaks: Mapping[str, float]) -> dict[str, Any]:
        return {
            "title": self.title,
            "note": self.note,
            "rows": [row.to_json(peaks) for row in self.rows],
            "left_out": self.left_out,
        }


@dataclass(frozen=True)
class Target:
    """A line of what was aimed at; `met` is None where it was not measured."""

    text: str
    measured: str
    met: bool | None


@dataclass
class Report:
    """A run.

    Attributes:
        about: command, commit, seed, machine, date.
        peaks: arithmetic -> operations a second of the best matrix product.
    """

    about: dict[str, Any]
    sections: list[Section] = field(default_factory=list)
    peaks: dict[str, float] = field(default_factory=dict)
    targets: list[Target] = field(default_factory=list)

    def section(self, key: str) -> Section | None:
        return next((section for section in self.sections if section.key == key), None)

    def to_json(self) -> dict[str, Any]:
        return {
            "about": self.about,
            "peaks_operations_per_second": self.peaks,
            "sections": {section.key: section.to_json(self.peaks) for section in self.sections},
            "targets": [{"target": t.text, "measured": t.measured, "met": t.met} for t in self.targets],
        }
