"""Calibrated skip scales, for weights whose statistics the authors' constants do not fit (the page "Skip scales"
derives the rule).

A score layer that is given x at a position moves its score there, in one step of gradient descent, by |x|² times the
learning rate and the error there: |x|², the squared norm over the channels, is the branch's share of all that is
learned. The scales on pool4 and pool3 make the mean of |x|² what it is at the third score layer, the one on the head:

    scale_k = sqrt(mean |fc7|² / mean |pool_k|²)

so that the three branches learn equally fast, and together no more than three times as fast as FCN-32s does, whatever
the trunk. Multiply a pool by c, and its scale falls by c: what is scored is the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from atonce.errors import TrainingError
from atonce.model.fcn import FCN
from atonce.recipes.schema import FCNConfig

_REMEDY = "look at the weights and the training pictures, or give the scales as numbers"


@dataclass
class Moments:
    """First and second moment of a feature map over all positions, channels and images, as sums that grow with `add`.

    The sums are float64, since squares of VGG's pools are large.

    Attributes:
        values: the number of values, positions times channels.
        positions: the number of positions, over all images.
        total: the sum of the values.
        squares: the sum of their squares.
    """

    values: int = 0
    positions: int = 0
    total: float = 0.0
    squares: float = 0.0

    def add(self, features: Tensor) -> None:
        """Add feature maps (N, C, h, w) of any float type."""
        features = features.double()
        self.values += features.numel()
        self.positions += features.numel() // features.shape[1]
        self.total += float(features.sum())
        self.squares += float(features.square().sum())

    @property
    def mean_square(self) -> float:
        """The mean of one value's square."""
        return self.squares / self.values

    @property
    def standard_deviation(self) -> float:
        """The standard deviation of the values."""
        return math.sqrt(max(0.0, self.mean_square - (self.total / self.values) ** 2))

    @property
    def mean_squared_norm(self) -> float:
        """The mean over positions of the squared norm of the vector of all channels: channels times `mean_square`."""
        return self.squares / self.positions


@dataclass
class PoolStatistics:
    """The trunk's activations on some images.

    Attributes:
        pools: the moments of pool 1..5.
        pool5: pool5 of each batch, (N, C, h, w), unscaled.
    """

    pools: dict[int, Moments]
    pool5: list[Tensor]


@torch.inference_mode()
def pool_statistics(model: FCN, images: Iterable[Tensor]) -> PoolStatistics:
    """Compute the moments of the activations at pool1..pool5, before any scale.

    Args:
        images: (N, 3, H, W) RGB 0..255 each, any size.

    Raises:
        TrainingError: no image, or activations that are constant or not finite.
    """
    statistics = PoolStatistics({pool: Moments() for pool in range(1, 6)}, [])
    for batch in images:
        pools = model.trunk(model.pad(model.normalise(batch.to(model.normalise.mean.device))))
        for pool, moments in statistics.pools.items():
            moments.add(pools[pool])
        statistics.pool5.append(pools[5])
    for pool, moments in statistics.pools.items():
        deviation = moments.standard_deviation if moments.values else math.nan
        if not 0 < deviation < math.inf:
            raise TrainingError(
                f"the activations at pool{pool} have a standard deviation of {deviation}",
                "varying activations to calibrate on",
                _REMEDY,
            )
    return statistics


def pool_standard_deviations(model: FCN, images: Iterable[Tensor]) -> dict[int, float]:
    """Compute the standard deviation of the activations at pool1..pool5, over all values; see `pool_statistics`."""
    return {pool: moments.standard_deviation for pool, moments in pool_statistics(model, images).pools.items()}


@torch.inference_mode()
def head_mean_squared_norm(model: FCN, pool5: Iterable[Tensor], head_scale: float) -> float:
    """Compute the mean squared norm of fc7's output, without dropout: the vector that score_fc7 is given.

    Args:
        pool5: (N, C, h, w) each, unscaled.

    Raises:
        TrainingError: the head gives zeros only, or is not finite.
    """
    training, moments = model.head.training, Moments()
    model.head.eval()
    try:
        for features in pool5:
            moments.add(model.head(features * head_scale))
    finally:
        model.head.train(training)
    if not 0 < moments.mean_squared_norm < math.inf:
        raise TrainingError(
            f"the activations of fc7 have a mean square of {moments.mean_square}", "a head that is alive", _REMEDY
        )
    return moments.mean_squared_norm


def _counted(
    items: Sequence[Tensor], progress: Callable[[int, int], None], before: int, total: int
) -> Iterator[Tensor]:
    """Yield items, and tell how many are done when the next one is asked for."""
    for done, item in enumerate(items, before):
        progress(done, total)
        yield item
    progress(before + len(items), total)


def calibrate(
    model: FCN, images: Sequence[Tensor], progress: Callable[[int, int], None] = lambda done, total: None
) -> FCNConfig:
    """Put numbers in place of every `calibrate` of the network's config; returns the config that it then has.

    skip_scales: the rule at the top of this file. head_scale: 1 / (root mean square of pool5), the input for which
    He's initial weights of fc6 and fc7 keep the mean square at 1 (ICCV 2015, equation 8: it is E[x²] that a layer
    hands on).

    Args:
        images: (N, 3, H, W) RGB 0..255 each, any size.
        progress: called with the images that trunk, and head where it is needed, have been computed of, and all.

    Raises:
        TrainingError: no image, or activations that are constant or not finite.
    """
    config = model.config
    total = len(images) * (2 if config.skip_scales == "calibrate" else 1)
    statistics = pool_statistics(model, _counted(images, progress, 0, total))
    found: dict[str, object] = {}
    head_scale = model.head_scale
    if config.head_scale == "calibrate":
        head_scale = found["head_scale"] = 1 / math.sqrt(statistics.pools[5].mean_square)
    if config.skip_scales == "calibrate":
        head = head_mean_squared_norm(model, _counted(statistics.pool5, progress, len(images), total), head_scale)
        # Both pools, whatever the variant scores: in a staged training the coarser one comes first.
        found["skip_scales"] = tuple(math.sqrt(head / statistics.pools[pool].mean_squared_norm) for pool in (4, 3))
    model.set_scales(config.model_copy(update=found))
    return model.config
