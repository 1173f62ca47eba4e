"""Time to accuracy: minutes of training until a mean IoU on CamVid's validation pictures, ours and torchfcn's way."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from atonce.data import open_dataset
from atonce.data.dataset import Dataset, Sample
from atonce.metrics import ConfusionMatrix
from atonce.model import FCN
from atonce.recipes import load_recipe
from atonce.training import Callback, TrainingRun, run_training
from atonce.weights import load_weights
from benchmarks.inference import predict_labels
from benchmarks.inference_section import wanted
from benchmarks.peers import MEAN_BGR, randomise, torchfcn_loss, torchfcn_network, torchfcn_optimizer
from benchmarks.results import Section
from benchmarks.schedule import Schedule
from benchmarks.timing import Series
from benchmarks.workers import Failed, in_process

LEVELS = (0.55, 0.60, 0.65)
GOALS = {0.60: 8.0, 0.65: 22.0}
"""Mean IoU -> the minutes in which it was aimed at, on two idle cores."""

KEY, OURS, TORCHFCN = "time-to-accuracy", "ours, camvid-small", "torchfcn FCN8sAtOnce"
RECIPE = "camvid-small"

NOTE = (
    "Minutes until the first validation with a mean IoU (a row a level; one that nobody reached has none). Both begin "
    "with {weights} and a head without pretrained weights. Ours is `atonce train --recipe "
    f"{RECIPE} --max-minutes BUDGET`, once for each budget, since the learning rate comes to its end with it; its "
    "minutes include its validations. torchfcn's is its example for FCN8s at once (whole pictures, one a step, no "
    "augmentation, SGD with a momentum of 0.99 and a rate of 1e-10, summed loss, head of 4096), for the longest "
    "budget; its validations, after each third, are not counted."
)


@dataclass(frozen=True)
class Point:
    """A validation: seconds of training before it, steps made, mean IoU over the whole split."""

    seconds: float
    step: int
    mean_iou: float


@dataclass(frozen=True)
class Plan:
    """What is trained.

    Attributes:
        budgets: minutes of each of our trainings; torchfcn's is the longest.
        weights: VGG-16's convolutions; None begins both with random ones.
        overrides: of our recipe.
        head_width: of torchfcn's network.
        validated: the first so many validation pictures; None takes all.
    """

    budgets: tuple[float, ...] = (8.0, 22.0)
    weights: Path | None = None
    overrides: tuple[str, ...] = ()
    head_width: int = 4096
    validated: int | None = None


def name_of(budget: float) -> str:
    """Name our training of so many minutes."""
    return f"{OURS}, {budget:g} minutes"


def run(data: Path | None, plan: Plan, files: Path, seed: int, only: Sequence[str], schedule: Schedule) -> Section:
    """Train one after the other, each in a process of its own.

    Args:
        data: a data set with pictures of one size; without one nothing is measured.
        only: words that a contestant's name must hold one of; none takes all.
    """
    begins = f"the VGG-16 convolutions of `{plan.weights.name}`" if plan.weights else "random convolutions"
    note = NOTE.format(weights=begins)
    section = Section(KEY, "Time to accuracy", note)
    if data is None:
        section.left_out.append("all: needs pictures of the world, --data path/to/CamVid and --weights vgg16.pth")
        return section
    trainings: dict[str, Callable[[Path], None]] = {
        name_of(budget): partial(train_ours, data, plan, budget, seed) for budget in sorted(plan.budgets)
    }
    trainings[TORCHFCN] = partial(train_torchfcn, data, plan, max(plan.budgets), seed)
    for number, (name, train) in enumerate(trainings.items()):
        if not wanted(name, only):
            continue
        path = files / f"accuracy-{number}" / "points.json"
        path.parent.mkdir(parents=True)
        schedule.say(name)
        try:
            # A process that imports everything itself, as a user's does.
            in_process(partial(train, path), dict(os.environ))
        except Failed as error:
            section.lose("all levels", {name: str(error)})
            continue
        points = [Point(*values) for values in json.loads(path.read_text("utf-8"))]
        _report(section, name, points)
    return section


def _report(section: Section, name: str, points: Sequence[Point]) -> None:
    for level, seconds in seconds_to(points).items():
        section.add(case_of(level), {name: Series([seconds])})
    best = max(points, key=lambda point: point.mean_iou)
    section.note += (
        f" {name}: at best {best.mean_iou:.4f}, after {best.step} steps and {best.seconds / 60:.1f} minutes."
    )
    section.rows.sort(key=lambda row: row.case)


def seconds_to(points: Sequence[Point]) -> dict[float, float]:
    """Return the seconds after which each level was reached first, of those that were."""
    first = {level: next((p.seconds for p in points if p.mean_iou >= level), None) for level in LEVELS}
    return {level: seconds for level, seconds in first.items() if seconds is not None}


def case_of(level: float) -> str:
    """Name the row of a level."""
    return f"mean IoU of {level:.2f}"


class _Curve(Callback):
    """Validations of our training, by the clock of someone who waits for them."""

    may_stop = False

    def __init__(self) -> None:
        self.points: list[Point] = []
        self.began = 0.0

    def on_train_start(self, run: TrainingRun) -> None:
        self.began = time.monotonic()

    def on_validation_end(self, run: TrainingRun, row: dict[str, Any], *, best: bool) -> None:
        mean = row["mean_iou"] or 0.0
        self.points.append(Point(time.monotonic() - self.began, run.progress.step, mean))


def train_ours(data: Path, plan: Plan, budget: float, seed: int, path: Path) -> None:
    """Train by our recipe for so many minutes and write the validations to `path`."""
    weights = [] if plan.weights is None else [f"weights={json.dumps(str(plan.weights))}"]
    changes = [f"train.max_minutes={budget}", f"train.seed={seed}", *weights, *plan.overrides]
    curve = _Curve()
    run_training(load_recipe(RECIPE, changes), data, path.parent / "run", callback=curve)
    _write(path, curve.points)


def train_torchfcn(data: Path, plan: Plan, budget: float, seed: int, path: Path) -> None:
    """Train torchfcn's network as its example does for so many minutes and write the validations to `path`."""
    dataset = open_dataset(data)
    network = randomise(torchfcn_network(dataset.labels.num_classes, plan.head_width), seed)
    _zero_scores(network)
    if plan.weights is not None:
        copy_trunk(plan.weights, network)
    optimizer = torchfcn_optimizer(network)
    points: list[Point] = []
    seconds, step, order = 0.0, 0, _endless(dataset, seed)
    for third in (1, 2, 3):
        network.train()
        while seconds < 60 * budget * third / 3:
            began = time.monotonic()
            images, labels = _as_torchfcn(next(order))
            optimizer.zero_grad()
            loss = torchfcn_loss(network(images), labels)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            seconds, step = seconds + time.monotonic() - began, step + 1
        points.append(Point(seconds, step, _score(network, dataset, plan.validated)))
    _write(path, points)


def _endless(dataset: Dataset, seed: int) -> Iterator[Sample]:
    """Training samples, in another order each epoch, decoded as they are asked for."""
    random, items = np.random.default_rng(seed), dataset.split("train")
    while True:
        for index in random.permutation(len(items)):
            yield dataset.load(items[int(index)])


def _as_torchfcn(sample: Sample) -> tuple[Tensor, Tensor]:
    """A sample as its loaders give it: BGR less the mean, float (1, 3, H, W); labels int64 (1, H, W), void -1."""
    assert sample.mask is not None
    values = sample.image[..., ::-1].astype(np.float32) - np.array(MEAN_BGR, np.float32)
    labels = torch.from_numpy(sample.mask.astype(np.int64))
    return torch.from_numpy(values.transpose(2, 0, 1).copy())[None], torch.where(labels == 255, -1, labels)[None]


@torch.inference_mode()
def _score(network: nn.Module, dataset: Dataset, limit: int | None) -> float:
    """Mean IoU over the validation split, at the pictures' own size."""
    network.eval()
    confusion = ConfusionMatrix(dataset.labels.num_classes)
    for item in dataset.split("val")[:limit]:
        sample = dataset.load(item)
        assert sample.mask is not None
        confusion.add(sample.mask, predict_labels(network(_as_torchfcn(sample)[0]))[0])
    return float(np.nan_to_num(confusion.mean_iou))


def _zero_scores(network: nn.Module) -> None:
    """Begin the score layers with zeros, as its networks do."""
    for name, parameter in network.named_parameters():
        if name.startswith("score"):
            nn.init.zeros_(parameter)


def copy_trunk(weights: Path, network: nn.Module) -> None:
    """Copy VGG-16's convolutions, by way of our own network, which reads their file; the first one takes BGR there."""
    ours = FCN(load_recipe(RECIPE).model, 2)
    load_weights(ours, str(weights))
    kernels = [layer for layer in ours.trunk.modules() if isinstance(layer, nn.Conv2d)]
    theirs = [layer for name, layer in network.named_modules() if name.startswith("conv")]
    for index, (source, target) in enumerate(zip(kernels, theirs, strict=True)):
        assert isinstance(target, nn.Conv2d)
        assert source.bias is not None
        assert target.bias is not None
        with torch.no_grad():
            target.weight.copy_(source.weight.flip(1) if index == 0 else source.weight)
            target.bias.copy_(source.bias)


def _write(path: Path, points: Sequence[Point]) -> None:
    path.write_text(json.dumps([[p.seconds, p.step, p.mean_iou] for p in points]), "utf-8")
