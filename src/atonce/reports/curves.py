"""The figures of a run with their titles and keys around them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from html import escape

from atonce.reports.number_format import score
from atonce.reports.run_files import Source
from atonce.reports.score_tables import swatch
from atonce.reports.svg_figures import Line, curve, sparkline
from atonce.storage import none_to_nan


def curves_section(source: Source) -> str:
    """Validation scores, loss, training scores and learning rate over the steps; those that there are."""
    return "".join((_validation(source), _loss(source), _train_iou(source), _learning_rate(source)))


def classes_over_steps(source: Source) -> str:
    """IoU of every class over the validations, small and side by side: many lines in one plot say nothing."""
    if len(source.validations) < 2:
        return ""
    steps, best = [row["step"] for row in source.validations], source.best
    figures = []
    for name in source.class_names:
        line = Line(steps, [row.get(f"iou {name}", math.nan) for row in source.validations])
        title = f"{swatch(source.palette, name)}{escape(name)}"
        if line.empty:
            figures.append(f'<figure class="small"><figcaption>{title} <b>absent</b></figcaption></figure>')
            continue
        at = score(best.get(f"iou {name}", math.nan)) if best else "–"
        plot = sparkline(
            line, f"IoU of {name} over {len(steps)} validations; {at} at the best step", best["step"] if best else None
        )
        figures.append(f'<figure class="small"><figcaption>{title} <b>{at}</b></figcaption>{plot}</figure>')
    return f'<div class="smalls">{"".join(figures)}</div>'


def _validation(source: Source) -> str:
    steps = [row["step"] for row in source.validations]
    lines = [
        Line(steps, [row.get(key, math.nan) for row in source.validations]) for key in ("mean_iou", "pixel_accuracy")
    ]
    best = source.best
    if best is None:
        return ""
    told = f"best mean IoU {score(best['mean_iou'])} at step {best['step']:,.0f}"
    alt = f"Validation scores over {len(steps)} validations; {told}"
    plot = curve(lines, alt, (best["step"], best["mean_iou"]), top=1.0)
    return _framed("Validation", plot, ("mean IoU", "pixel accuracy"), f"○ {told}")


def _loss(source: Source) -> str:
    terms = {"distillation": "distillation", "l2": "L2"}
    there = {key: name for key, name in terms.items() if any(none_to_nan(record.get(key)) > 0 for record in source.log)}
    keys = {"loss": "loss", "cross_entropy": "cross entropy", **there} if there else {"loss": "cross entropy"}
    # A figure has three lines; what is left then is the L2 term.
    keys = dict(itertools.islice(keys.items(), 3))
    lines = [_logged(source, key) for key in keys]
    if lines[0].empty:
        return ""
    last = next(v for v in reversed(lines[0].values) if math.isfinite(v))
    alt = f"Training loss over {len(lines[0].steps)} records; {last:.3g} at the last"
    return _framed("Training loss", curve(lines, alt), tuple(keys.values()), f"last {last:.3g}")


def _train_iou(source: Source) -> str:
    line = _logged(source, "train_mean_iou")
    if line.empty:
        return ""
    last = next(v for v in reversed(line.values) if math.isfinite(v))
    plot = curve([line], f"Mean IoU on the training crops; {score(last)} at the last record", top=1.0)
    return _framed("Mean IoU on training crops", plot, (), f"last {score(last)}")


def _learning_rate(source: Source) -> str:
    line = _logged(source, "lr")
    if line.empty:
        return ""
    high = max(v for v in line.values if math.isfinite(v))
    return _framed(
        "Learning rate", curve([line], f"Learning rate over the steps, at most {high:.3g}"), (), f"at most {high:.3g}"
    )


def _logged(source: Source, key: str) -> Line:
    return Line([none_to_nan(r["step"]) for r in source.log], [none_to_nan(r.get(key)) for r in source.log])


def _framed(title: str, plot: str, names: Sequence[str], remark: str) -> str:
    keys = "".join(f'<span class="key k{i}">{name}</span>' for i, name in enumerate(names, 1)) if len(names) > 1 else ""
    single = f" <small>{names[0]}</small>" if len(names) == 1 else ""
    return (
        f'<figure class="plot"><figcaption><h3>{title}{single}</h3>'
        f"<p>{keys}<span>{remark}</span></p></figcaption>{plot}</figure>"
    )
