"""What each score layer gets to learn: the tables behind docs/experiments.md, "Much higher, or only faster?".

python benchmarks/branch_shares.py path/to/CamVid vgg16_features.pth [RUN ...]

Before the first step, scores at zero: the gradient of each score layer, and by how much one update of that layer alone
moves the logits, by gradient descent and by Adam. With run folders: what each layer contributes to their logits, and
how far the trunk's kernels have moved from the weights, relative to their size.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from atonce.data import open_dataset
from atonce.data.input_size import InputSize
from atonce.inference.network_predictor import network_input
from atonce.model import FCN, initialise
from atonce.model.skip_scaling import calibrate
from atonce.model_file import load_model_file
from atonce.recipes import FCNConfig
from atonce.training.losses import cross_entropy_sum, valid_weight
from atonce.weights import load_weights

PICTURES, SIZE, SEED, HEAD_WIDTH, ADAM_RATE = 8, (120, 160), 0, 256, 1e-4
BRANCHES = ("fc7", "pool4", "pool3")


def main(data: str, weights: str, runs: Sequence[str] = ()) -> None:
    dataset = open_dataset(data)
    images, labels = pictures_of(dataset, "train")
    print(f"{PICTURES} training pictures at {SIZE[1]}x{SIZE[0]}, head of {HEAD_WIDTH}, seed {SEED}, scores from zero\n")
    print("| scales | branch | scale | norm of the gradient | step of SGD at rate 1 | first step of Adam at 1e-4 |")
    print("|---|---|---:|---:|---:|---:|")
    for scales in ("at-once", "unit", "calibrate"):
        torch.manual_seed(SEED)
        config = FCNConfig(head_width=HEAD_WIDTH, head_scale="calibrate", skip_scales=scales, score_init="zeros")
        model = initialise(FCN(config, dataset.labels.num_classes)).eval()
        load_weights(model, weights)
        calibrate(model, torch.split(images, 1))
        for row in first_step(model, images, labels):
            print("| " + " | ".join([scales, *row]) + " |")
    if runs:
        images, _ = pictures_of(dataset, "val")
        print(f"\n{PICTURES} validation pictures; logits less their mean over the classes, root mean square\n")
        print("| run | fc7 | pool4 | pool3 | all | trunk moved |\n|---|---:|---:|---:|---:|---:|")
        untrained = FCN(FCNConfig(head_width=HEAD_WIDTH), dataset.labels.num_classes)
        load_weights(untrained, weights)
        for run in runs:
            model = load_model_file(Path(run) / "last.safetensors").model.eval()
            numbers = [*contributions(model, images), moved(model.trunk, untrained.trunk)]
            print(f"| {run} | " + " | ".join(f"{number:.3g}" for number in numbers) + " |")


def pictures_of(dataset: Any, split: str) -> tuple[Tensor, Tensor]:
    """Evenly spaced pictures, (N, 3, h, w), and their labels at the same size."""
    items = dataset.split(split)
    samples = [dataset.load(items[i * len(items) // PICTURES]) for i in range(PICTURES)]
    images = torch.cat([network_input(sample.image, InputSize(size=SIZE)) for sample in samples])
    masks = torch.stack([torch.from_numpy(sample.mask) for sample in samples])[:, None].float()
    labels = nn.functional.interpolate(masks, SIZE, mode="nearest-exact")[:, 0].long()
    return images, labels


def score_layers(model: FCN) -> dict[str, nn.Conv2d]:
    return dict(zip(BRANCHES, model.score_layers(), strict=True))


def first_step(model: FCN, images: Tensor, labels: Tensor) -> Iterator[list[str]]:
    """Branch, scale, gradient norm, root mean square of the logits' change by SGD (rate 1) and Adam: a row each."""
    layers = score_layers(model)
    model.zero_grad(set_to_none=True)
    for part, part_labels in zip(torch.split(images, 2), torch.split(labels, 2), strict=True):
        torch.autograd.backward(cross_entropy_sum(model(part), part_labels) / valid_weight(labels))
    for branch, layer in layers.items():
        assert layer.weight.grad is not None
        gradient = layer.weight.grad.clone()
        scale = 1.0 if branch == "fc7" else model.scales[int(branch[-1])]
        changes = []
        for step in (-gradient, -ADAM_RATE * gradient.sign()):
            with torch.no_grad():
                layer.weight.copy_(step)
                changes.append(root_mean_square(model(images)))
                layer.weight.zero_()
        numbers = (scale, float(gradient.norm()), *changes)
        yield [branch, *(f"{number:.3g}" for number in numbers)]


@torch.no_grad()
def contributions(model: FCN, images: Tensor) -> list[float]:
    """Size of the logits of each score layer alone, then of all together. Fixed upsampling is linear: they add up."""
    found = []
    for branch in BRANCHES:
        with only(model, branch):
            found.append(root_mean_square(model(images)))
    return [*found, root_mean_square(model(images))]


@torch.no_grad()
def moved(trunk: nn.Module, untrained: nn.Module) -> float:
    """Norm of the change of all kernels over their norm."""
    both = zip(trunk.parameters(), untrained.parameters(), strict=True)
    pairs = [(here, there) for here, there in both if there.ndim == 4]
    change = sum(float((here - there).square().sum()) for here, there in pairs)
    return math.sqrt(change / sum(float(there.square().sum()) for _, there in pairs))


@contextmanager
def only(model: FCN, branch: str) -> Iterator[None]:
    """Silence the other score layers."""
    silent = [layer for name, layer in score_layers(model).items() if name != branch]
    handles = [layer.register_forward_hook(_zeros) for layer in silent]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _zeros(_layer: nn.Module, _inputs: Any, scores: Tensor) -> Tensor:
    return torch.zeros_like(scores)


def root_mean_square(logits: Tensor) -> float:
    """What all classes have in common changes no probability: it is left out."""
    return math.sqrt(float((logits - logits.mean(1, keepdim=True)).double().square().mean()))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
