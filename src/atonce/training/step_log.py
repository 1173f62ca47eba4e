"""Running means over the last steps, for log.jsonl and the progress bar."""

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
from atonce.training.training_run import Run


class StepLog:
    """Collects what each step measured and writes a line every `train.log_every` steps."""

    def __init__(self, run: Run, listener: Callback) -> None:
        self.run, self.listener = run, listener
        self._start()

    def _start(self) -> None:
        self.values: list[Losses] = []
        self.confusion = ConfusionMatrix(self.run.model.num_classes)
        self.began, self.waited = time.perf_counter(), self.run.stream.waited

    @torch.no_grad()
    def count(self, labels: Tensor, logits: Tensor) -> None:
        """Training crops, labels int64 (N, H, W) and logits (N, C, H, W); only this process's."""
        predicted = logits.detach().argmax(1).to(torch.uint8).cpu().numpy()
        self.confusion.add(labels.to(torch.uint8).cpu().numpy(), predicted)

    def step(self, losses: Losses) -> None:
        """After each update; writes and starts anew when a line is due."""
        run, knobs = self.run, self.run.recipe.train
        self.values.append(losses)
        self.listener.stepped(run.progress.step, knobs.steps, losses.total(run.recipe))
        if run.progress.step % knobs.log_every:
            return
        record = self._record()
        if run.main:
            run.folder.append_log(nan_to_none(asdict(record)))
        self.listener.recorded(record)
        self._start()

    def _record(self) -> StepRecord:
        mean = _mean(self.values)
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
            pictures_per_second=len(self.values) * self.run.recipe.train.batch_size / seconds,
            waited=(self.run.stream.waited - self.waited) / seconds,
            seconds=self.run.progress.seconds,
        )


def _mean(values: Sequence[Losses]) -> Losses:
    """Term by term; there is distillation in all of them or in none."""
    told = [value.distillation for value in values if value.distillation is not None]
    return Losses(
        float(np.mean([value.cross_entropy for value in values])),
        float(np.mean(told)) if told else None,
        float(np.mean([value.l2 for value in values])),
        float(np.mean([value.grad_norm for value in values])),
    )
