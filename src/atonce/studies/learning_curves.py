"""Learning curves of variants: mean over seeds with a band of one standard deviation to either side."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from atonce.reports.svg_figures import DASHES, GRID, SERIES, STYLE, Line, set_scale, to_svg


@dataclass(frozen=True)
class Band:
    """A learning curve over several seeds: its mean, and the mean minus and plus one standard deviation.

    With one seed, the bounds are the mean.
    """

    mean: Line
    low: Line
    high: Line

    @property
    def empty(self) -> bool:
        """True where the runs have no step in common."""
        return self.mean.empty


def mean_band(lines: Sequence[Line]) -> Band:
    """Average the curves of several seeds.

    Only over the steps that all runs have: the last validation of runs that are cut by the clock differs.
    """
    values: defaultdict[float, list[float]] = defaultdict(list)
    for line in lines:
        for step, value in zip(line.steps, line.values, strict=True):
            if math.isfinite(value):
                values[step].append(value)
    steps = sorted(step for step, found in values.items() if len(found) == len(lines))
    means = [fmean(values[step]) for step in steps]
    deviations = [stdev(values[step]) if len(lines) > 1 else 0.0 for step in steps]
    low = [mean - deviation for mean, deviation in zip(means, deviations, strict=True)]
    high = [mean + deviation for mean, deviation in zip(means, deviations, strict=True)]
    return Band(Line(steps, means), Line(steps, low), Line(steps, high))


def plot_bands(bands: Sequence[Band], alt: str, top: float) -> str:
    """Draw up to three bands over steps as an SVG of 500 x 260, in the style of the report's curves.

    Args:
        alt: what a reader who cannot see it should know.
        top: where the scale ends.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(5.0, 2.6))
        axes = figure.add_axes((0.1, 0.13, 0.87, 0.83))
        axes.grid(axis="y", color=GRID, linewidth=0.8)
        for band, colour, dash in zip(bands, SERIES, DASHES, strict=False):
            steps = np.asarray(band.mean.steps, np.float64)
            axes.fill_between(steps, band.low.values, band.high.values, color=colour, alpha=0.16, linewidth=0)
            marker = "o" if len(steps) < 12 else ""
            axes.plot(steps, band.mean.values, color=colour, linestyle=dash, marker=marker, markersize=3.5)
        set_scale(axes, [line for band in bands for line in (band.mean, band.high)], top)
        return to_svg(figure, alt)
