"""A network that predicts one class only: said in words, wherever scores are shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from atonce.text import listing


def single_prediction(classes: Sequence[Mapping[str, Any]]) -> str:
    """Say that every pixel is predicted as one class, where the masks show more, and what helps; else an empty text.

    Args:
        classes: as `ConfusionMatrix.scores` returns them: name, pixels and predicted_pixels of each.
    """
    predicted = [c["name"] for c in classes if c.get("predicted_pixels")]
    shown = [c["name"] for c in classes if c.get("pixels")]
    if len(predicted) != 1 or len(shown) < 2:
        return ""
    return (
        f"every pixel is predicted as '{predicted[0]}', of {len(shown)} classes in the masks that were scored: so "
        "networks begin; if it stays, train longer (train.steps), start from pretrained weights (weights), try another "
        "rate (optim.lr), or let rare classes count more (loss.class_weights, loss.dice)"
    )


def absent_but_predicted(names: Sequence[str]) -> str:
    """Say of classes that no scored mask shows, though they are predicted, what they do to the mean; else empty."""
    if not names:
        return ""
    are, their = ("is", "its") if len(names) == 1 else ("are", "their")
    return (
        f"{listing(names)} {are} in no mask that was scored: {their} IoU is 0 as long as one pixel is predicted so, "
        "and is left out of the mean when none is; the mean IoU jumps by that"
    )
