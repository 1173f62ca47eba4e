"""The training loop, to be read from top to bottom."""

from __future__ import annotations

import math
import time
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor

from atonce.data.augment import augment
from atonce.data.batches import Batch
from atonce.errors import TrainingError
from atonce.train.events import Listener
from atonce.train.interrupt import patient_interrupt
from atonce.train.journal import Journal
from atonce.train.loss import cross_entropy_sum, l2_penalty, total_loss, valid_weight
from atonce.train.optim import learning_rate_factor, set_learning_rate
from atonce.train.run import Run
from atonce.train.validate import validate


@dataclass(frozen=True)
class Losses:
    """Of one update, over the global batch."""

    cross_entropy: float
    l2: float
    grad_norm: float


def fit(run: Run, listener: Listener) -> None:
    """Train until the steps or the minutes are used up; validate, save and log on the way.

    Raises:
        TrainingError: the loss or the gradient is not finite; what was saved before is kept. The weights of the
            steps since then are not: they are on their way to infinity.
        StorageError: the disk is full; what was saved before is intact.
        KeyboardInterrupt: Ctrl-C; the state has been saved (not if it was pressed twice).
    """
    knobs, progress = run.recipe.train, run.progress
    journal = Journal(run, listener)
    began = time.monotonic() - progress.seconds
    run.wrapped.train()
    with patient_interrupt(listener) as interrupt:
        for step, batch in run.stream.batches(progress.step, knobs.steps):
            share = step / knobs.steps
            if knobs.max_minutes:
                # The learning rate comes to its end with the time, however slow the machine.
                share = max(share, run.agree(progress.seconds) / (60 * knobs.max_minutes))
            while share >= run.stage.end < 1:
                next_stage(run, listener)
            if share >= 1:
                break
            factor = learning_rate_factor(run.recipe.optim, step - progress.stage_began, run.stage.within(share))
            set_learning_rate(run.optimizer, factor * run.stage.lr_factor)
            losses = update(run, batch, journal)
            if run.average:
                run.average.update(run.model)
            progress.step, progress.seconds = step + 1, time.monotonic() - began
            journal.step(losses.cross_entropy, losses.l2, losses.grad_norm)
            if progress.step % knobs.validate_every == 0:
                validate(run, listener)
                progress.seconds = time.monotonic() - began
            if progress.step % knobs.save_every == 0 or interrupt.asked:
                run.save_state()
            if interrupt.asked:
                raise KeyboardInterrupt
    if not progress.validated:
        validate(run, listener)
    run.save_state()


def next_stage(run: Run, listener: Listener) -> None:
    """Score what a stage has come to, then go on from it with the next finer network."""
    if not run.progress.validated:
        validate(run, listener)
    run.next_stage()
    listener.note(f"FCN-{run.stage.stride}s from step {run.progress.step} on")


def update(run: Run, batch: Batch, journal: Journal) -> Losses:
    """One step of gradient descent on the global batch, of which `batch` is this process's share."""
    knobs = run.recipe.train
    size = len(batch.positions) // knobs.accumulate
    parts = [batch.part(start, start + size) for start in range(0, len(batch.positions), size)]
    ready = [(part, *prepare(run, part)) for part in parts]
    weight = torch.stack([valid_weight(labels, run.class_weights) for _, _, labels in ready]).sum()
    # Void is not spread evenly: the mean is over the valid pixels of all processes and parts together.
    weight = run.accelerator.reduce(weight, "sum").clamp_min(1e-6)
    cross_entropy = torch.zeros((), dtype=torch.float64, device=weight.device)
    run.optimizer.zero_grad(set_to_none=True)
    for index, (part, images, labels) in enumerate(ready):
        last = index == len(ready) - 1
        with nullcontext() if last else run.accelerator.no_sync(run.wrapped):
            run.model.seed_dropout([sample_seed(knobs.seed, position) for position in part.positions])
            with run.accelerator.autocast():
                logits = run.wrapped(images)
            summed = cross_entropy_sum(logits, labels, run.class_weights)
            # Gradients are averaged over processes; times their number, the sum over them is left.
            loss = summed / weight.float() * run.world
            if last:
                l2 = l2_penalty(run.model, run.recipe.loss.l2).to(loss.device)
                loss = total_loss(run.recipe.loss, loss, l2)
            run.accelerator.backward(loss)
        cross_entropy += summed.detach() / weight
        journal.count(labels, logits)
    losses = Losses(float(run.accelerator.reduce(cross_entropy, "sum")), float(l2.detach()), clip(run))
    require_finite(run, losses)
    run.optimizer.step()
    return losses


def prepare(run: Run, part: Batch) -> tuple[Tensor, Tensor]:
    """Augment on the device: images float (N, 3, h, w), channels-last, and labels int64 (N, h, w)."""
    fill = run.model.normalise.mean.flatten()
    knobs = run.recipe
    images, labels = augment(part, knobs.augment, knobs.data.crop, knobs.train.seed, fill, run.accelerator.device)
    return images.contiguous(memory_format=torch.channels_last), labels


def clip(run: Run) -> float:
    """Norm of the whole gradient before clipping."""
    limit = run.recipe.optim.clip_norm or math.inf
    norm = run.accelerator.clip_grad_norm_([p for p in run.model.parameters() if p.requires_grad], limit)
    return float(norm) if norm is not None else math.nan


def require_finite(run: Run, losses: Losses) -> None:
    """Raises TrainingError before a step that would ruin the weights. (fp16 meets infinite gradients by design.)"""
    scaled = run.recipe.train.precision == "fp16"
    total = total_loss(run.recipe.loss, losses.cross_entropy, losses.l2)
    if math.isfinite(total) and (scaled or math.isfinite(losses.grad_norm)):
        return
    what = "gradient" if math.isfinite(total) else "loss"
    raise TrainingError(
        f"the {what} is {losses.grad_norm if what == 'gradient' else total} at step {run.progress.step + 1}",
        "a finite number",
        f"the state before it is kept in {run.folder.path}; "
        f"go on with a lower rate: --resume --set optim.lr={run.recipe.optim.lr / 4:g}, or set optim.clip_norm",
    )


def sample_seed(seed: int, position: int) -> int:
    """One number for a sample of a run; far apart for neighbouring runs."""
    return (seed * 1_000_003 + position) % (1 << 48)
