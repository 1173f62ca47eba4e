"""Numbers as reports write them: scores, shares, durations; and names joined by "and"."""

from __future__ import annotations

import math


def score(value: float) -> str:
    """Write a score: 0.643; a dash where there is no number."""
    return f"{value:.3f}" if math.isfinite(value) else "–"


def percent(value: float) -> str:
    """Write a share of 1 in per cent: 34 %, 3.4 %, <0.1 %."""
    if not math.isfinite(value):
        return "–"
    if 0 < value < 0.001:
        return "<0.1 %"
    return f"{value:.0%}"[:-1] + " %" if value >= 0.0995 else f"{value * 100:.1f} %"


def duration(minutes: float) -> str:
    """Write a duration: 42 s, 12 min, 3 h 05 min."""
    if not math.isfinite(minutes):
        return "–"
    if minutes < 2:
        return f"{minutes * 60:.0f} s"
    if minutes < 120:
        return f"{minutes:.0f} min"
    return f"{int(minutes // 60)} h {int(minutes % 60):02} min"


def join_with_and(names: list[str]) -> str:
    """Write all names of a list: a, b and c."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
