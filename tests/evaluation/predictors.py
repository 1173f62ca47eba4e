"""Predictors whose answers are known: from memory, or from the colours of the picture."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from atonce.data.dataset import Item, Sample
from atonce.inference.result import Result
from atonce.labels import LabelSpec


class Memory:
    """Pictures 0..N-1 with masks and logits; picture i is filled with i, by which the network knows it."""

    def __init__(self, masks, logits, names=("a", "b", "c")):
        self.labels = LabelSpec.from_names(names)
        self.masks, self.logits = masks, [np.asarray(one, np.float32) for one in logits]
        self.items = [Item(f"p{i}", Path(f"p{i}.png"), Path(f"p{i}_mask.png")) for i in range(len(masks))]
        # As much of a data set as an evaluation asks of one.
        self.dataset: Any = SimpleNamespace(labels=self.labels, root=Path("memory"), load=self._load)

    def _load(self, item):
        i = int(item.name[1:])
        return Sample(np.full((*self.masks[i].shape, 3), i, np.uint8), self.masks[i], item.name)

    def __call__(self, picture, /):
        return Result(picture, self.labels, logits=torch.from_numpy(self.logits[picture[0, 0, 0]]))


class Colours:
    """Says of every pixel what its colours are: logits float32 (C, H, W) from the picture itself."""

    def __init__(self, labels):
        self.labels, self.asked = labels, 0

    def __call__(self, picture, /):
        self.asked += 1
        channels = [picture[..., i % 3] / np.float32(20 + 7 * i) for i in range(self.labels.num_classes)]
        return Result(picture, self.labels, logits=torch.from_numpy(np.stack(channels).astype(np.float32)))
