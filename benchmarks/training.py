"""Training steps: forward, loss, backward, update, on a batch that is there."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from atonce.model import FCN
from atonce.recipes import load_recipe
from atonce.training.losses import cross_entropy_sum, l2_penalty, total_loss, valid_weight
from atonce.training.optimizers import build_optimizer
from benchmarks.inference import Setting, network, pictures, unfilled, unfilled_torchfcn
from benchmarks.inference_section import Entry, wanted
from benchmarks.operations import Cell, step_operations
from benchmarks.peers import (
    LEARNING_RATE,
    MEAN_BGR,
    randomise,
    torchfcn_loss,
    torchfcn_network,
    torchfcn_optimizer,
)
from benchmarks.results import Section
from benchmarks.schedule import Schedule
from benchmarks.workers import Job, crew

TORCHFCN, OURS = "torchfcn FCN8sAtOnce", "ours, fp32"
NOTE = (
    "Forward, loss, backward and update on a batch in memory, with a head of {head_width} and {classes} classes. Both "
    "sides learn by SGD with a momentum of 0.99 and an L2 term, as the authors and torchfcn's example do; ours as the "
    "recipe `voc` has it (fused update, L2 term and norm of the gradient logged). `caffe padding` is our "
    "network in the published geometry, which pads by 100, in fp32. Each case has processes of its own."
)

# What the backward pass of the one whose turn it is needs of a pixel: 270 outputs of convolutions in float32, their
# pools, and their gradients.
_BYTES_PER_PIXEL = 2500

# Of a weight, besides itself: its gradient, its momentum, and a temporary copy of one of them.
_BYTES_PER_WEIGHT = 12


class TorchfcnStep:
    """As torchfcn's trainer does it."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        filled = randomise(torchfcn_network(setting.classes, setting.head_width), setting.seed)
        self.network = filled.to(setting.device).train()
        self.optimizer = torchfcn_optimizer(self.network)

    def prepare(self, case: Cell) -> Job:
        images, labels = batch(case, self.setting)
        mean = torch.tensor(MEAN_BGR, device=images.device).view(1, 3, 1, 1)
        return partial(self._step, images.flip(1) - mean, torch.where(labels == 255, -1, labels))

    def _step(self, images: Tensor, labels: Tensor) -> float:
        self.optimizer.zero_grad()
        loss = torchfcn_loss(self.network(images), labels)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        return loss.item()


class OurStep:
    """As atonce.training.loop does it with the recipe `voc`, on one device.

    Args:
        autocast: multiply in bf16.
    """

    def __init__(self, setting: Setting, alignment: str, autocast: bool = False) -> None:
        self.setting, self.autocast = setting, autocast
        recipe = load_recipe("voc", [f"optim.lr={LEARNING_RATE}"])
        self.loss = recipe.loss
        filled: FCN = network(setting, alignment)
        self.network = filled.to(setting.device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        self.optimizer = build_optimizer(self.network, recipe.optim)
        self.clip_norm = recipe.optim.clip_norm or math.inf

    def prepare(self, case: Cell) -> Job:
        images, labels = batch(case, self.setting)
        return partial(self._step, images.contiguous(memory_format=torch.channels_last), labels)

    def _step(self, images: Tensor, labels: Tensor) -> float:
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast(images.device.type, torch.bfloat16, enabled=self.autocast):
            logits = self.network(images)
        loss = self.cross_entropy(logits, labels) / valid_weight(labels).float()
        loss = total_loss(self.loss, loss, l2_penalty(self.network, self.loss.l2))
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.network.parameters(), self.clip_norm)
        self.optimizer.step()
        return loss.item()

    @staticmethod
    def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
        return cross_entropy_sum(logits, labels)


def batch(cell: Cell, setting: Setting) -> tuple[Tensor, Tensor]:
    """Images float (N, 3, H, W) RGB 0..255 and labels int64 (N, H, W), a tenth of them 255; on the device."""
    images = torch.from_numpy(pictures(cell, setting.seed)).permute(0, 3, 1, 2).float().contiguous()
    generator = torch.Generator().manual_seed(setting.seed)
    labels = torch.randint(setting.classes, (cell.batch, *cell.size), generator=generator)
    labels[torch.rand(labels.shape, generator=generator) < 0.1] = 255
    return images.to(setting.device), labels.to(setting.device)


def entries(setting: Setting) -> dict[str, Entry]:
    same, caffe = partial(unfilled, setting), partial(unfilled, setting, "caffe")
    found = {
        TORCHFCN: Entry(partial(TorchfcnStep, setting), partial(unfilled_torchfcn, setting)),
        "ours, caffe padding": Entry(partial(OurStep, setting, "caffe"), caffe),
        OURS: Entry(partial(OurStep, setting, "same"), same),
    }
    if setting.has_bf16:
        found["ours, bf16"] = Entry(partial(OurStep, setting, "same", True), same, "bf16")
    return found


def run(setting: Setting, cells: Sequence[Cell], only: Sequence[str], schedule: Schedule) -> Section:
    """Cells in the order given, the most important first.

    Args:
        only: words that a contestant's name must hold one of; none takes all.
    """
    note = NOTE.format(head_width=setting.head_width, classes=setting.classes)
    section = Section("training", "Training step", note, (TORCHFCN,))
    chosen = {name: entry for name, entry in entries(setting).items() if wanted(name, only)}
    with torch.device("meta"):
        weights = sum(p.numel() for p in unfilled(setting).parameters())
    schedule.bytes_per_pixel, schedule.bytes_fixed = _BYTES_PER_PIXEL, _BYTES_PER_WEIGHT * weights
    for cell in cells:
        failed: dict[str, str] = {}
        counts = {name: step_operations(entry.counted, cell) for name, entry in chosen.items()}
        arithmetic = {name: entry.arithmetic for name, entry in chosen.items()}
        with crew({name: entry.make for name, entry in chosen.items()}, failed) as runners:
            section.lose(cell.name, failed)
            present = {name: counts[name] for name in runners}
            schedule.measure(section, runners, cell, present, arithmetic, cell.batch)
    return section
