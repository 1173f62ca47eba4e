"""Batch streams of a small data set, and when two of their batches are the same."""

from __future__ import annotations

from typing import Any

import torch

from atonce.data import Dataset
from atonce.data.batches import Batch, BatchStream
from atonce.data.input_size import InputSize

BATCH = 4


def stream(dataset: Dataset, **options: Any) -> BatchStream:
    known: dict[str, Any] = {"batch_size": BATCH, "seed": 3, "input_size": InputSize(), **options}
    return BatchStream(dataset, dataset.split("train"), **known)


def same(one: Batch, other: Batch) -> bool:
    parts = (one.sizes, one.targets, one.positions) == (other.sizes, other.targets, other.positions)
    return parts and torch.equal(one.images, other.images) and torch.equal(one.masks, other.masks)
