"""What might have been faster: each idea beside what atonce does, so that those that do not win stay decided."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from atonce.model import FCN, initialise
from atonce.training.losses import cross_entropy_sum
from benchmarks.inference import Eager, Setting, network, pictures, predict_labels, unfilled
from benchmarks.inference_section import wanted
from benchmarks.operations import Cell, forward_operations, step_operations
from benchmarks.results import Section
from benchmarks.schedule import Schedule
from benchmarks.training import OurStep
from benchmarks.workers import Contestant, Job, crew

OURS = "ours, eager, channels-last"
STEP = "ours, fp32"
NOTE = (
    "One change each, in fp32 unless said, against what atonce does (first row); head of {head_width}, {classes} "
    "classes. *Frozen* folds constants and fuses ReLUs with oneDNN (`torch.jit.optimize_for_inference`). *Dense "
    "transposed convolutions* upsample the scores as most implementations do. *Labels at an eighth* takes the largest "
    "class before the last upsampling and repeats it: not exact, so the time that it saves is the most that any exact "
    "shortcut there could. *Reshape before softmax* turns the logits into a matrix of pixels by classes for the loss."
)


class Changed(Eager):
    """Our network, with a change.

    Args:
        change: network and an example of its input -> what is called.
    """

    def __init__(self, setting: Setting, change: Callable[[FCN, Tensor], Callable[[Tensor], Tensor]]) -> None:
        super().__init__(setting, channels_last=True)
        self.change = change

    @torch.inference_mode()
    def prepare(self, case: Cell) -> Job:
        images = pictures(case, self.setting.seed)
        forward = self.change(self.network, self._batch(images))
        forward(self._batch(images))
        return partial(self._changed, forward, images)

    def _batch(self, images: NDArray[np.uint8]) -> Tensor:
        batch = torch.from_numpy(images).to(self.setting.device).permute(0, 3, 1, 2)
        return batch.contiguous(memory_format=self.layout)

    @torch.inference_mode()
    def _changed(self, forward: Callable[[Tensor], Tensor], images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return predict_labels(forward(self._batch(images)))


def compiled(model: FCN, _: Tensor) -> Callable[[Tensor], Tensor]:
    found: Callable[[Tensor], Tensor] = torch.compile(model)
    return found


def frozen(model: FCN, example: Tensor) -> Callable[[Tensor], Tensor]:
    traced = torch.jit.trace(model, example, check_trace=False)  # type: ignore[no-untyped-call]
    found: Callable[[Tensor], Tensor] = torch.jit.optimize_for_inference(torch.jit.freeze(traced))
    return found


def all_bf16(model: FCN, _: Tensor) -> Callable[[Tensor], Tensor]:
    """Weights kept in bf16: nothing is converted in each pass."""
    return model.bf16_copy()


def autocast(model: FCN, _: Tensor) -> Callable[[Tensor], Tensor]:
    def forward(images: Tensor) -> Tensor:
        with torch.autocast(images.device.type, torch.bfloat16):
            found: Tensor = model(images)
        return found

    return forward


def dense(model: FCN, _: Tensor) -> Callable[[Tensor], Tensor]:
    """Learned upsampling in the state it begins with, which is bilinear."""
    learned = model.config.model_copy(update={"upsampling": "learned"})
    other = initialise(FCN(learned, model.num_classes))
    return other.to(next(model.parameters()).device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload, no-any-return]


def coarse(model: FCN, _: Tensor) -> Callable[[Tensor], Tensor]:
    model.up_output = Repeated(model.config.stride)
    return model


class Repeated(nn.Module):
    """Each label of (N, C, h, w) scores `factor` times in both directions, as (N, 1, ...)."""

    def __init__(self, factor: int) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, scores: Tensor) -> Tensor:
        labels = scores.argmax(1, keepdim=True).float()
        return labels.repeat_interleave(self.factor, 2).repeat_interleave(self.factor, 3)


class CheckpointedStep(OurStep):
    """Trunk and head are computed again in the backward pass (`train.activation_checkpointing: true`)."""

    def __init__(self, setting: Setting, alignment: str) -> None:
        super().__init__(setting, alignment)
        self.network.set_activation_checkpointing(enabled=True)


class ContiguousStep(OurStep):
    """In torch's default layout."""

    def __init__(self, setting: Setting, alignment: str) -> None:
        super().__init__(setting, alignment)
        self.network = network(setting, alignment).to(setting.device).train()


class ReshapedStep(OurStep):
    """Logits become a matrix of pixels by classes before the softmax, as many implementations have it."""

    @staticmethod
    def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
        return cross_entropy_sum(logits.permute(0, 2, 3, 1).reshape(-1, logits.shape[1]), labels.reshape(-1))


def inference_entries(setting: Setting) -> dict[str, Callable[[], Contestant]]:
    changes = {
        "torch.compile": compiled,
        "frozen": frozen,
        "dense transposed convolutions": dense,
        "labels at an eighth (not exact)": coarse,
    }
    if setting.has_bf16:
        changes |= {"bf16 by autocast": autocast, "bf16 weights": all_bf16}
    found: dict[str, Callable[[], Contestant]] = {OURS: partial(Eager, setting, True)}
    return found | {name: partial(Changed, setting, change) for name, change in changes.items()}


def training_entries(setting: Setting) -> dict[str, Callable[[], Contestant]]:
    return {
        STEP: partial(OurStep, setting, "same"),
        "contiguous": partial(ContiguousStep, setting, "same"),
        "activation checkpointing": partial(CheckpointedStep, setting, "same"),
        "reshape before softmax": partial(ReshapedStep, setting, "same"),
    }


def run(setting: Setting, inference: Cell, training: Cell, only: Sequence[str], schedule: Schedule) -> Section:
    """Both tables; shares of the peak are left to the sections that compare with others.

    Args:
        only: words that a contestant's name must hold one of; none takes all.
    """
    note = NOTE.format(head_width=setting.head_width, classes=setting.classes)
    section = Section("ideas", "Ideas", note, (OURS, STEP))
    counted = partial(unfilled, setting)
    for cell, entries, operations in (
        (inference, inference_entries(setting), forward_operations(counted, inference)),
        (training, training_entries(setting), step_operations(counted, training)),
    ):
        failed: dict[str, str] = {}
        chosen = {name: make for name, make in entries.items() if wanted(name, only)}
        with crew(chosen, failed) as runners:
            section.lose(cell.name, failed)
            counts = dict.fromkeys(runners, operations)
            schedule.measure(section, runners, cell, counts, dict.fromkeys(runners), cell.batch)
    return section
