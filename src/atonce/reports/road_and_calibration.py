"""Sections that only some evaluations have: KITTI's road scores, and the calibration of the probabilities."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from atonce.reports.number_format import score
from atonce.reports.run_files import RunFiles
from atonce.reports.svg_figures import Line, plot_unit_square
from atonce.storage import none_to_nan

_COLUMNS = {
    "max_f": "MaxF",
    "average_precision": "AP",
    "precision": "PRE",
    "recall": "REC",
    "fpr": "FPR",
    "fnr": "FNR",
    "threshold": "threshold",
}


def road_section(files: RunFiles) -> str:
    """Return a table of the categories, and a precision-recall curve for each; empty without road scores."""
    road = files.evaluation.get("road")
    categories = road.get("categories") if isinstance(road, dict) else None
    if not isinstance(road, dict) or not isinstance(categories, dict):
        return ""
    pooled = {"pooled": road.get("pooled")} if len(categories) > 1 else {}
    rows = {name: row for name, row in (categories | pooled).items() if isinstance(row, dict)}
    head = "".join(f'<th scope="col">{title}</th>' for title in ("Category", "Pictures", *_COLUMNS.values()))
    body = "".join(_row(name, row) for name, row in rows.items())
    table = (
        f'<div class="scroll"><table class="classes road"><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )
    plots = _plots([_precision_recall(name, row) for name, row in rows.items()])
    return table + _as_drawn(road.get("as_drawn")) + plots


def road_lead(files: RunFiles) -> str:
    """Say which view the scores belong to, and at which threshold they are taken."""
    road = files.evaluation.get("road")
    above = isinstance(road, dict) and road.get("view") == "above"
    view = "seen from above, as in the benchmark" if above else "in the picture (the benchmark's are from above)"
    rest = " The sections below are about the picture." if above else ""
    return f"Scores at the threshold of the best F, {view}. The circle is that threshold.{rest}"


def calibration_section(files: RunFiles) -> str:
    """Return the reliability diagram; empty where calibration was not measured."""
    found = files.evaluation.get("calibration")
    if not isinstance(found, dict) or not found.get("bins"):
        return ""
    line = Line(*([none_to_nan(one.get(key)) for one in found["bins"]] for key in ("confidence", "accuracy")))
    if line.empty:
        return ""
    expected, largest = (none_to_nan(found.get(f"{kind}_calibration_error")) for kind in ("expected", "maximum"))
    remark = f"expected error {score(expected)}, largest {score(largest)}"
    plot = plot_unit_square([line, Line((0, 1), (0, 1))], f"Reliability diagram; {remark}", ("confidence", "accuracy"))
    keys = '<span class="key k1">measured</span><span class="key k2">ideal</span>'
    return _plots([_plot_figure("Confidence and accuracy", f"{keys}<span>{remark}</span>", plot)])


def _row(name: str, row: Mapping[str, Any]) -> str:
    cells = "".join(f"<td>{score(none_to_nan(row.get(key)))}</td>" for key in _COLUMNS)
    return f'<tr><th scope="row">{escape(name)}</th><td>{none_to_nan(row.get("pictures")):,.0f}</td>{cells}</tr>'


def _as_drawn(found: Any) -> str:
    """Say how much of the road and of the rest is drawn as road; empty for evaluations that did not measure it."""
    if not isinstance(found, dict):
        return ""
    recall, fpr = (score(none_to_nan(found.get(key))) for key in ("recall", "fpr"))
    return f"<p>As drawn, road where more likely than not: REC {recall}, FPR {fpr}, in the picture.</p>"


def _precision_recall(name: str, row: Mapping[str, Any]) -> str:
    curve = row.get("curve") or {}
    line = Line(*([none_to_nan(v) for v in curve.get(key) or ()] for key in ("recall", "precision")))
    if line.empty or len(line.steps) != len(line.values):
        return ""
    best = (none_to_nan(row.get("recall")), none_to_nan(row.get("precision")))
    remark = f"MaxF {score(none_to_nan(row.get('max_f')))}, AP {score(none_to_nan(row.get('average_precision')))}"
    alt = f"Precision over recall of {name}; {remark}"
    circled = best if all(map(math.isfinite, best)) else None
    plot = plot_unit_square([line], alt, ("recall", "precision"), circled=circled)
    return _plot_figure(escape(name), f"<span>○ {remark}</span>", plot)


def _plot_figure(title: str, remark: str, plot: str) -> str:
    caption = f"<figcaption><h3>{title}</h3><p>{remark}</p></figcaption>"
    return f'<figure class="plot">{caption}{plot}</figure>'


def _plots(figures: Sequence[str]) -> str:
    shown = [figure for figure in figures if figure]
    # One alone would be drawn as wide as the page.
    narrow = ' style="max-width: 34rem"' if len(shown) == 1 else ""
    return f'<div class="plots"{narrow}>{"".join(shown)}</div>' if shown else ""
