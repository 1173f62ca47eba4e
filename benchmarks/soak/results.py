"""What the soak has counted and found."""

from __future__ import annotations

import re
import time
import traceback
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import atonce
from atonce.storage import make_folder

_PACKAGE = str(Path(atonce.__file__).parent)


@dataclass
class Finding:
    """Something that must not be.

    Attributes:
        part: the part of the soak, and what was tried ("fuzz: recipe").
        what: one line; findings with the same line are counted together.
        about: what is needed to see it again: the seed, a traceback, what a command said.
        content: the input, where it is a file.
        suffix: of that file.
    """

    part: str
    what: str
    about: str = ""
    content: bytes | None = None
    suffix: str = ".bin"


@dataclass
class Results:
    """Counts by part and outcome, and the findings.

    Args:
        out: the folder that findings are written to.
    """

    out: Path
    counts: dict[str, Counter[str]] = field(default_factory=dict)
    findings: dict[tuple[str, str], list[Finding]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)

    def count(self, part: str, outcome: str, number: int = 1) -> None:
        """Count an outcome."""
        self.counts.setdefault(part, Counter())[outcome] += number

    def find(self, finding: Finding) -> None:
        """Note a finding, and write the first of its kind into a file."""
        self.count(finding.part, "FOUND")
        same = self.findings.setdefault((finding.part, finding.what), [])
        same.append(finding)
        if len(same) > 1:
            return
        stem = re.sub(r"[^\w]+", "-", f"{finding.part} {finding.what}")[:80].strip("-")
        folder = make_folder(self.out / "findings")
        (folder / f"{stem}.txt").write_text(f"{finding.part}\n{finding.what}\n\n{finding.about}\n", "utf-8")
        if finding.content is not None:
            (folder / f"{stem}{finding.suffix}").write_bytes(finding.content)

    def table(self) -> str:
        """Write the counts as a Markdown table, and the findings and notes below it."""
        rows = ["| part | tried | outcomes | seconds |", "|---|---:|---|---:|"]
        for part, counts in self.counts.items():
            tried = sum(counts.values())
            outcomes = ", ".join(f"{number} {outcome}" for outcome, number in counts.most_common())
            seconds = f"{self.seconds[part]:.0f}" if part in self.seconds else ""
            rows.append(f"| {part} | {tried} | {outcomes} | {seconds} |")
        lines = ["\n".join(rows)]
        for (part, what), found in self.findings.items():
            lines.append(f"FOUND {len(found)} x {part}: {what}")
        return "\n".join([*lines, *self.notes])


class Stopwatch:
    """A budget of seconds for a part of the soak."""

    def __init__(self, seconds: float) -> None:
        self._began, self.seconds = time.monotonic(), seconds

    @property
    def elapsed(self) -> float:
        """The seconds since it began."""
        return time.monotonic() - self._began

    @property
    def is_over(self) -> bool:
        """True once the budget is spent."""
        return self.elapsed >= self.seconds


def describe_error(error: BaseException) -> str:
    """Say in one line what was raised and where in atonce: the same for the same fault, whatever the input."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if frame.filename.startswith(_PACKAGE)]
    frame = ours[-1] if ours else frames[-1]
    return f"{type(error).__name__} in {Path(frame.filename).name}:{frame.name}"


def said_badly(code: int | None, err: str, expected: Mapping[int, str]) -> str | None:
    """Tell what is wrong with how a command has ended: None, or a line.

    Args:
        expected: exit codes that may be, and what they mean.
    """
    if "Traceback (most recent call last)" in err:
        last = [line for line in err.splitlines() if line and not line.startswith(" ")]
        return f"a traceback: {re.sub(r'[0-9]+|/[^ ]*', '…', last[-1])[:120]}"
    if code not in expected:
        return f"exit code {code}"
    return None
