"""Scales for weights whose statistics the authors' constants do not fit. The derivation is in docs/calibration.md.

A score layer that is given x at a place moves its score, in one step of gradient descent, by |x|² times the learning
rate and the error there: |x|², summed over the channels, is the branch's share of all that is learned. The scales on
pool4 and pool3 make the mean of |x|² what it is at the third score layer, the one on the head:

    scale_k = sqrt(mean |fc7|² / mean |pool_k|²)

so that the three branches learn equally fast, and together no more than three times as fast as FCN-32s does, whatever
the trunk. Multiply a pool by c, and its scale falls by c: what is scored is the same.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from atonce.errors import TrainingError
from atonce.model.fcn import FCN
from atonce.recipes.schema import FCNConfig

_REMEDY = "look at the weights and the training pictures, or give the scales as numbers"


@dataclass
class Moments:
    """Sums over all places, channels and pictures of a feature map; float64, since squares of VGG's pools are large."""

    values: int = 0
    places: int = 0
    total: float = 0.0
    squares: float = 0.0

    def add(self, features: Tensor) -> None:
        """Features (N, C, h, w), any float type."""
        features = features.double()
        self.values += features.numel()
        self.places += features.numel() // features.shape[1]
        self.total += float(features.sum())
        self.squares += float(features.square().sum())

    @property
    def mean_square(self) -> float:
        """Of one value."""
        return self.squares / self.values

    @property
    def deviation(self) -> float:
        """Standard deviation of the values."""
        return math.sqrt(max(0.0, self.mean_square - (self.total / self.values) ** 2))

    @property
    def energy(self) -> float:
        """Mean squared length of the vector of all channels at a place: channels times `mean_square`."""
        return self.squares / self.places


@dataclass
class Statistics:
    """What the trunk says of some pictures.

    Attributes:
        pools: pool 1..5 -> its moments.
        last: pool5 (1, C, h, w) of each picture, unscaled.
    """

    pools: dict[int, Moments]
    last: list[Tensor]


@torch.inference_mode()
def pool_statistics(model: FCN, images: Iterable[Tensor]) -> Statistics:
    """Moments of the activations at pool1..pool5, before any scale.

    Args:
        images: (N, 3, H, W) RGB 0..255 each, any size.

    Raises:
        TrainingError: no picture, or activations that are constant or not finite.
    """
    statistics = Statistics({pool: Moments() for pool in range(1, 6)}, [])
    for batch in images:
        pools = model.trunk(model.pad(model.normalise(batch.to(model.normalise.mean.device))))
        for pool, moments in statistics.pools.items():
            moments.add(pools[pool])
        statistics.last.append(pools[5])
    for pool, moments in statistics.pools.items():
        spread = moments.deviation if moments.values else math.nan
        if not 0 < spread < math.inf:
            raise TrainingError(
                f"the activations at pool{pool} have a standard deviation of {spread}",
                "varying activations to calibrate on",
                _REMEDY,
            )
    return statistics


def pool_deviations(model: FCN, images: Iterable[Tensor]) -> dict[int, float]:
    """Standard deviation of the activations at pool1..pool5, over all values; see `pool_statistics`."""
    return {pool: moments.deviation for pool, moments in pool_statistics(model, images).pools.items()}


@torch.inference_mode()
def head_energy(model: FCN, last: Iterable[Tensor], head_scale: float) -> float:
    """Mean squared length of fc7's output, without dropout: what score_fc7 is given.

    Args:
        last: pool5 (N, C, h, w) each, unscaled.

    Raises:
        TrainingError: the head is dead, or not finite.
    """
    training, moments = model.head.training, Moments()
    model.head.eval()
    try:
        for pool5 in last:
            moments.add(model.head(pool5 * head_scale))
    finally:
        model.head.train(training)
    if not 0 < moments.energy < math.inf:
        raise TrainingError(
            f"the activations of fc7 have a mean square of {moments.mean_square}", "a head that is alive", _REMEDY
        )
    return moments.energy


def calibrate(model: FCN, images: Iterable[Tensor]) -> FCNConfig:
    """Put numbers in place of every `calibrate` of the network's config; returns the config that it then has.

    skip_scales: as the module says. head_scale: 1 / (root mean square of pool5), the input for which He's initial
    weights of fc6 and fc7 keep the mean square at 1 (ICCV 2015, equation 8: it is E[x²] that a layer hands on).

    Raises TrainingError as `pool_statistics` and `head_energy` do.
    """
    config = model.config
    statistics = pool_statistics(model, images)
    found: dict[str, object] = {}
    head_scale = model.head_scale
    if config.head_scale == "calibrate":
        head_scale = found["head_scale"] = 1 / math.sqrt(statistics.pools[5].mean_square)
    if config.skip_scales == "calibrate":
        wanted = head_energy(model, statistics.last, head_scale)
        found["skip_scales"] = tuple(math.sqrt(wanted / statistics.pools[pool].energy) for pool in (4, 3))
    model.set_scales(config.model_copy(update=found))
    return model.config
