"""A network that predicts one class only: said in words, wherever scores are shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


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
        f"every pixel is predicted as '{predicted[0]}', of {len(shown)} classes in the masks: so networks begin; if it "
        "stays, train longer (train.steps), start from pretrained weights (weights), try another rate (optim.lr), or "
        "let rare classes count more (loss.class_weights, loss.dice)"
    )
