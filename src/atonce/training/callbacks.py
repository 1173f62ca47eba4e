"""What training tells whoever watches; the rooms below the command line print nothing themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class StepRecord:
    """Means over the steps since the last record.

    Attributes:
        loss: the number that is minimised: cross_entropy + l2, unless loss.l2_added is false; with a teacher,
            distill.weight parts the first with distillation.
        distillation: temperature^2 * KL(teacher || student), mean over all pixels; None without a teacher.
        train_mean_iou: over the training crops of these steps, as the network saw them.
        waited: share of the time spent waiting for data, 0..1.
    """

    step: int
    loss: float
    cross_entropy: float
    distillation: float | None
    l2: float
    lr: float
    grad_norm: float
    train_mean_iou: float | None
    pictures_per_second: float
    waited: float
    seconds: float


class Callback:
    """Hears of everything and does nothing; the command line's subclass draws progress bars."""

    def checking(self, done: int, total: int) -> None:
        """Pictures of the data set that have been read before training."""

    def downloading(self, done: int, total: int) -> None:
        """Bytes of pretrained weights."""

    def note(self, text: str) -> None:
        """Something a user should know, one line."""

    def stepped(self, step: int, steps: int, loss: float) -> None:
        """After each update."""

    def recorded(self, record: StepRecord) -> None:
        """After each line of log.jsonl."""

    def validating(self, done: int, total: int) -> None:
        """Pictures predicted in a validation."""

    def validated(self, row: dict[str, Any], best: bool) -> None:
        """A new row of metrics.csv."""
