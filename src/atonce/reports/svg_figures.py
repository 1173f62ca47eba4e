"""Curves as inline SVG that takes its colours and fonts from the page, so that it fits a light and a dark one.

No text from a file ever enters a figure: names and legends are HTML around it.
"""

from __future__ import annotations

import io
import math
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray

# Matplotlib draws with these; the SVG then says var(--...) in their place.
INK, MUTED, GRID = "#010203", "#010204", "#010205"
SERIES = ("#010206", "#010207", "#010208")
_VARIABLES = {INK: "ink", MUTED: "muted", GRID: "line", SERIES[0]: "one", SERIES[1]: "two", SERIES[2]: "three"}
DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1.5, 1.5)))

_MAX_POINTS = 600
_LABELLED_POINTS = 2
_TICK_STEPS = (1, 2, 5, 10)
STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "atonce",
    "text.parse_math": False,
    "axes.facecolor": "none",
    "axes.edgecolor": GRID,
    "axes.labelcolor": MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.axisbelow": True,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "xtick.major.size": 3,
    "ytick.major.size": 0,
    "font.size": 9.5,
    "lines.linewidth": 1.7,
    "lines.solid_capstyle": "round",
}


@dataclass(frozen=True)
class Line:
    """Values over steps; NaN leaves a gap."""

    steps: Sequence[float]
    values: Sequence[float]

    @property
    def empty(self) -> bool:
        """True where no value is finite."""
        return not any(math.isfinite(value) for value in self.values)


def plot_over_steps(
    lines: Sequence[Line],
    alt: str,
    *,
    end: float | None = None,
    best: tuple[float, float] | None = None,
    top: float | None = None,
) -> str:
    """Plot up to three lines over steps, 500 x 260; of one or two points, the values are written beside them.

    Args:
        alt: what a reader who cannot see it should know.
        end: the last step of the run: steps are shown from 0 to it; None shows those of the lines.
        best: (step, value) of the validation whose model was kept; it gets a circle.
        top: where the scale of shares ends (1.0); None leaves it to the values, from 0 where they come near it.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(5.0, 2.6))
        axes = figure.add_axes((0.1, 0.13, 0.87, 0.83))
        axes.grid(axis="y", color=GRID, linewidth=0.8)
        for line, colour, dash in zip(lines, SERIES, DASHES, strict=False):
            x, y = _downsample(line)
            marker = "o" if len(x) < 12 else ""
            axes.plot(x, y, color=colour, linestyle=dash, marker=marker, markersize=3.5)
            if len(x) <= _LABELLED_POINTS:
                _label_points(axes, x, y, colour)
        set_scale(axes, lines, top)
        if end:
            _set_x_limits(axes, (0, end))
        if best:
            axes.axvline(best[0], color=MUTED, linewidth=0.9, linestyle=(0, (2, 3)))
            axes.plot(*best, "o", color=SERIES[0], markersize=8, markerfacecolor="none", markeredgewidth=1.7)
        return to_svg(figure, alt)


def sparkline(line: Line, alt: str, best: float | None) -> str:
    """Plot a share, 0..1, over steps, 200 x 90; the step whose model was kept carries a dot."""
    with matplotlib.rc_context({**STYLE, "lines.linewidth": 1.5}):
        figure = Figure(figsize=(2.0, 0.9))
        axes = figure.add_axes((0.02, 0.06, 0.96, 0.88))
        for height in (0.0, 0.5, 1.0):
            axes.axhline(height, color=GRID, linewidth=0.7)
        x, y = _downsample(line)
        axes.plot(x, y, color=SERIES[0], marker="o" if len(x) < 4 else "", markersize=3)
        kept = [value for step, value in zip(line.steps, line.values, strict=True) if step == best]
        if best is not None and kept and math.isfinite(kept[0]):
            axes.plot(best, kept[0], "o", color=SERIES[0], markersize=4.5)
        axes.set_axis_off()
        axes.set_ylim(-0.04, 1.04)
        _set_x_limits(axes, line.steps)
        return to_svg(figure, alt)


def plot_unit_square(
    lines: Sequence[Line], alt: str, axis_labels: tuple[str, str], *, circled: tuple[float, float] | None = None
) -> str:
    """Plot lines whose x and y are both shares, 0..1, such as precision over recall, 500 x 340.

    The `steps` of a line are its x.

    Args:
        axis_labels: those of x and y; our own words, never text from a file.
        circled: a point that gets a circle.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(5.0, 3.4))
        axes = figure.add_axes((0.1, 0.13, 0.87, 0.84))
        axes.grid(color=GRID, linewidth=0.8)
        for line, colour, dash in zip(lines, SERIES, DASHES, strict=False):
            known = [math.isfinite(x) and math.isfinite(y) for x, y in zip(line.steps, line.values, strict=True)]
            x, y = np.asarray(line.steps, np.float64)[known], np.asarray(line.values, np.float64)[known]
            axes.plot(x, y, color=colour, linestyle=dash, marker="o" if 2 < len(x) < 30 else "", markersize=3.5)
        if circled:
            axes.plot(*circled, "o", color=SERIES[0], markersize=8, markerfacecolor="none", markeredgewidth=1.7)
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.04), xlabel=axis_labels[0], ylabel=axis_labels[1])
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(MaxNLocator(6, steps=_TICK_STEPS))
            axis.set_major_formatter(FuncFormatter(_tick_label))
        return to_svg(figure, alt)


def _label_points(axes: Axes, x: NDArray[np.float64], y: NDArray[np.float64], colour: str) -> None:
    """Write the values of a few points to their left, where the last one of a run has room."""
    for step, value in zip(x, y, strict=True):
        if math.isfinite(value):
            place: dict[str, Any] = {"xytext": (-8, 4), "textcoords": "offset points", "ha": "right"}
            axes.annotate(f"{value:.3g}", (step, value), color=colour, annotation_clip=False, **place)


def _downsample(line: Line) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return x and y of no more points than a screen can show, the first and the last among them."""
    x, y = np.asarray(line.steps, np.float64), np.asarray(line.values, np.float64)
    if len(x) > _MAX_POINTS:
        keep = np.linspace(0, len(x) - 1, _MAX_POINTS).astype(int)
        x, y = x[keep], y[keep]
    return x, y


def set_scale(axes: Axes, lines: Sequence[Line], top: float | None) -> None:
    """Set limits and ticks of both axes; `top` as in `plot_over_steps`."""
    values = [value for line in lines for value in line.values if math.isfinite(value)]
    high = top or max(values, default=1.0) * 1.05 or 1.0
    axes.set_ylim(min(0.0, min(values, default=0.0)), high)
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=_TICK_STEPS))
    axes.yaxis.set_major_formatter(FuncFormatter(_tick_label))
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=_TICK_STEPS, integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(_tick_label))
    _set_x_limits(axes, [step for line in lines for step in line.steps])


def _set_x_limits(axes: Axes, steps: Sequence[float]) -> None:
    """Leave a margin at both ends; also for a single validation, where matplotlib would warn of an empty range."""
    low, high = min(steps), max(steps)
    margin = (high - low) * 0.03 or 1.0
    axes.set_xlim(low - margin, high + margin)


def _tick_label(value: float, _: object = None) -> str:
    """Write a tick: 6000 as 6k, 0.0003 as 3e-4, plain in between."""
    if value and abs(value) < 0.001:
        digits, exponent = f"{value:.1e}".split("e")
        return f"{digits.removesuffix('.0')}e{int(exponent)}"
    if abs(value) >= 1000:
        return f"{value / 1000:g}k"
    return f"{value:g}"


def to_svg(figure: Figure, alt: str) -> str:
    """Return the bare <svg>: no size of its own, no metadata, no namespace addresses, no style that would leak."""
    stream = io.StringIO()
    canvas: Any = FigureCanvasSVG(figure)
    # Values near the largest float overflow where ticks are computed, which shows in the picture well enough.
    with np.errstate(all="ignore"):
        canvas.print_svg(stream, metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = stream.getvalue()
    box = re.search(r'viewBox="([\d. ]+)"', text)
    body = text[text.index(">", text.index("<svg")) + 1 :]
    body = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", body, flags=re.DOTALL)
    # The page's background shows through, and its font is used at matplotlib's size.
    body = re.sub(r'<g id="patch_1">.*?</g>', "", body, count=1, flags=re.DOTALL)
    body = re.sub(r"font: [^;\"]*?([\d.]+px)[^;\"]*", r"font-size: \1", body)
    body = re.sub(r"font-family: [^;\"]*;? ?", "", body)
    body = _unique_ids(re.sub(r"\n\s*", "\n", body), alt)
    for colour, name in _VARIABLES.items():
        body = body.replace(colour, f"var(--{name})")
    return f'<svg viewBox="{box[1] if box else ""}" role="img" aria-label="{escape(alt)}">{body}'


def _unique_ids(svg: str, alt: str) -> str:
    """Drop ids nobody refers to and tell the others apart from those of the page's other figures."""
    used = set(re.findall(r'(?:url\(#|href="#)([^)"]+)', svg))
    # Not hash(): the same run gives the same report in every process.
    prefix = f"f{zlib.crc32(alt.encode()):08x}"
    svg = re.sub(r' id="([^"]+)"', lambda m: f' id="{prefix}{m[1]}"' if m[1] in used else "", svg)
    return re.sub(r'(url\(#|href="#)', rf"\g<1>{prefix}", svg)
