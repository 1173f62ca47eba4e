"""The page of a study, report.html, in the style of the training report. Everything from a file is escaped."""

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
from atonce.studies.learning_curves import Band, mean_band, plot_bands
from atonce.studies.study_folder import RunResult, StudyDescription
from atonce.studies.study_table import METRICS, TableRow, difference_text, mean_std_text, reading_notes, table_rows

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


def render_page(study: StudyDescription, results: Sequence[RunResult], sources: Sources) -> str:
    """Write the whole document.

    Args:
        sources: (variant, seed) -> the contents of the folder of a run that is over.
    """
    rows = table_rows(study, results)
    title = escape(study.title)
    body = "".join(
        f'<section id="{anchor}"><h2>{name}</h2>{content}</section>\n'
        for anchor, name, content in (
            ("table", "Scores", _table(study, rows)),
            ("curves", "Learning curves", _curves(rows, sources)),
            ("runs", "Runs", _runs(results)),
            ("variants", "Variants", _variants(study)),
            ("reading", "How to read and to repeat this", _notes(study, results)),
        )
        if content
    )
    runs = f"{len(results)} of {len(study.variants) * len(study.seeds)} runs"
    gist = [escape(study.question), *findings(study, rows)]
    header = f'<p class="eyebrow">atonce · study · {runs}</p>\n<h1>{title}</h1>\n'
    header += "\n".join(f'<p class="gist">{sentence}</p>' for sentence in gist)
    return document(f"{title} · atonce study", header, body, _STYLE)


def findings(study: StudyDescription, rows: Sequence[TableRow]) -> list[str]:
    """Say in HTML sentences what the numbers tell of each variant; no more than they tell."""
    sentences = []
    for row in rows:
        name, base = f"<b>{escape(row.variant)}</b>", escape(study.baseline)
        difference = row.differences.get("mean_iou")
        if difference is not None:
            points = f"{abs(difference.mean) * 100:.1f} points of mean IoU"
            direction = "above" if difference.mean >= 0 else "below"
            if difference.low is None or difference.high is None:
                sentences.append(f"{name}: {points} {direction} {base}, of one seed.")
            elif difference.significant:
                low, high = sorted((abs(difference.low) * 100, abs(difference.high) * 100))
                sentences.append(f"{name}: {points} {direction} {base} ({low:.1f} to {high:.1f}).")
            elif difference.low == difference.high == 0:
                sentences.append(f"{name}: the same as {base}, in every digit.")
            else:
                low, high = difference.low * 100, difference.high * 100
                sentences.append(
                    f"{name}: {difference.n} seeds tell no difference to {base} ({low:+.1f} to {high:+.1f} points)."
                )
        if row.failed:
            sentences.append(f"{name}: {len(row.failed)} of {row.planned} runs failed.")
    return sentences


def _table(study: StudyDescription, rows: Sequence[TableRow]) -> str:
    known = [r.mean_iou for row in rows for r in row.results.values() if math.isfinite(r.mean_iou)]
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


def _row(row: TableRow, low: float, high: float) -> str:
    cells = ""
    for key in METRICS:
        difference = row.differences.get(key)
        kind = ' class="clear"' if difference is not None and difference.significant else ""
        detail = (
            f"<small><span{kind}>{difference_text(difference)}</span></small>"
            if row.differences
            else "<small>baseline</small>"
        )
        cells += f"<td>{mean_std_text(row.means[key])}{detail}</td>"
    dots = "".join(
        f'<i style="left:{100 * (result.mean_iou - low) / ((high - low) or 1):.1f}%" title="seed {seed}: '
        f'{score(result.mean_iou)}"></i>'
        for seed, result in row.results.items()
        if math.isfinite(result.mean_iou)
    )
    of = f"{len(row.results)} of {row.planned}" if len(row.results) < row.planned else str(row.planned)
    failed = f', <span class="failed">{len(row.failed)} failed</span>' if row.failed else ""
    runs = f"<small>{of} run{'s' if row.planned > 1 else ''}{failed}</small>"
    return (
        f'<tr><th scope="row">{escape(row.variant)}{runs}</th>{cells}<td><span class="dots">{dots}</span></td>'
        f"<td>{mean_std_text(row.means['minutes'], 1)}</td><td>{mean_std_text(row.means['best_step'], 0)}</td></tr>"
    )


def _curves(rows: Sequence[TableRow], sources: Sources) -> str:
    """Plot each variant beside the baseline; all plots of a measure on one scale, so that they can be compared, too."""
    measures = {"mean IoU": _validated, "training loss": _logged}
    bands = {
        title: {row.variant: mean_band([of(sources[row.variant, seed]) for seed in row.results]) for row in rows}
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
    plot = plot_bands(list(bands.values()), f"{title}; {ends}", top or 1.0)
    return f'<figure class="plot"><figcaption><h3>{escape(title)}</h3><p>{keys}</p></figcaption>{plot}</figure>'


def _validated(source: RunFiles) -> Line:
    return Line([row["step"] for row in source.validations], [row["mean_iou"] for row in source.validations])


def _logged(source: RunFiles) -> Line:
    return Line(
        [none_to_nan(record["step"]) for record in source.log],
        [none_to_nan(record.get("cross_entropy")) for record in source.log],
    )


def _runs(results: Sequence[RunResult]) -> str:
    body = "".join(_run(result) for result in results)
    titles = ("Run", *map(_heading, METRICS.values()), "Best step", "Steps", "Time", "Scales")
    head = "".join(f'<th class="wide">{t}</th>' if t == "Scales" else f"<th>{t}</th>" for t in titles)
    return (
        f'<div class="scroll"><table class="study"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
        if results
        else ""
    )


def _run(result: RunResult) -> str:
    link = escape(f"{result.variant}/seed-{result.seed}/report.html", quote=True)
    name = f'<th scope="row"><a href="{link}">{escape(result.variant)}, seed {result.seed}</a></th>'
    scales = ", ".join(f"{escape(pool)} × {scale:.3g}" for pool, scale in result.skip_scales.items()) or "no skips"
    if result.failed is not None:
        return f'<tr>{name}<td class="wide failed" colspan="7">failed: {escape(result.failed)}</td></tr>'
    cells = "".join(f"<td>{score(getattr(result, key))}</td>" for key in METRICS)
    rest = f"<td>{result.best_step:,}</td><td>{result.step:,}</td><td>{duration(result.minutes)}</td>"
    return f'<tr>{name}{cells}{rest}<td class="wide">{scales}</td></tr>'


def _variants(study: StudyDescription) -> str:
    items = "".join(f"<li><b>{escape(name)}</b>: {_overrides(o)}</li>" for name, o in study.variants.items())
    recipe = escape(yaml.safe_dump(dict(study.recipe), sort_keys=False))
    return f"<ul>{items}</ul><details><summary>The recipe that they change</summary><pre>{recipe}</pre></details>"


def _overrides(overrides: Mapping[str, Any]) -> str:
    return escape(
        ", ".join(f"{key} = {json.dumps(value)}" for key, value in overrides.items()) or "the recipe as it is"
    )


def _notes(study: StudyDescription, results: Sequence[RunResult]) -> str:
    return (
        "<ul>"
        + "".join(f"<li>{escape(note.replace('`', ''))}</li>" for note in reading_notes(study, results))
        + "</ul>"
    )
