"""The training loop, to be read from top to bottom."""

from __future__ import annotations

import math
import time
from contextlib import nullcontext

import torch
from torch import Tensor

from atonce.data.augmentation import augment
from atonce.data.batches import Batch
from atonce.errors import TrainingError, option
from atonce.text import count_of, duration_text
from atonce.training.callbacks import Callback, CallbackList, busy
from atonce.training.distillation import distillation_sum
from atonce.training.interrupt import Interrupt, StoppableValidation, StopValidation, deferred_interrupt
from atonce.training.losses import Losses, data_loss, l2_penalty, mask_losses, total_loss, valid_weight, weigh
from atonce.training.optimizers import learning_rate_factor, set_learning_rate
from atonce.training.run_length import OVERTIME, is_due, share_done
from atonce.training.step_log import StepLog
from atonce.training.training_run import TrainingRun
from atonce.training.validation import validate


def fit(run: TrainingRun, callback: Callback) -> None:
    """Train until the steps or the minutes are used up; validate, save and log on the way.

    Raises:
        TrainingError: the loss or the gradient is not finite; what was saved before is kept. The weights of the
            steps since then are not: they are on their way to infinity.
        StorageError: the disk is full; what was saved before is intact.
        KeyboardInterrupt: Ctrl-C; the state has been saved (not if it was pressed twice). Its subclass `Terminated`
            after SIGTERM or SIGHUP, likewise.
    """
    knobs, progress = run.recipe.train, run.progress
    step_log = StepLog(run, callback)
    began = time.monotonic() - progress.seconds
    run.may_stop = callback.may_stop
    callback.on_train_start(run)
    run.wrapped.train()
    with deferred_interrupt(callback) as interrupt:
        if progress.validation_due:
            validate_or_stop(run, callback, interrupt)
            progress.seconds = time.monotonic() - began
        share = share_of(run)
        if share >= 1:
            callback.on_note(nothing_left(run))
        elif progress.step:
            callback.on_note(what_is_left(run))
        for step, batch in run.stream.batches(progress.step, knobs.steps):
            while share >= run.stage.end < 1:
                next_stage(run, callback)
            if share >= 1 or run.must_stop() or run.out_of_patience():
                break
            set_learning_rate(run.optimizer, stage_learning_rate(run, step, share))
            asked = time.perf_counter()
            with run.threads.work():
                losses = update(run, batch, step_log)
            run.update_seconds += time.perf_counter() - asked
            if run.average:
                run.average.update(run.model)
            progress.step, progress.seconds = step + 1, time.monotonic() - began
            step_log.step(losses)
            before, share = share, share_of(run)
            if share >= 1:
                step_log.finish()
            if is_due(knobs.validate_every, knobs, progress.step, before=before, share=share):
                if knobs.validate_every is None:
                    step_log.end_part()
                validate_or_stop(run, callback, interrupt)
                progress.seconds = time.monotonic() - began
                share = share_of(run)
            stopping = run.in_any_process(asked=interrupt.asked)
            if is_due(knobs.save_every, knobs, progress.step, before=before, share=share) or stopping:
                save(run, step_log, callback)
            if stopping:
                raise interrupt.error()
        step_log.finish()
        if not progress.validated:
            validate_or_stop(run, callback, interrupt)
        save(run, step_log, callback)
        if run.in_any_process(asked=interrupt.asked):
            raise interrupt.error()
    # Not before every process has its last batch.
    run.accelerator.wait_for_everyone()
    if run.is_main:
        run.folder.remove_decoded()
    callback.on_train_end(run)


def nothing_left(run: TrainingRun) -> str:
    """Say of a run that is resumed when its steps or its minutes are used up how it can be made longer."""
    knobs, progress = run.recipe.train, run.progress
    if progress.step >= knobs.steps:
        longer, made = "train.steps" if knobs.epochs is None else "train.epochs", count_of(knobs.steps, "step")
        return f"nothing is left to train: the run has made its {made}; raise {longer} to go on"
    limit = knobs.max_minutes or 0.0
    # The last step may have taken longer than was left: what it took is used up, too.
    minutes = option("max_minutes", f"{math.ceil(10 * (progress.seconds / 60 + limit)) / 10:g}")
    used = f"the run has used its {count_of(limit, 'minute')}"
    if progress.seconds > OVERTIME * 60 * limit:
        used += f", {duration_text(progress.seconds)} with its last step,"
    used += f" at step {progress.step} of {knobs.steps}"
    return f"nothing is left to train: {used}; {minutes} gives it as many again"


def what_is_left(run: TrainingRun) -> str:
    """Say of a run that is resumed where it goes on, and what is left of it."""
    knobs, progress = run.recipe.train, run.progress
    left = f"{count_of(knobs.steps - progress.step, 'step')} left"
    if knobs.max_minutes:
        minutes = count_of(knobs.max_minutes, "minute")
        left += f", but no more than {duration_text(60 * knobs.max_minutes - progress.seconds)} of its {minutes}"
    return f"goes on at step {progress.step} of {run.folder.path}: {left}"


def share_of(run: TrainingRun) -> float:
    """Return the share of the run that is done, the same in all processes.

    The learning rate comes to its end with the time, however slow the machine.
    """
    knobs = run.recipe.train
    seconds = run.from_main(run.progress.seconds) if knobs.max_minutes else 0.0
    return share_done(knobs, run.progress.step, seconds)


def stage_learning_rate(run: TrainingRun, step: int, share: float) -> float:
    """Return the factor on the peak learning rate at a step; each stage has a schedule of its own.

    Args:
        share: the share of the run that is done.
    """
    stage = run.stage
    steps = (stage.end - stage.begin) * run.recipe.train.steps
    within = step - run.progress.stage_began
    return stage.lr_factor * learning_rate_factor(run.recipe.optim, within, stage.within(share), steps=steps)


def save(run: TrainingRun, step_log: StepLog, callback: Callback) -> None:
    """Save the state, with what the step log has collected since its last line. Raises StorageError."""
    run.progress.steps_since_log = step_log.to_json()
    with busy(callback, "saving the state"):
        run.save_state()
    callback.on_save(run)


def validate_or_stop(run: TrainingRun, callback: Callback, interrupt: Interrupt) -> None:
    """Validate, unless a scheduler ends the run in the middle of it: then the session that goes on validates.

    Over several processes the validation is made: all of them have to come to its end.
    """
    if run.world == 1:
        callback = CallbackList([callback, StoppableValidation(interrupt)])
    try:
        validate(run, callback)
        run.progress.validation_due = False
    except StopValidation:
        run.progress.validation_due = True


def next_stage(run: TrainingRun, callback: Callback) -> None:
    """Score what a stage has come to, then go on from it with the next finer network."""
    if not run.progress.validated:
        validate(run, callback)
    run.next_stage()
    callback.on_note(f"FCN-{run.stage.stride}s from step {run.progress.step} on")


def update(run: TrainingRun, batch: Batch, step_log: StepLog) -> Losses:
    """One step of gradient descent on the global batch, of which `batch` is this process's share."""
    knobs = run.recipe.train
    size = len(batch.positions) // knobs.accumulate
    parts = [batch.part(start, start + size) for start in range(0, len(batch.positions), size)]
    ready = [(part, *prepare(run, part)) for part in parts]
    weight = torch.stack([valid_weight(labels, run.class_weights) for _, _, labels in ready]).sum()
    # Void is not spread evenly: the mean is over the valid pixels of all processes and parts together.
    weight = run.accelerator.reduce(weight, "sum").clamp_min(1e-6)
    terms: dict[str, Tensor] = {}
    run.optimizer.zero_grad(set_to_none=True)
    for index, (part, images, labels) in enumerate(ready):
        last = index == len(ready) - 1
        with nullcontext() if last else run.accelerator.no_sync(run.wrapped):
            run.model.seed_dropout([sample_seed(knobs.seed, position) for position in part.positions])
            logits, shares = forward(run, images, labels, weight)
            # Gradients are averaged over processes; times their number, the sum over them is left.
            loss = data_loss(run.recipe.distill, weigh(run.recipe.loss, shares), shares.get("distillation"))
            loss = loss * run.world
            if last:
                added_only = run.recipe.loss.l2_on == "added"
                l2 = l2_penalty(run.model, run.recipe.loss.l2, added_only=added_only).to(loss.device)
                loss = total_loss(run.recipe.loss, loss, l2)
            run.accelerator.backward(loss)
        for name, share in shares.items():
            terms[name] = terms.get(name, 0) + share.detach().double()
        step_log.count(labels, logits)
    sums = run.accelerator.reduce(torch.stack(list(terms.values())), "sum").tolist()
    measured = {"distillation": None, **dict(zip(terms, sums, strict=True))}
    losses = Losses(**measured, l2=float(l2.detach()), grad_norm=clip_gradient(run))
    require_finite(run, losses)
    run.optimizer.step()
    return losses


def forward(run: TrainingRun, images: Tensor, labels: Tensor, weight: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """Run the forward pass of a part of the batch.

    Args:
        weight: the valid weight of the global batch.

    Returns:
        Logits (N, C, h, w); then the part's shares of the global batch's mean losses, scalars by name: those of
        `mask_losses` and, where there is a teacher, distillation.
    """
    recipe = run.recipe
    with run.accelerator.autocast():
        # The teacher first: its activations are gone before the student's come.
        teacher_logits = run.teacher(images) if run.teacher else None
        logits = run.wrapped(images)
    size = recipe.train.batch_size
    shares = mask_losses(recipe.loss, logits, labels, class_weights=run.class_weights, weight=weight, pictures=size)
    if teacher_logits is not None:
        distillation = distillation_sum(logits, teacher_logits, recipe.distill.temperature).double()
        shares["distillation"] = distillation / (size * labels[0].numel())
    return logits, shares


def prepare(run: TrainingRun, part: Batch) -> tuple[Tensor, Tensor]:
    """Augment a batch on the device: images float (N, 3, h, w), channels-last, and labels int64 (N, h, w)."""
    fill = run.model.normalise.mean.flatten()
    knobs = run.recipe
    images, labels = augment(
        part, knobs.augment, crop=knobs.data.crop, seed=knobs.train.seed, fill=fill, device=run.accelerator.device
    )
    return images.contiguous(memory_format=torch.channels_last), labels


def clip_gradient(run: TrainingRun) -> float:
    """Clip the gradient of all weights to optim.clip_norm; returns its norm before that."""
    limit = run.recipe.optim.clip_norm or math.inf
    norm = run.accelerator.clip_grad_norm_([p for p in run.model.parameters() if p.requires_grad], limit)
    return float(norm) if norm is not None else math.nan


def require_finite(run: TrainingRun, losses: Losses) -> None:
    """Refuse a step that would ruin the weights, by a TrainingError. (fp16 meets infinite gradients by design.)"""
    scaled = run.recipe.train.precision == "fp16"
    total = losses.total(run.recipe)
    if math.isfinite(total) and (scaled or math.isfinite(losses.grad_norm)):
        return
    what = "gradient" if math.isfinite(total) else "loss"
    lower = option("set", f"optim.lr={run.recipe.optim.lr / 4:g}")
    if run.folder.recipe.is_file():
        lower = f"{option('resume', value=True)} {lower}"
    kept = f"the state before it is kept in {run.folder.path}; go on" if run.folder.state.is_file() else "begin again"
    raise TrainingError(
        f"the {what} is {losses.grad_norm if what == 'gradient' else total} at step {run.progress.step + 1}",
        "a finite number",
        f"{kept} with a lower rate: {lower}, or set optim.clip_norm",
    )


def sample_seed(seed: int, position: int) -> int:
    """Return one number for a sample of a run; far apart for runs of neighbouring seeds."""
    return (seed * 1_000_003 + position) % (1 << 48)
