"""The curves of a run: validation scores, loss, learning rate and each class's IoU over the steps."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from html import escape

from atonce.reports.number_format import score
from atonce.reports.run_files import RunFiles
from atonce.reports.score_tables import swatch
from atonce.reports.svg_figures import Line, plot_over_steps, sparkline
from atonce.storage import none_to_nan
from atonce.text import count_of


def curves_section(files: RunFiles) -> str:
    """Plot validation scores, loss, training scores and learning rate over the steps; those that there are."""
    return "".join((_validation(files), _loss(files), _train_iou(files), _learning_rate(files)))


def classes_over_steps(files: RunFiles) -> str:
    """Plot the IoU of every class over the validations, small and side by side: in one plot nobody tells them apart."""
    if len(files.validations) < 2:
        return ""
    steps, best = [row["step"] for row in files.validations], files.best
    figures = []
    for name in files.class_names:
        line = Line(steps, [row.get(f"iou {name}", math.nan) for row in files.validations])
        title = f"{swatch(files.palette, name)}{escape(name)}"
        if line.empty:
            figures.append(f'<figure class="small"><figcaption>{title} <b>absent</b></figcaption></figure>')
            continue
        at = score(best.get(f"iou {name}", math.nan)) if best else "–"
        alt = f"IoU of {name} over {count_of(len(steps), 'validation')}; {at} at the best step"
        plot = sparkline(line, alt, best["step"] if best else None)
        figures.append(f'<figure class="small"><figcaption>{title} <b>{at}</b></figcaption>{plot}</figure>')
    return f'<div class="smalls">{"".join(figures)}</div>'


def _validation(files: RunFiles) -> str:
    steps = [row["step"] for row in files.validations]
    lines = [
        Line(steps, [row.get(key, math.nan) for row in files.validations]) for key in ("mean_iou", "pixel_accuracy")
    ]
    best = files.best
    if best is None:
        return ""
    remark = f"best mean IoU {score(best['mean_iou'])} at step {best['step']:,.0f}"
    alt = f"Validation scores over {count_of(len(steps), 'validation')}; {remark}"
    plot = plot_over_steps(lines, alt, end=files.last_step, best=(best["step"], best["mean_iou"]), top=1.0)
    return _plot_figure("Validation", plot, ("mean IoU", "pixel accuracy"), f"○ {remark}")


def _loss(files: RunFiles) -> str:
    terms = {"distillation": "distillation", "dice": "Dice", "lovasz": "Lovász", "focal": "focal", "l2": "L2"}
    present = {
        key: name for key, name in terms.items() if any(none_to_nan(record.get(key)) > 0 for record in files.log)
    }
    keys = {"loss": "loss", "cross_entropy": "cross entropy", **present} if present else {"loss": "cross entropy"}
    # A figure has three lines; what is left then is the L2 term.
    keys = dict(itertools.islice(keys.items(), 3))
    lines = [_logged(files, key) for key in keys]
    if lines[0].empty:
        return ""
    last = next(v for v in reversed(lines[0].values) if math.isfinite(v))
    alt = f"Training loss over {count_of(len(lines[0].steps), 'record')}; {last:.3g} at the last"
    return _plot_figure(
        "Training loss", plot_over_steps(lines, alt, end=files.last_step), tuple(keys.values()), f"last {last:.3g}"
    )


def _train_iou(files: RunFiles) -> str:
    line = _logged(files, "train_mean_iou")
    if line.empty:
        return ""
    last = next(v for v in reversed(line.values) if math.isfinite(v))
    alt = f"Mean IoU on the training crops; {score(last)} at the last record"
    plot = plot_over_steps([line], alt, end=files.last_step, top=1.0)
    return _plot_figure("Mean IoU on training crops", plot, (), f"last {score(last)}")


def _learning_rate(files: RunFiles) -> str:
    line = _logged(files, "lr")
    if line.empty:
        return ""
    high = max(v for v in line.values if math.isfinite(v))
    return _plot_figure(
        "Learning rate",
        plot_over_steps([line], f"Learning rate over the steps, {_peak(files, high)}", end=files.last_step),
        (),
        _peak(files, high),
    )


def _peak(files: RunFiles, high: float) -> str:
    """Name the recipe's rate beside the highest one of the log, which has some of the steps only."""
    optim = files.settings.get("optim")
    asked = none_to_nan(optim.get("lr")) if isinstance(optim, Mapping) else math.nan
    return f"highest in the log {high:.3g}" + (f", optim.lr {asked:.3g}" if math.isfinite(asked) else "")


def _logged(files: RunFiles, key: str) -> Line:
    return Line([none_to_nan(r["step"]) for r in files.log], [none_to_nan(r.get(key)) for r in files.log])


def _plot_figure(title: str, plot: str, names: Sequence[str], remark: str) -> str:
    """Frame a plot with its title, the names of its lines and a remark."""
    keys = "".join(f'<span class="key k{i}">{name}</span>' for i, name in enumerate(names, 1)) if len(names) > 1 else ""
    single = f" <small>{names[0]}</small>" if len(names) == 1 else ""
    return (
        f'<figure class="plot"><figcaption><h3>{title}{single}</h3>'
        f"<p>{keys}<span>{remark}</span></p></figcaption>{plot}</figure>"
    )
