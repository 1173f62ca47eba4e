"""The report of `atonce doctor` in the terminal."""

from __future__ import annotations

from pathlib import Path

from rich.table import Table
from rich.text import Text

from atonce.cli.show import results
from atonce.doctor import Examination, Finding
from atonce.doctor.examination import class_weights_override
from atonce.doctor.findings import SEVERITIES, relative_path
from atonce.errors import one_line
from atonce.progress import terminal_columns
from atonce.text import count_of, listing, wrapped

_MAX_FILES = 5
"""The most files of a finding that are named in the terminal; --json names a thousand."""
_BAR_WIDTH = 16
_STYLES = {"error": "bold red", "warning": "bold yellow", "note": "dim"}


def print_examination(examination: Examination, *, class_weights: bool, notes: bool = True) -> None:
    """Print tables, findings (with or without mere notes), and class weights where they are asked for."""
    results.print(_heading(examination), soft_wrap=True)
    if examination.dataset is not None:
        results.print("", _splits(examination), "", _classes(examination), "", sep="\n")
    for finding in examination.findings:
        if finding.severity == "note" and not notes:
            continue
        results.print(_finding(finding, examination.root), soft_wrap=True)
    if examination.dataset is None and examination.classes_yaml:
        results.print(f"\n{examination.classes_yaml}", markup=False, highlight=False, soft_wrap=True)
    for rule, weights in examination.class_weights().items() if class_weights else ():
        text = f"{rule}:\n  {class_weights_override(weights)}"
        results.print(text, markup=False, highlight=False, soft_wrap=True)


def print_verdict(examination: Examination, *, corrected: bool = False) -> None:
    """Print whether training can start.

    Args:
        corrected: all masks were corrected, and nothing else is wrong.
    """
    results.print(_verdict(examination, corrected=corrected), soft_wrap=True)


def _heading(examination: Examination) -> Text:
    dataset = examination.dataset
    pictures = sum(s.pictures for s in examination.statistics.values())
    about = f"{dataset.format}, {count_of(pictures, 'picture')}" if dataset else "could not be opened"
    return Text.assemble((str(examination.root), "bold"), f"  {about}, {examination.seconds:.1f} s")


def _splits(examination: Examination) -> Table:
    table = Table("split", box=None, header_style="dim", padding=(0, 2, 0, 0))
    for column in ("pictures", "masks", "void"):
        table.add_column(column, justify="right")
    for column in ("sizes", "picture modes", "mask modes"):
        table.add_column(column)
    for split, s in examination.statistics.items():
        modes = examination.observations[split].modes()
        sizes = sorted(s.sizes, key=lambda size: -s.sizes[size])
        table.add_row(
            split,
            str(s.pictures),
            str(s.masks),
            _percent(s.void_share) if s.masks else "–",
            listing((f"{width}x{height}" for width, height in sizes), 2) or "–",
            *(", ".join(modes[kind]) or "–" for kind in ("picture_modes", "mask_modes")),
        )
    return table


def _classes(examination: Examination) -> Table:
    """Draw the share of the labelled pixels of each class, in each split that has masks, and the pictures it is in."""
    assert examination.dataset is not None
    labels, counted = examination.dataset.labels, {k: s for k, s in examination.statistics.items() if s.masks}
    table = Table("id", "class", box=None, header_style="dim", padding=(0, 2, 0, 0))
    longest = max(map(len, labels.names))
    bar = max(1, min(_BAR_WIDTH, (results.width - longest - 8) // max(1, len(counted)) - 21))
    table.columns[1].no_wrap = True
    for split in counted:
        table.add_column(split, justify="right", no_wrap=True)
        table.add_column("", width=bar)
        table.add_column("pictures", justify="right", no_wrap=True)
    highest = max((float(s.share.max()) for s in counted.values() if s.pixel_count.any()), default=1.0)
    for i, (name, colour) in enumerate(zip(labels.names, labels.palette, strict=True)):
        cells: list[str | Text] = [str(i), Text.assemble(("■ ", f"rgb({','.join(map(str, colour))})"), name)]
        for s in counted.values():
            share, there = float(s.share[i]), bool(s.pixel_count[i])
            line = "━" * max(1, round(bar * share / highest)) if there else ""
            text = Text(_percent(share)) if there else Text("absent", "yellow")
            cells += [text, Text(line, "blue"), str(s.pictures_with_class[i])]
        table.add_row(*cells)
    return table


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %" if share < 0.0995 else f"{100 * share:.1f} %"


def _finding(finding: Finding, root: Path) -> Text:
    found, remedy = finding.for_command_line()
    if finding.kind != "layout":  # which may be a table of layouts, whose lines are safe
        found, remedy = one_line(found), one_line(remedy)
    columns, severity = terminal_columns(results), f"{finding.severity:8}"
    said = wrapped(f"{severity} {found}", columns, 9)
    text = Text.assemble((severity, _STYLES[finding.severity]), said.removeprefix(severity))
    for file in finding.files[:_MAX_FILES]:
        text.append(
            "\n" + wrapped(one_line(f"           {relative_path(file.path, root)} {file.about}".rstrip()), columns, 13)
        )
    if finding.count > _MAX_FILES:
        text.append(f"\n           ... and {finding.count - _MAX_FILES} more", "dim")
    if remedy:
        text.append("\n" + wrapped(f"         → {remedy}", columns, 11), "cyan")
    return text


def _verdict(examination: Examination, *, corrected: bool) -> Text:
    counts = {s: examination.count(s) for s in SEVERITIES}
    summary = ", ".join(count_of(n, severity) for severity, n in counts.items())
    if corrected and examination.wrong:
        told = f"Training would be wrong with the masks as they were: {summary}. The copies are mended."
        return Text(f"\n{told}", "bold green")
    if examination.wrong:
        return Text(f"\nTraining would be wrong: {summary}.", "bold red")
    verdict = "Training can start, but look at the warnings" if counts["warning"] else "Nothing is wrong"
    return Text(f"\n{verdict}: {summary}.", "bold yellow" if counts["warning"] else "bold green")
