"""How many additions and multiplications a network needs, counted from the shapes of its layers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


@dataclass(frozen=True)
class Cell:
    """Pictures of one size that go through a network together."""

    height: int
    width: int
    batch: int

    @property
    def name(self) -> str:
        return f"{self.height}x{self.width}, batch {self.batch}"

    @property
    def size(self) -> tuple[int, int]:
        return self.height, self.width


def forward_operations(network: Callable[[], nn.Module], cell: Cell) -> int:
    """Of one forward pass. A multiplication and an addition count as two.

    Convolutions and transposed convolutions are counted, as they are written; the rest (ReLU, pooling, bilinear
    enlargement, the largest of C) is under one per cent and counts as nothing.
    """
    with torch.device("meta"):
        model = network().eval()
        pictures = torch.empty(cell.batch, 3, *cell.size)
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            model(pictures)
    return int(counter.get_total_flops())


def step_operations(network: Callable[[], nn.Module], cell: Cell) -> int:
    """Of a forward and a backward pass, the gradient of the pictures left out; the optimiser's are not counted."""
    with torch.device("meta"):
        model = network().train()
        pictures = torch.empty(cell.batch, 3, *cell.size)
        with FlopCounterMode(display=False) as counter:
            model(pictures).sum().backward()
    return int(counter.get_total_flops())
