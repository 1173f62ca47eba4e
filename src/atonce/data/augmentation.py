"""Augmentation: random zoom, crop, flips, turns, rotation, colour jitter, on the batch and on its device, with kornia.

All that happens to a sample follows from the seed and its position in the run: the same sample is changed the same way
on one process or many, and after a resume.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import torch
from kornia.enhance import (
    adjust_brightness_accumulative,
    adjust_contrast_with_mean_subtraction,
    adjust_hue,
    adjust_saturation_with_gray_subtraction,
)
from kornia.geometry.transform import warp_affine
from numpy.typing import NDArray
from torch import Tensor

from atonce.data.batches import Batch, Size
from atonce.data.input_size import InputSize
from atonce.labels import IGNORE_INDEX
from atonce.recipes.schema import AugmentConfig

Matrix = NDArray[np.float64]


def augment(
    batch: Batch, config: AugmentConfig, *, crop: Size, seed: int, fill: Tensor, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Change each sample of a batch at random and cut it to one size.

    Pictures are interpolated bilinearly, masks take the nearest value. Pixels outside a picture are void and have the
    colour `fill`.

    Args:
        crop: height and width of the result.
        seed: of the run; with the sample's position it decides all that is random.
        fill: float (3,) RGB 0..255, the mean that the network subtracts.
        device: where to compute.

    Returns:
        Images, float (N, 3, *crop) RGB in 0..255, and labels, int64 (N, *crop), 255 void.
    """
    draws = [np.random.default_rng((seed, position)) for position in batch.positions]
    # What came later draws from numbers of its own, so that recipes without it crop and colour as they always did.
    later_draws = [np.random.default_rng((seed, position, 1)) for position in batch.positions]
    matrices = [
        _crop_transform(rng, later, config, size=size, target=target, crop=crop, mask=mask)
        for rng, later, size, target, mask in zip(
            draws, later_draws, batch.sizes, batch.targets, batch.masks, strict=True
        )
    ]
    affine = torch.from_numpy(np.stack(matrices)[:, :2]).float().to(device)
    colour = fill.to(device).view(1, 3, 1, 1)
    # Both are shifted so that the zeros which warping brings in mean "outside".
    images = batch.images.to(device).float() - colour
    masks = (batch.masks.to(device).float() - IGNORE_INDEX)[:, None]
    images = warp_affine(images, affine, crop, mode="bilinear", align_corners=True).add_(colour)
    labels = warp_affine(masks, affine, crop, mode="nearest", align_corners=True)[:, 0] + IGNORE_INDEX
    return _jitter_colours(images.clamp_(0, 255), draws, config), labels.round().long()


def largest_sides(sizes: Iterable[Size], input_size: InputSize, config: AugmentConfig) -> Size:
    """Compute the height and width that no picture exceeds, whatever zoom, turn and rotation are drawn.

    Args:
        sizes: (width, height) of the pictures; at least one.
        input_size: the size at which the network sees a picture.
    """
    zoom, steepest = config.scale[1], math.radians(config.rotate)
    rotated = []
    for width, height in sizes:
        target = input_size.apply(height, width)
        upright = (_upright_side(*target, steepest) * zoom, _upright_side(*target[::-1], steepest) * zoom)
        rotated += [upright, upright[::-1]] if config.quarter_turns else [upright]
    return math.ceil(max(h for h, _ in rotated)), math.ceil(max(w for _, w in rotated))


def _upright_side(along: float, across: float, steepest: float) -> float:
    """The longest extent, along one side of a rectangle, that any rotation of up to `steepest` radians gives it."""
    angle = min(steepest, math.atan2(across, along))
    return along * math.cos(angle) + across * math.sin(angle)


def _crop_transform(
    rng: np.random.Generator,
    later: np.random.Generator,
    config: AugmentConfig,
    *,
    size: Size,
    target: Size,
    crop: Size,
    mask: Tensor,
) -> Matrix:
    """The affine map of zoom, turn, flips, rotation and crop: 3x3, from pixels of the canvas to pixels of the crop, x
    before y.

    Args:
        rng: for zoom, flip, rotation and the crop's position.
        later: for turns, vertical flips and balanced crops.
        mask: uint8 (H, W), on the canvas; looked at by balanced crops.
    """
    low, high = config.scale
    zoom = math.exp(rng.uniform(math.log(low), math.log(high)))
    flipped = rng.random() < config.flip
    angle = math.radians(rng.uniform(-config.rotate, config.rotate))
    height, width = target[0] * zoom, target[1] * zoom
    scale = np.diag([width / size[1], height / size[0], 1.0])
    quarters = int(later.integers(1, 4)) if later.random() < config.quarter_turns else 0
    turn = np.eye(3)
    for _ in range(quarters):
        turn = np.array([[0.0, -1, height], [1, 0, 0], [0, 0, 1]]) @ turn
        height, width = width, height
    # A picture larger than the crop is cut at a random position, a smaller one is put at one.
    left = rng.random() * (width - crop[1])
    top = rng.random() * (height - crop[0])
    flip = np.array([[-1.0, 0, width], [0, 1, 0], [0, 0, 1]]) if flipped else np.eye(3)
    if later.random() < config.flip_vertical:
        flip = np.array([[1.0, 0, 0], [0, -1, height], [0, 0, 1]]) @ flip
    rotation = np.array([[math.cos(angle), -math.sin(angle), 0], [math.sin(angle), math.cos(angle), 0], [0, 0, 1]])
    centre = _translation(width / 2, height / 2)
    # Pixel i covers i to i + 1, its centre is i + 0.5; warping counts centres as whole numbers.
    to_centres, back = _translation(0.5, 0.5), np.linalg.inv(centre)
    if later.random() < config.balanced_crops:
        shown = _pixel_of_some_class(later, mask.numpy())
        if shown is not None:
            x, y, _ = centre @ rotation @ back @ flip @ turn @ scale @ to_centres @ np.array([*shown, 1.0])
            left, top = _around(later, x, width, crop[1]), _around(later, y, height, crop[0])
    from_centres = _translation(-left - 0.5, -top - 0.5)
    transform: Matrix = from_centres @ centre @ rotation @ back @ flip @ turn @ scale @ to_centres
    return transform


def _pixel_of_some_class(rng: np.random.Generator, mask: NDArray[np.uint8]) -> tuple[float, float] | None:
    """Choose a class that a mask shows, each as likely, and one of its pixels: x, y; None for a mask of void."""
    classes = np.flatnonzero(np.bincount(mask.ravel(), minlength=IGNORE_INDEX + 1)[:IGNORE_INDEX])
    if not len(classes):
        return None
    found = np.flatnonzero(mask.ravel() == rng.choice(classes))
    y, x = divmod(int(rng.choice(found)), mask.shape[1])
    return float(x), float(y)


def _around(rng: np.random.Generator, position: float, length: float, crop: int) -> float:
    """Draw where a crop begins along an axis that shows a position; within the picture, as far as that is possible."""
    low, high = min(0.0, length - crop), max(0.0, length - crop)
    first, last = np.clip([position - crop, position], low, high)
    return float(rng.uniform(first, last))


def _translation(x: float, y: float) -> Matrix:
    return np.array([[1.0, 0, x], [0, 1, y], [0, 0, 1]])


def _jitter_colours(images: Tensor, draws: list[np.random.Generator], config: AugmentConfig) -> Tensor:
    """Change brightness, contrast, saturation and hue, one draw a picture; float (N, 3, H, W) in 0..255, in place."""
    changes = (
        (config.brightness, 1.0, adjust_brightness_accumulative),
        (config.contrast, 1.0, adjust_contrast_with_mean_subtraction),
        (config.saturation, 1.0, adjust_saturation_with_gray_subtraction),
        (config.hue * 2 * math.pi, 0.0, adjust_hue),
    )
    if not any(limit for limit, _, _ in changes):
        return images
    images = images.div_(255)
    for limit, neutral, change in changes:
        factors = [neutral + rng.uniform(-limit, limit) for rng in draws]
        if neutral:  # a factor, which must not turn a picture into its negative; hue is an angle
            factors = [max(0.0, factor) for factor in factors]
        if limit:
            factor = torch.tensor(factors, device=images.device, dtype=images.dtype)
            images = change(images, factor).clamp_(0, 1)
    return images.mul_(255)
