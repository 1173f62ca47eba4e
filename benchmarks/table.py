"""The report as Markdown, to be pasted into docs/performance-log.md as it is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchmarks.results import Report, Row, Section

_VERDICTS = {True: "met", False: "**missed**", None: "–"}


def markdown(report: Report) -> str:
    """Where and when, a table for each case, what was left out, the targets."""
    lines = [*_about(report)]
    for section in report.sections:
        lines += [f"### {section.title}", "", section.note, ""]
        for case in section.cases():
            lines += [f"**{case}**", "", *table_lines(_case(section, case, report)), ""]
        if section.left_out:
            lines += ["Left out:", "", *(f"- {line}" for line in section.left_out), ""]
    lines += ["### Targets", "", *table_lines(_targets(report)), ""]
    return "\n".join(lines)


def _about(report: Report) -> Iterator[str]:
    about, machine = report.about, report.about["machine"]
    versions = ", ".join(f"{name} {number}" for name, number in about["versions"].items())
    yield "## Measured"
    yield ""
    when = f"{about['date']}, {about['seconds']} s"
    yield f"`{about['command']}` at commit {about['commit']}, seed {about['seed']}, {when}"
    yield ""
    yield (
        f"{machine['processor']}, {machine['cores']} cores, {machine['threads']} threads "
        f"({', '.join(machine['flags']) or 'flags unknown'}), {machine['memory_bytes'] / 2**30:.0f} GiB; "
        f"{machine['system']}; device: {machine['device']}; load when it began: {machine['load_before']}. {versions}."
    )
    yield ""


def _case(section: Section, case: str, report: Report) -> list[list[str]]:
    """A header and a row for each contestant; columns that nobody has anything in are left out."""
    rows = [row for row in section.rows if row.case == case]
    baselines = [name for name in section.baselines if any(row.contestant == name for row in rows)]
    head = ["", "median", "IQR", "n", *(f"vs. {name}" for name in baselines)]
    head += ["pictures/s", "GFLOP", "GFLOP/s", "of peak", "memory"]
    table = [head]
    for row in rows:
        cells = [
            row.contestant,
            _seconds(row.median),
            _seconds(row.spread) if len(row.seconds) > 1 else "",
            str(len(row.seconds)),
        ]
        cells += [f"{_median(rows, name) / row.median:.2f}x" for name in baselines]
        share = row.share(report.peaks)
        cells += [
            _number(row.pictures_per_second),
            _number(row.operations and row.operations / 1e9),
            _number(row.rate and row.rate / 1e9),
            f"{share:.0%}" if share else "",
            f"{row.memory / 2**20:.0f} MiB" if row.memory and row.pictures else "",
        ]
        table.append(cells)
    return _without_empty(table)


def _median(rows: Sequence[Row], contestant: str) -> float:
    return next(row.median for row in rows if row.contestant == contestant)


def _targets(report: Report) -> list[list[str]]:
    lines = [[target.text, target.measured, _VERDICTS[target.met]] for target in report.targets]
    return [["target", "measured", ""], *lines]


def _without_empty(table: list[list[str]]) -> list[list[str]]:
    kept = [i for i in range(len(table[0])) if i == 0 or any(row[i] for row in table[1:])]
    return [[row[i] for i in kept] for row in table]


def table_lines(rows: list[list[str]]) -> Iterator[str]:
    """A header and rows as Markdown; the first column is text, the others are numbers."""
    head, *rest = rows
    yield "| " + " | ".join(head) + " |"
    yield "|---" + "|---:" * (len(head) - 1) + "|"
    for row in rest:
        yield "| " + " | ".join(row) + " |"


def _number(value: float | None) -> str:
    """Three digits, more before the point."""
    if not value:
        return ""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _seconds(value: float) -> str:
    """With the unit that suits its size."""
    if value >= 1:
        return f"{value:.2f} s"
    return f"{value * 1e3:.0f} ms" if value >= 0.01 else f"{value * 1e3:.2f} ms"
