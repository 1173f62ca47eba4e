"""The step log: means over the last steps, for log.jsonl and for callbacks."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import asdict, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor

from atonce.metrics.confusion_matrix import ConfusionMatrix
from atonce.recipes.schema import MASK_LOSSES
from atonce.storage import nan_to_none
from atonce.training.callbacks import Callback, StepRecord
from atonce.training.losses import Losses
from atonce.training.training_run import TrainingRun


class StepLog:
    """Collects what each step measured; writes a line every `train.log_every` steps, and where a part or the run ends.

    What has been measured since the last line is a part of the run's state (`to_json`), so that the first line after
    a resume is over the steps that it would be over in a run that nobody stopped.
    """

    def __init__(self, run: TrainingRun, callback: Callback) -> None:
        self.run, self.callback = run, callback
        self._start()
        if begun := run.progress.steps_since_log:
            self._restore(begun)

    def _start(self) -> None:
        self.losses: list[Losses] = []
        self.confusion = ConfusionMatrix(self.run.model.num_classes)
        self.lr = math.nan
        self.seconds, self.waited, self.run_seconds = 0.0, 0.0, 0.0
        self.finished = False
        self.began, self.waited_before = time.perf_counter(), self.run.stream.waited

    def _restore(self, begun: dict[str, Any]) -> None:
        self.losses = [Losses(**losses) for losses in begun["losses"]]
        self.confusion = ConfusionMatrix.from_matrix(np.asarray(begun["confusion"], np.int64))
        self.lr, self.seconds, self.waited = begun["lr"], begun["seconds"], begun["waited"]
        self.run_seconds = begun["run_seconds"]
        self.began, self.waited_before = self.began - self.seconds, self.waited_before - self.waited

    def to_json(self) -> dict[str, Any]:
        """Return what has been measured since the last line; empty where the last step has one."""
        if not self.losses:
            return {}
        return {
            "losses": [asdict(losses) for losses in self.losses],
            "confusion": self.confusion.matrix.tolist(),
            "lr": self.lr,
            "seconds": self.seconds,
            "waited": self.waited,
            "run_seconds": self.run_seconds,
        }

    @torch.no_grad()
    def count(self, labels: Tensor, logits: Tensor) -> None:
        """Count training crops, labels int64 (N, H, W) and logits (N, C, H, W); only this process's."""
        predicted = logits.detach().argmax(1).to(torch.uint8).cpu().numpy()
        self.confusion.add(labels.to(torch.uint8).cpu().numpy(), predicted)

    def step(self, losses: Losses) -> None:
        """Take note of an update; write a line and start anew when one is due."""
        run = self.run
        self.losses.append(losses)
        self.lr = max(group["lr"] for group in run.optimizer.param_groups)
        self.seconds, self.waited = time.perf_counter() - self.began, run.stream.waited - self.waited_before
        self.run_seconds = run.progress.seconds
        self.callback.on_step(run, losses)
        if run.progress.step % run.recipe.train.log_every == 0:
            self._write()
            self._start()

    def end_part(self) -> None:
        """Write a line at a validation of a run whose length decides when it validates, and start anew: the curve of a
        run that is shorter than `train.log_every` has as many points as its validations."""
        if self.losses and not self.finished:
            self._write()
            self._start()

    def finish(self) -> None:
        """Write a line over the last steps of a run whose number of steps is no multiple of `train.log_every`.

        They are kept as steps since the last line: a run that is told to go on takes this line back. A second call does
        nothing.
        """
        if self.losses and not self.finished:
            self.finished = True
            self._write()

    def _write(self) -> None:
        record = self._record()
        if self.run.is_main:
            # Losses on the masks stand there only where the recipe uses them.
            line = {key: value for key, value in asdict(record).items() if value is not None or key not in MASK_LOSSES}
            self.run.folder.append_log(nan_to_none(line))
        self.callback.on_log(self.run, record)

    def _record(self) -> StepRecord:
        mean = _mean(self.losses)
        return StepRecord(
            step=self.run.progress.step,
            loss=mean.total(self.run.recipe),
            distillation=mean.distillation,
            l2=mean.l2,
            lr=self.lr,
            grad_norm=mean.grad_norm,
            train_mean_iou=self.confusion.mean_iou,
            pictures_per_second=len(self.losses) * self.run.recipe.train.batch_size / self.seconds,
            waited=self.waited / self.seconds,
            seconds=self.run_seconds,
            threads=self.run.threads.decided,
            **mean.of_masks(),
        )


def _mean(losses: Sequence[Losses]) -> Losses:
    """Average term by term, over the steps that have it: distillation is there where there was a teacher."""
    measured = {
        field.name: [value for each in losses if (value := getattr(each, field.name)) is not None]
        for field in fields(Losses)
    }
    means = {name: float(np.mean(values)) if values else None for name, values in measured.items()}
    # Those that are always there have a value.
    return Losses(**means)  # type: ignore[arg-type]
