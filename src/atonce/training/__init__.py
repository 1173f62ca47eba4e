"""Training."""

from __future__ import annotations

from pathlib import Path

from atonce.recipes import Recipe
from atonce.training.callbacks import Callback, StepRecord
from atonce.training.loop import fit
from atonce.training.setup import set_up
from atonce.training.training_run import Run

__all__ = ["Callback", "Run", "StepRecord", "fit", "set_up", "train"]


def train(recipe: Recipe, data: Path, out: Path, resume: bool = False, listener: Callback | None = None) -> Run:
    """Train a network as the recipe says and leave everything in the run directory `out`. Raises UserError."""
    listener = listener or Callback()
    run = set_up(recipe, data, out, resume, listener)
    fit(run, listener)
    return run
