"""The study's page, in the style of the training report. Everything from a file is escaped."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import yaml

from atonce.reports.html_document import document
from atonce.reports.number_format import duration, score
from atonce.reports.run_files import RunFiles
from atonce.reports.svg_figures import Line
from atonce.storage import none_to_nan
from atonce.studies.learning_curves import Band, band_of, banded
from atonce.studies.records import Description, Record
from atonce.studies.table import METRICS, Row, difference_text, notes, rows_of, spread_text

Sources = Mapping[tuple[str, int], RunFiles]

_STYLE = """.study { width: 100%; }
.study th, .study td { padding: 0.4rem 1.2rem 0.4rem 0; border-bottom: 1px solid var(--line); text-align: right; }
.study th:first-child { text-align: left; }
.study thead th { vertical-align: bottom; }
.study td { white-space: nowrap; }
.study tbody th { font-weight: 600; overflow-wrap: anywhere; }
.study small { display: block; color: var(--muted); font-weight: 400; }
.study .clear { color: var(--one); font-weight: 600; }
.study .wide { text-align: left; white-space: normal; min-width: 9rem; }
.dots { position: relative; display: block; height: 1.1rem; min-width: 8rem; border-bottom: 1px solid var(--line); }
.dots i { position: absolute; bottom: 0.25rem; width: 0.55rem; height: 0.55rem; margin-left: -0.27rem;
  border-radius: 50%; background: var(--one); opacity: 0.6; }
.failed { color: var(--two); }
"""


def render(study: Description, records: Sequence[Record], sources: Sources) -> str:
    """The whole document.

    Args:
        sources: (variant, seed) -> what the run directory of a run that is over holds.
    """
    rows = rows_of(study, records)
    title = escape(study.title)
    body = "".join(
        f'<section id="{anchor}"><h2>{name}</h2>{content}</section>\n'
        for anchor, name, content in (
            ("table", "Scores", _table(study, rows)),
            ("curves", "Learning curves", _curves(rows, sources)),
            ("runs", "Runs", _runs(records)),
            ("variants", "Variants", _variants(study)),
            ("reading", "How to read and to repeat this", _notes(study, records)),
        )
        if content
    )
    runs = f"{len(records)} of {len(study.variants) * len(study.seeds)} runs"
    gist = [escape(study.question), *findings(study, rows)]
    header = f'<p class="eyebrow">atonce · study · {runs}</p>\n<h1>{title}</h1>\n'
    header += "\n".join(f'<p class="gist">{sentence}</p>' for sentence in gist)
    return document(f"{title} · atonce study", header, body, _STYLE)


def findings(study: Description, rows: Sequence[Row]) -> list[str]:
    """What the numbers say of each variant, in HTML; no more than they say."""
    told = []
    for row in rows:
        name, base = f"<b>{escape(row.variant)}</b>", escape(study.baseline)
        between = row.differences.get("mean_iou")
        if between is not None:
            points = f"{abs(between.mean) * 100:.1f} points of mean IoU"
            direction = "above" if between.mean >= 0 else "below"
            if between.low is None or between.high is None:
                told.append(f"{name}: {points} {direction} {base}, of one seed.")
            elif between.clear:
                low, high = sorted((abs(between.low) * 100, abs(between.high) * 100))
                told.append(f"{name}: {points} {direction} {base} ({low:.1f} to {high:.1f}).")
            elif between.low == between.high == 0:
                told.append(f"{name}: the same as {base}, in every digit.")
            else:
                low, high = between.low * 100, between.high * 100
                told.append(
                    f"{name}: {between.n} seeds tell no difference to {base} ({low:+.1f} to {high:+.1f} points)."
                )
        if row.failed:
            told.append(f"{name}: {len(row.failed)} of {row.planned} runs failed.")
    return told


def _table(study: Description, rows: Sequence[Row]) -> str:
    known = [r.mean_iou for row in rows for r in row.records.values() if math.isfinite(r.mean_iou)]
    heads = "".join(
        f"<th>{_heading(title)}<small>difference to {escape(study.baseline)}</small></th>" for title in METRICS.values()
    )
    body = "".join(_row(row, min(known, default=0.0), max(known, default=1.0)) for row in rows)
    scale = f"<small>{score(min(known))} to {score(max(known))}</small>" if known else ""
    return (
        '<div class="scroll"><table class="study"><thead><tr><th>Variant</th>'
        f"{heads}<th>Mean IoU by seed{scale}</th><th>Minutes</th><th>Best step</th></tr></thead>"
        f"<tbody>{body}</tbody></table></div>"
    )


def _heading(title: str) -> str:
    return title[0].upper() + title[1:]


def _row(row: Row, low: float, high: float) -> str:
    cells = ""
    for key in METRICS:
        between = row.differences.get(key)
        kind = ' class="clear"' if between is not None and between.clear else ""
        told = (
            f"<small><span{kind}>{difference_text(between)}</span></small>"
            if row.differences
            else "<small>baseline</small>"
        )
        cells += f"<td>{spread_text(row.spreads[key])}{told}</td>"
    dots = "".join(
        f'<i style="left:{100 * (record.mean_iou - low) / ((high - low) or 1):.1f}%" title="seed {seed}: '
        f'{score(record.mean_iou)}"></i>'
        for seed, record in row.records.items()
        if math.isfinite(record.mean_iou)
    )
    of = f"{len(row.records)} of {row.planned}" if len(row.records) < row.planned else str(row.planned)
    failed = f', <span class="failed">{len(row.failed)} failed</span>' if row.failed else ""
    runs = f"<small>{of} run{'s' if row.planned > 1 else ''}{failed}</small>"
    return (
        f'<tr><th scope="row">{escape(row.variant)}{runs}</th>{cells}<td><span class="dots">{dots}</span></td>'
        f"<td>{spread_text(row.spreads['minutes'], 1)}</td><td>{spread_text(row.spreads['best_step'], 0)}</td></tr>"
    )


def _curves(rows: Sequence[Row], sources: Sources) -> str:
    """Each variant beside the baseline; all plots of a measure on one scale, so that they can be compared, too."""
    measures = {"mean IoU": _validated, "training loss": _logged}
    bands = {
        title: {row.variant: band_of([of(sources[row.variant, seed]) for seed in row.records]) for row in rows}
        for title, of in measures.items()
    }
    base, figures = rows[0].variant, []
    for row in rows[1:]:
        for title, found in bands.items():
            shown = {name: found[name] for name in (row.variant, base) if not found[name].empty}
            if row.variant in shown:
                top = 1.05 * max(max(band.high.values) for band in found.values() if not band.empty)
                figures.append(_figure(f"{row.variant}: {title}", shown, top))
    hint = "Mean over the seeds; the band is one standard deviation to either side."
    return f'<p class="lead">{hint}</p><div class="plots">{"".join(figures)}</div>' if figures else ""


def _figure(title: str, bands: Mapping[str, Band], top: float) -> str:
    keys = "".join(f'<span class="key k{i}">{escape(name)}</span>' for i, name in enumerate(bands, 1))
    ends = ", ".join(f"{name} ends at {band.mean.values[-1]:.3g}" for name, band in bands.items())
    plot = banded(list(bands.values()), f"{title}; {ends}", top or 1.0)
    return f'<figure class="plot"><figcaption><h3>{escape(title)}</h3><p>{keys}</p></figcaption>{plot}</figure>'


def _validated(source: RunFiles) -> Line:
    return Line([row["step"] for row in source.validations], [row["mean_iou"] for row in source.validations])


def _logged(source: RunFiles) -> Line:
    return Line(
        [none_to_nan(record["step"]) for record in source.log],
        [none_to_nan(record.get("cross_entropy")) for record in source.log],
    )


def _runs(records: Sequence[Record]) -> str:
    body = "".join(_run(record) for record in records)
    titles = ("Run", *map(_heading, METRICS.values()), "Best step", "Steps", "Time", "Scales")
    head = "".join(f'<th class="wide">{t}</th>' if t == "Scales" else f"<th>{t}</th>" for t in titles)
    return (
        f'<div class="scroll"><table class="study"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
        if records
        else ""
    )


def _run(record: Record) -> str:
    link = escape(f"{record.variant}/seed-{record.seed}/report.html", quote=True)
    name = f'<th scope="row"><a href="{link}">{escape(record.variant)}, seed {record.seed}</a></th>'
    scales = ", ".join(f"{escape(pool)} × {scale:.3g}" for pool, scale in record.skip_scales.items()) or "no skips"
    if record.failed is not None:
        return f'<tr>{name}<td class="wide failed" colspan="7">failed: {escape(record.failed)}</td></tr>'
    cells = "".join(f"<td>{score(getattr(record, key))}</td>" for key in METRICS)
    rest = f"<td>{record.best_step:,}</td><td>{record.step:,}</td><td>{duration(record.minutes)}</td>"
    return f'<tr>{name}{cells}{rest}<td class="wide">{scales}</td></tr>'


def _variants(study: Description) -> str:
    items = "".join(f"<li><b>{escape(name)}</b>: {_overrides(o)}</li>" for name, o in study.variants.items())
    recipe = escape(yaml.safe_dump(dict(study.recipe), sort_keys=False))
    return f"<ul>{items}</ul><details><summary>The recipe that they change</summary><pre>{recipe}</pre></details>"


def _overrides(overrides: Mapping[str, Any]) -> str:
    return escape(
        ", ".join(f"{key} = {json.dumps(value)}" for key, value in overrides.items()) or "the recipe as it is"
    )


def _notes(study: Description, records: Sequence[Record]) -> str:
    return "<ul>" + "".join(f"<li>{escape(note.replace('`', ''))}</li>" for note in notes(study, records)) + "</ul>"
