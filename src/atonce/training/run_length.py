"""The length of a run: the share of it that is done, and when validations and saves are due.

Steps or minutes end a run, whichever come first. The learning rate, the stages, the progress bar and the knobs that
follow the length all go by the share that is done.
"""

from __future__ import annotations

import math

from atonce.recipes.schema import TrainConfig

OVERTIME = 1.1
"""Share of its minutes from which on it is said that a run took longer than they allow: its last step is finished."""

_FEWEST_PARTS, _MOST_PARTS = 5, 20
_STEPS_OF_A_PART, _MINUTES_OF_A_PART = 200, 5.0


def share_done(knobs: TrainConfig, step: int, seconds: float) -> float:
    """Return the share of a run that is done, 0..1, or above where it took longer than it should.

    Args:
        step: updates made.
        seconds: time spent training.
    """
    share = step / knobs.steps
    return max(share, seconds / (60 * knobs.max_minutes)) if knobs.max_minutes else share


def parts_of(knobs: TrainConfig) -> int:
    """Return the number of equal parts of a run, at whose ends `train.validate_every: null` validates."""
    parts = knobs.steps / _STEPS_OF_A_PART
    if knobs.max_minutes:
        parts = min(parts, knobs.max_minutes / _MINUTES_OF_A_PART)
    return min(max(math.floor(parts), _FEWEST_PARTS), _MOST_PARTS)


def is_due(every: int | None, knobs: TrainConfig, step: int, *, before: float, share: float) -> bool:
    """Tell whether a validation or a save is due after a step.

    Args:
        every: steps between two; None where the share decides.
        step: updates made, this one included.
        before, share: the shares that were done before and after the step.
    """
    if every is not None:
        return step % every == 0
    parts = parts_of(knobs)
    return _parts_done(share, parts) > _parts_done(before, parts)


def _parts_done(share: float, parts: int) -> int:
    # A hair of tolerance: 3 of 5 steps are 2.9999999999999996 of 5 parts.
    return math.floor(share * parts + 1e-9)
