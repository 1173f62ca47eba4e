"""The step log: means over the last steps, for log.jsonl and for callbacks."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict

import numpy as np
import torch
from torch import Tensor

from atonce.metrics.confusion_matrix import ConfusionMatrix
from atonce.storage import nan_to_none
from atonce.training.callbacks import Callback, StepRecord
from atonce.training.losses import Losses
from atonce.training.training_run import TrainingRun


class StepLog:
    """Collects what each step measured and writes a line every `train.log_every` steps."""

    def __init__(self, run: TrainingRun, callback: Callback) -> None:
        self.run, self.callback = run, callback
        self._start()

    def _start(self) -> None:
        self.losses: list[Losses] = []
        self.confusion = ConfusionMatrix(self.run.model.num_classes)
        self.began, self.waited = time.perf_counter(), self.run.stream.waited

    @torch.no_grad()
    def count(self, labels: Tensor, logits: Tensor) -> None:
        """Count training crops, labels int64 (N, H, W) and logits (N, C, H, W); only this process's."""
        predicted = logits.detach().argmax(1).to(torch.uint8).cpu().numpy()
        self.confusion.add(labels.to(torch.uint8).cpu().numpy(), predicted)

    def step(self, losses: Losses) -> None:
        """Take note of an update; write a line and start anew when one is due."""
        run = self.run
        self.losses.append(losses)
        self.callback.on_step(run, losses)
        if run.progress.step % run.recipe.train.log_every:
            return
        record = self._record()
        if run.is_main:
            run.folder.append_log(nan_to_none(asdict(record)))
        self.callback.on_log(run, record)
        self._start()

    def _record(self) -> StepRecord:
        mean = _mean(self.losses)
        seconds = time.perf_counter() - self.began
        return StepRecord(
            step=self.run.progress.step,
            loss=mean.total(self.run.recipe),
            cross_entropy=mean.cross_entropy,
            distillation=mean.distillation,
            l2=mean.l2,
            lr=max(group["lr"] for group in self.run.optimizer.param_groups),
            grad_norm=mean.grad_norm,
            train_mean_iou=self.confusion.mean_iou,
            pictures_per_second=len(self.losses) * self.run.recipe.train.batch_size / seconds,
            waited=(self.run.stream.waited - self.waited) / seconds,
            seconds=self.run.progress.seconds,
        )


def _mean(losses: Sequence[Losses]) -> Losses:
    """Average term by term; there is distillation in all of them or in none."""
    distillation = [each.distillation for each in losses if each.distillation is not None]
    return Losses(
        cross_entropy=float(np.mean([each.cross_entropy for each in losses])),
        distillation=float(np.mean(distillation)) if distillation else None,
        l2=float(np.mean([each.l2 for each in losses])),
        grad_norm=float(np.mean([each.grad_norm for each in losses])),
    )
