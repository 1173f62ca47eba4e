"""Callbacks: watch a training, step by step, and stop it when you have seen enough (early stopping)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from atonce.training.losses import Losses
    from atonce.training.training_run import TrainingRun


@dataclass(frozen=True)
class StepRecord:
    """Means over the steps since the last record: a line of log.jsonl.

    Attributes:
        step: updates made so far.
        loss: the number that is minimised: cross_entropy, and focal, dice and lovasz where they have a factor, each
            times its own, + l2, unless loss.l2_added is false; with a teacher, distill.weight parts all but l2 with
            distillation.
        cross_entropy: mean over the valid pixels of the batches.
        distillation: temperature^2 * KL(teacher || student), mean over all pixels; None without a teacher.
        l2: the L2 term, whether or not it is added.
        lr: the largest learning rate of a parameter group at the last of these steps.
        grad_norm: norm of the whole gradient, before clipping.
        train_mean_iou: over the training crops of these steps, as the network saw them.
        pictures_per_second: over all processes.
        waited: share of the time spent waiting for data, 0..1.
        seconds: time spent training so far, over all sessions of the run.
        focal, dice, lovasz: the losses beside the cross entropy, before their factors; None where they have none.
        threads: that each process computes with; steps in which another number was tried for a moment are not told.
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
    threads: int
    focal: float | None = None
    dice: float | None = None
    lovasz: float | None = None


class Callback:
    """Subclass it and override what you want to hear of; every method does nothing by itself.

    A callback may stop the run with `run.stop("reason")`: after the present step the network is validated, saved and
    reported on as at the end of the recipe. It must not change the network.

    >>> class StopAt(Callback):
    ...     def on_validation_end(self, run, row, *, best):
    ...         if row["mean_iou"] > 0.6:
    ...             run.stop("good enough")

    Over several processes, every process calls its own callbacks; a run stops where the first process's say so.

    Attributes:
        may_stop: whether it may ever stop a run; where no callback may, processes need not agree on it at each step.
    """

    may_stop: bool = True

    def on_data_check(self, done: int, total: int) -> None:
        """Hear how many pictures of the data set have been read before training, of how many."""

    def on_download(self, done: int, total: int) -> None:
        """Hear how many bytes of pretrained weights have been fetched, of how many (0 where nobody knows)."""

    def on_calibration(self, done: int, total: int) -> None:
        """Hear how many of the pictures on which scales and initial weights are measured are done, of how many."""

    def on_busy(self, what: str) -> None:
        """Hear what is done from now on that may take seconds and has no count ("saving"); empty where it is over."""

    def on_note(self, text: str) -> None:
        """Hear one line that a user should know."""

    def on_train_start(self, run: TrainingRun) -> None:
        """Hear that everything is set up, before the first step."""

    def on_step(self, run: TrainingRun, losses: Losses) -> None:
        """Hear of an update of the weights; `run.progress.step` counts it already."""

    def on_log(self, run: TrainingRun, record: StepRecord) -> None:
        """Hear of a line of log.jsonl, every `train.log_every` steps; also at validations that follow the length of the
        run."""

    def on_validation_progress(self, done: int, total: int) -> None:
        """Hear how many validation pictures have been predicted, of how many."""

    def on_validation_end(self, run: TrainingRun, row: dict[str, Any], *, best: bool) -> None:
        """Hear of a validation.

        Args:
            row: the new row of metrics.csv: step, mean_iou, pixel_accuracy, "iou CLASS", ...
            best: whether this is the best mean IoU so far, whose network is kept as model.safetensors.
        """

    def on_save(self, run: TrainingRun) -> None:
        """Hear that the state has been saved: a copy of `run.folder` could be gone on with from here."""

    def on_train_end(self, run: TrainingRun) -> None:
        """Hear that the last step is done, validated and saved; `run.folder` has the files."""


@contextmanager
def busy(callback: Callback, what: str) -> Iterator[None]:
    """Tell a callback what is done in the body; see `Callback.on_busy`."""
    callback.on_busy(what)
    try:
        yield
    finally:
        callback.on_busy("")


class CallbackList(Callback):
    """Several callbacks as one, called in their order."""

    def __init__(self, callbacks: Sequence[Callback]) -> None:
        self.callbacks = tuple(callbacks)
        self.may_stop = any(callback.may_stop for callback in callbacks)

    def on_data_check(self, done: int, total: int) -> None:
        for callback in self.callbacks:
            callback.on_data_check(done, total)

    def on_download(self, done: int, total: int) -> None:
        for callback in self.callbacks:
            callback.on_download(done, total)

    def on_calibration(self, done: int, total: int) -> None:
        for callback in self.callbacks:
            callback.on_calibration(done, total)

    def on_busy(self, what: str) -> None:
        for callback in self.callbacks:
            callback.on_busy(what)

    def on_note(self, text: str) -> None:
        for callback in self.callbacks:
            callback.on_note(text)

    def on_train_start(self, run: TrainingRun) -> None:
        for callback in self.callbacks:
            callback.on_train_start(run)

    def on_step(self, run: TrainingRun, losses: Losses) -> None:
        for callback in self.callbacks:
            callback.on_step(run, losses)

    def on_log(self, run: TrainingRun, record: StepRecord) -> None:
        for callback in self.callbacks:
            callback.on_log(run, record)

    def on_validation_progress(self, done: int, total: int) -> None:
        for callback in self.callbacks:
            callback.on_validation_progress(done, total)

    def on_validation_end(self, run: TrainingRun, row: dict[str, Any], *, best: bool) -> None:
        for callback in self.callbacks:
            callback.on_validation_end(run, row, best=best)

    def on_save(self, run: TrainingRun) -> None:
        for callback in self.callbacks:
            callback.on_save(run)

    def on_train_end(self, run: TrainingRun) -> None:
        for callback in self.callbacks:
            callback.on_train_end(run)
