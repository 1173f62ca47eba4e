"""A small trunk with VGG-16's statistics, its rescaled twins that compute the same, and a short training of either."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from atonce.model import FCN, initialise
from atonce.model.skip_scaling import calibrate, pool_statistics
from atonce.recipes import FCNConfig
from atonce.streets import render_scene
from atonce.training.losses import cross_entropy_sum, valid_weight

CLASSES = 11
LIKE_VGG = {3: 585.0, 4: 107.0, 5: 5.8}
"""Root mean squares of the original VGG-16's pools on CamVid."""
_LAYERS = {3: ("conv3_3", "conv4_1"), 4: ("conv4_3", "conv5_1"), 5: ("conv5_3", None)}


def rescale(model: FCN, pool: int, factor: float) -> None:
    """Multiply a pool by a factor and take it back in the next layer: ReLU and pooling are positively homogeneous."""
    before, after = _LAYERS[pool]
    with torch.no_grad():
        for parameter in model.trunk.get_submodule(before).parameters():
            parameter.mul_(factor)
        if after:
            layer = model.trunk.get_submodule(after)
            assert isinstance(layer, nn.Conv2d)
            layer.weight.div_(factor)


def streets(count: int = 4) -> tuple[Tensor, Tensor]:
    """Images float (N, 3, 64, 80), labels int64 (N, 64, 80)."""
    samples = [render_scene(seed, (64, 80)) for seed in range(count)]
    images = torch.from_numpy(np.stack([s.image for s in samples])).permute(0, 3, 1, 2).float()
    return images, torch.from_numpy(np.stack([s.mask for s in samples if s.mask is not None])).long()


def network(scales: str, images: Tensor, pool3: float = 1.0, pool4: float = 1.0, stride: int = 8) -> FCN:
    """The same network for every factor, apart from its scales; frozen trunk.

    The trunk is frozen because a step of gradient descent is not homogeneous: a layer of large weights learns
    relatively slower. What is left to differ is what the scales are for.
    """
    torch.manual_seed(0)
    knobs: dict[str, object] = {
        "width": 0.125,
        "head_width": 64,
        "dropout": 0.0,
        "freeze_trunk": True,
        "score_init": "normal",
    }
    knobs |= {"stride": stride, "skip_scales": scales, "head_scale": "calibrate"}
    model = FCN(FCNConfig.model_validate(knobs), CLASSES)
    torch.manual_seed(0)
    initialise(model)
    for pool, wanted in LIKE_VGG.items():
        rescale(model, pool, wanted / math.sqrt(pool_statistics(model, [images]).pools[pool].mean_square))
    rescale(model, 3, pool3)
    rescale(model, 4, pool4)
    calibrate(model, [images])
    return model


def train(model: FCN, images: Tensor, labels: Tensor, steps: int = 60, lr: float = 0.02) -> list[float]:
    """Losses of full-batch gradient descent; it ends early where they are not finite."""
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr, momentum=0.9)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = cross_entropy_sum(model(images), labels) / valid_weight(labels).float()
        losses.append(float(loss.detach()))
        if not math.isfinite(losses[-1]):
            break
        loss.backward()
        optimizer.step()
    return losses


def score_gradients(model: FCN, images: Tensor, labels: Tensor) -> list[float]:
    """Norms of the gradients of the kernels of score_fc7, score_pool4 and score_pool3."""
    model.zero_grad()
    (cross_entropy_sum(model(images), labels) / valid_weight(labels).float()).backward()
    return [float(layer.weight.grad.norm()) for layer in model.score_layers() if layer.weight.grad is not None]


def steps_of_logits(model: FCN, images: Tensor, labels: Tensor, adam: bool) -> Sequence[float]:
    """The root mean square by which the logits move when each score layer alone makes one step of rate 1e-4."""
    with torch.no_grad():
        before = model(images)
    moved = []
    for layer in model.score_layers():
        model.zero_grad()
        (cross_entropy_sum(model(images), labels) / valid_weight(labels).float()).backward()
        gradient = layer.weight.grad
        assert gradient is not None
        kept = layer.weight.detach().clone()
        with torch.no_grad():
            # The first step of Adam is the sign of the gradient.
            layer.weight -= 1e-4 * (gradient.sign() if adam else gradient)
            moved.append(float((model(images) - before).square().mean().sqrt()))
            layer.weight.copy_(kept)
    return moved
