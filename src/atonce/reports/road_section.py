"""What an evaluation has beyond the confusion matrix: KITTI's road scores and how far probabilities can be trusted."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from atonce.reports.number_format import score
from atonce.reports.run_files import Source
from atonce.reports.svg_figures import Line, shares
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


def road_section(source: Source) -> str:
    """A table of the categories, and a precision-recall curve for each; empty without road scores."""
    road = source.evaluation.get("road")
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
    return table + _plots([_precision_recall(name, row) for name, row in rows.items()])


def road_lead(source: Source) -> str:
    """What the numbers are about."""
    road = source.evaluation.get("road")
    above = isinstance(road, dict) and road.get("view") == "above"
    view = "seen from above, as in the benchmark" if above else "in the picture (the benchmark's are from above)"
    rest = " The sections below are about the picture." if above else ""
    return f"Scores at the threshold of the best F, {view}. The circle is that threshold.{rest}"


def calibration_section(source: Source) -> str:
    """The reliability diagram; empty where it was not measured."""
    found = source.evaluation.get("calibration")
    if not isinstance(found, dict) or not found.get("bins"):
        return ""
    line = Line(*([none_to_nan(one.get(key)) for one in found["bins"]] for key in ("confidence", "accuracy")))
    if line.empty:
        return ""
    expected, largest = (none_to_nan(found.get(f"{kind}_calibration_error")) for kind in ("expected", "maximum"))
    remark = f"expected error {score(expected)}, largest {score(largest)}"
    plot = shares([line, Line((0, 1), (0, 1))], f"Reliability diagram; {remark}", ("confidence", "accuracy"))
    keys = '<span class="key k1">measured</span><span class="key k2">ideal</span>'
    return _plots([_figure("Confidence and accuracy", f"{keys}<span>{remark}</span>", plot)])


def _row(name: str, row: Mapping[str, Any]) -> str:
    cells = "".join(f"<td>{score(none_to_nan(row.get(key)))}</td>" for key in _COLUMNS)
    return f'<tr><th scope="row">{escape(name)}</th><td>{none_to_nan(row.get("pictures")):,.0f}</td>{cells}</tr>'


def _precision_recall(name: str, row: Mapping[str, Any]) -> str:
    curve = row.get("curve") or {}
    line = Line(*([none_to_nan(v) for v in curve.get(key) or ()] for key in ("recall", "precision")))
    if line.empty or len(line.steps) != len(line.values):
        return ""
    mark = (none_to_nan(row.get("recall")), none_to_nan(row.get("precision")))
    told = f"MaxF {score(none_to_nan(row.get('max_f')))}, AP {score(none_to_nan(row.get('average_precision')))}"
    alt = f"Precision over recall of {name}; {told}"
    plot = shares([line], alt, ("recall", "precision"), mark if all(map(math.isfinite, mark)) else None)
    return _figure(escape(name), f"<span>○ {told}</span>", plot)


def _figure(title: str, remark: str, plot: str) -> str:
    caption = f"<figcaption><h3>{title}</h3><p>{remark}</p></figcaption>"
    return f'<figure class="plot">{caption}{plot}</figure>'


def _plots(figures: Sequence[str]) -> str:
    shown = [figure for figure in figures if figure]
    # One alone would be drawn as wide as the page.
    narrow = ' style="max-width: 34rem"' if len(shown) == 1 else ""
    return f'<div class="plots"{narrow}>{"".join(shown)}</div>' if shown else ""
