"""Training."""

from __future__ import annotations

from pathlib import Path

from atonce.recipe import Recipe
from atonce.train.events import Listener, StepRecord
from atonce.train.loop import fit
from atonce.train.run import Run
from atonce.train.setup import set_up

__all__ = ["Listener", "Run", "StepRecord", "fit", "set_up", "train"]


def train(recipe: Recipe, data: Path, out: Path, resume: bool = False, listener: Listener | None = None) -> Run:
    """Train a network as the recipe says and leave everything in the run directory `out`. Raises UserError."""
    listener = listener or Listener()
    run = set_up(recipe, data, out, resume, listener)
    fit(run, listener)
    return run
