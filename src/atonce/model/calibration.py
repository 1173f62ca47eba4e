"""Scales for weights whose statistics the authors' constants do not fit.

With the original VGG-16 the activations spread by 538 at pool3, 111 at pool4 and 7 at pool5; other weights
spread otherwise. Dividing each by its standard deviation gives every score layer an input of the same spread,
whatever the trunk, so that one initialisation and one learning rate suit all of them.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from atonce.errors import TrainingError
from atonce.model.fcn import FCN
from atonce.recipe.schema import FCNConfig


@torch.inference_mode()
def pool_deviations(model: FCN, images: Iterable[Tensor]) -> dict[int, float]:
    """Standard deviation of the activations at pool1..pool5, over all values of all pictures.

    Args:
        images: (N, 3, H, W) RGB 0..255 each, any size.

    Raises:
        TrainingError: no picture, or activations that are constant or not finite.
    """
    sums = {pool: torch.zeros(3, dtype=torch.float64) for pool in range(1, 6)}
    for batch in images:
        batch = batch.to(model.normalise.mean.device)
        for pool, values in model.trunk(model.pad(model.normalise(batch))).items():
            values = values.double()
            sums[pool] += torch.stack([torch.ones_like(values).sum(), values.sum(), values.square().sum()]).cpu()
    deviations = {}
    for pool, (count, total, squares) in sums.items():
        deviations[pool] = float((squares / count - (total / count) ** 2).clamp_min(0).sqrt())
        if not 0 < deviations[pool] < float("inf"):
            raise TrainingError(
                f"the activations at pool{pool} have a standard deviation of {deviations[pool]}",
                "varying activations to calibrate on",
                "look at the weights and the training pictures, or give model.skip_scales as numbers",
            )
    return deviations


def calibrate(model: FCN, images: Iterable[Tensor]) -> FCNConfig:
    """Put numbers in place of every `calibrate` of the network's config; returns the config that it then has.

    Raises TrainingError as `pool_deviations` does.
    """
    config = model.config
    deviations = pool_deviations(model, images)
    found: dict[str, object] = {}
    if config.skip_scales == "calibrate":
        found["skip_scales"] = (1 / deviations[4], 1 / deviations[3])
    if config.head_scale == "calibrate":
        found["head_scale"] = 1 / deviations[5]
    model.set_scales(config.model_copy(update=found))
    return model.config
