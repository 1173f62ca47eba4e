"""The tables: the scores of every class, and the confusion matrix.

HTML rather than pictures: real headers, text that can be searched and copied, and a page that fits a phone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atonce.labels import Colour
from atonce.reports.number_format import join_with_and, percent, score
from atonce.reports.run_files import RunFiles
from atonce.storage import none_to_nan

_MAX_CLASSES = 40
"""A larger confusion matrix is a picture of nothing; its greatest mistakes are listed all the same."""
_SHOWN_MISTAKES = 5


def swatch(palette: Mapping[str, Colour], name: str) -> str:
    """Return a class's colour as a small square; nothing where no file tells the colours."""
    if name not in palette:
        return ""
    return f'<i class="swatch" style="background:rgb({",".join(map(str, palette[name]))})"></i>'


def legend(files: RunFiles) -> str:
    """Return the key to the pictures: each class with its colour."""
    if not files.palette:
        return (
            '<p class="hint">The colours of the classes are not known here: no model file lies beside this report.</p>'
        )
    items = "".join(f"<li>{swatch(files.palette, name)}{escape(name)}</li>" for name in files.class_names)
    return f'<ul class="legend" aria-label="Colours of the classes">{items}</ul>'


def class_table(files: RunFiles) -> str:
    """Return the table of the classes, the best first, so that the bars read as a chart; absent classes last."""
    classes = files.evaluation["classes"]
    total = sum(c.get("pixels") or 0 for c in classes)
    ranked = sorted(classes, key=lambda c: -none_to_nan(c.get("iou")) if c.get("iou") is not None else math.inf)
    columns = {"accuracy": "Accuracy", "precision": "Precision"}
    if any("boundary_f1" in c for c in classes):
        columns["boundary_f1"] = "Boundary F1"
    rows = "".join(_class_row(c, tuple(columns), total, files.palette) for c in ranked)
    titles = ("Class", "IoU", *columns.values(), "Share of pixels")
    head = "".join(f'<th scope="col">{title}</th>' for title in titles)
    return (
        f'<div class="scroll"><table class="classes"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
        f"{_remarks(files.evaluation)}"
    )


def _class_row(c: Mapping[str, Any], columns: Sequence[str], total: int, palette: Mapping[str, Colour]) -> str:
    name = f'<th scope="row">{swatch(palette, c["name"])}{escape(c["name"])}</th>'
    if c.get("iou") is None:
        cell = f'<td colspan="{len(columns) + 2}">absent: no pixel in truth or prediction</td>'
        return f'<tr class="absent">{name}{cell}</tr>'
    iou = none_to_nan(c["iou"])
    bar = f'<span class="bar" style="--v:{min(max(iou, 0), 1):.4f}"></span>'
    others = "".join(f"<td>{score(none_to_nan(c.get(key)))}</td>" for key in columns)
    part = percent((c.get("pixels") or 0) / total) if total else "–"
    return f'<tr>{name}<td class="iou"><b>{score(iou)}</b>{bar}</td>{others}<td>{part}</td></tr>'


def _remarks(evaluation: Mapping[str, Any]) -> str:
    remarks = []
    if absent := evaluation.get("absent"):
        remarks.append(f"Absent, and left out of the means: {escape(join_with_and(list(absent)))}.")
    if invented := evaluation.get("predicted_only"):
        remarks.append(
            f"Predicted although no picture shows them, so their IoU is 0: {escape(join_with_and(list(invented)))}."
        )
    return "".join(f'<p class="hint">{remark}</p>' for remark in remarks)


def frequent_mistakes(files: RunFiles) -> str:
    """List the most frequent confusions, in words."""
    counts = _confusion_matrix(files)
    names, per_class, wrong = files.class_names, counts.sum(axis=1), counts.sum() - np.trace(counts)
    off = counts - np.diag(np.diagonal(counts))
    order = [divmod(int(i), len(names)) for i in np.argsort(-off, axis=None, kind="stable")[:_SHOWN_MISTAKES]]
    items = "".join(
        f"<li><b>{escape(names[i])}</b> taken for <b>{escape(names[j])}</b>: "
        f"{percent(off[i, j] / wrong)} of all wrong pixels, "
        f"{percent(off[i, j] / per_class[i])} of {escape(names[i])}</li>"
        for i, j in order
        if off[i, j]
    )
    return f"<h3>The most frequent mistakes</h3><ol>{items}</ol>" if items else "<p>Not one pixel is wrong.</p>"


def confusion_table(files: RunFiles) -> str:
    """Return the confusion matrix as a heat map, each row in per cent of its class; truth down, prediction across."""
    counts, names = _confusion_matrix(files), files.class_names
    if len(names) > _MAX_CLASSES:
        return f'<p class="hint">With {len(names)} classes the matrix itself is left to evaluation.json.</p>'
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    head = "".join(
        f'<th scope="col" title="{escape(n)}"><span>{swatch(files.palette, n)}{escape(n)}</span></th>' for n in names
    )
    rows = "".join(
        f'<tr><th scope="row" title="{escape(name)}">{escape(name)}{swatch(files.palette, name)}</th>'
        f"{_cells(shares[i], i)}</tr>"
        for i, name in enumerate(names)
    )
    density = "few" if len(names) <= 6 else "many" if len(names) > 14 else "some"
    caption = (
        "<caption>Of 100 pixels of the class in a row, how many were predicted as what; nothing below 0.5.</caption>"
    )
    corner = '<td class="corner">truth ↓ &nbsp; prediction →</td>'
    return (
        f'<div class="scroll"><table class="confusion {density}">{caption}'
        f"<thead><tr>{corner}{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _cells(row: NDArray[np.float64], own: int) -> str:
    cells = []
    for j, value in enumerate(row):
        kind, dark = ("hit", 0.78) if j == own else ("miss", 0.6)
        strong = " strong" if value > dark else ""
        text = f"{value * 100:.0f}" if value >= 0.005 else ""
        cells.append(f'<td class="{kind}{strong}" style="--v:{value:.3f}">{text}</td>')
    return "".join(cells)


def _confusion_matrix(files: RunFiles) -> NDArray[np.int64]:
    """int64 (C, C), pixels of the class of the row that were predicted as that of the column."""
    return np.asarray(files.evaluation["confusion"], np.int64)
