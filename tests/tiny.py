"""The smallest run that is a run: generated streets of 48x64, a network of an eighth of the width, a second or two."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from atonce.recipes import Recipe, load_recipe
from atonce.streets import write_streets

SIZE = (48, 64)

SETTINGS = (
    "data.format=folder",
    "data.crop=[48,64]",
    "data.workers=1",
    "model.width=0.125",
    "model.head_width=16",
    # Hardware that is fast in bf16 would otherwise use it, and round differently from one process to two.
    "train.precision=fp32",
    "train.batch_size=2",
    "train.steps=4",
    "train.validate_every=4",
    "train.save_every=2",
    "train.log_every=1",
    "train.pictures=1",
)
"""Overrides of the recipe "streets"."""

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
"""The environment of processes: what they compute is small, and cores are shared."""


def tiny_recipe(*overrides: str) -> Recipe:
    return load_recipe("streets", [*SETTINGS, *overrides])


def set_options(*overrides: str) -> list[str]:
    """The same for the command line."""
    return ["--recipe", "streets", *(word for o in (*SETTINGS, *overrides) for word in ("--set", o))]


def streets(root: Path, train: int = 6, val: int = 3) -> Path:
    return write_streets(root, train=train, val=val, size=SIZE)


def make_void(root: Path, share: float = 0.9) -> Path:
    """Void over most of every second training mask."""
    for path in sorted((root / "train" / "masks").glob("*.png"))[::2]:
        mask = np.array(Image.open(path))
        mask[: round(share * len(mask))] = 255
        Image.fromarray(mask).save(path)
    return root


def rows_of(run: Path) -> list[dict[str, str]]:
    """The rows of a run's metrics.csv."""
    return list(csv.DictReader((run / "metrics.csv").read_text("utf-8").splitlines()))


def log_of(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "log.jsonl").read_text("utf-8").splitlines()]
