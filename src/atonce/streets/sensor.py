"""The sensor: one pixel from nine of the canvas, surface grain, tone curve and colours, blur and noise."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from atonce.labels import CAMVID
from atonce.streets.canvas import BUILDING, FENCE, PAVEMENT, ROAD, TREE, VOID
from atonce.streets.light import smooth_noise

SUPERSAMPLING = 3

# How rough a surface is, by class: share by which its brightness varies from pixel to pixel.
_GRAIN = np.zeros(256, np.float32)
_GRAIN[[BUILDING, ROAD, PAVEMENT, TREE, FENCE]] = 0.045, 0.05, 0.055, 0.13, 0.06
_PACKED = np.zeros(256, np.uint64)
_PACKED[: CAMVID.num_classes] = np.uint64(1) << np.arange(0, 4 * CAMVID.num_classes, 4, dtype=np.uint64)
_PACKED[VOID] = np.uint64(1) << np.uint64(4 * CAMVID.num_classes)


def majority_vote(ids: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Downsample ids (3H, 3W) to (H, W): the class that most of the nine are; void where none has four of them."""
    s = SUPERSAMPLING
    # Nine votes fit in four bits, twelve candidates in one word: all are counted by one sum.
    votes = np.zeros((ids.shape[0] // s, ids.shape[1] // s), np.uint64)
    for row in range(s):
        for column in range(s):
            votes += _PACKED[ids[row::s, column::s]]
    most = np.full(votes.shape, 3, np.uint8)
    winner = np.full(votes.shape, VOID, np.uint8)
    for label in (*range(CAMVID.num_classes), VOID):
        index = CAMVID.num_classes if label == VOID else label
        count = ((votes >> np.uint64(4 * index)) & np.uint64(15)).astype(np.uint8)
        ahead = count > most
        most[ahead], winner[ahead] = count[ahead], label
    return winner


def simulate_sensor(rng: np.random.Generator, picture: Image.Image, ids: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Make a photograph, uint8 (H, W, 3), of the canvas's picture (3W x 3H) and the final ids (H, W)."""
    height, width = ids.shape
    image = np.asarray(picture.reduce(SUPERSAMPLING), dtype=np.float32)
    grain = rng.standard_normal((height, width), dtype=np.float32) * 0.8
    grain += smooth_noise(rng, height, width, width // 3) + 0.5 * smooth_noise(rng, height, width, width // 12)
    image *= (1 + _GRAIN[ids] * grain)[..., None]
    rows, columns = np.ogrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    vignette = (1 - rng.uniform(0, 0.22) * (rows**2 + columns**2) / 2).astype(np.float32)
    gain = 1.22 * np.exp(rng.normal(0, 0.16)) * rng.normal(1, (0.035, 0.015, 0.045))
    image *= vignette[..., None] * gain.astype(np.float32)
    # A film-like shoulder: bright skies roll off to white instead of clipping.
    bright: NDArray[np.float32] = np.clip(image / 255, 0, None)
    contrast = float(rng.uniform(0.85, 1.2))
    bright = np.where(bright > 0.75, 0.75 + 0.25 * np.tanh((bright - 0.75) / 0.25), bright)
    image = 255 * bright**contrast
    grey = image.mean(axis=2, keepdims=True)
    image = grey + (image - grey) * float(rng.uniform(0.7, 1.15))
    soft = Image.fromarray(np.clip(image, 0, 255).astype(np.uint8)).filter(
        ImageFilter.GaussianBlur(rng.uniform(0, 0.45))
    )
    noise = rng.standard_normal((height, width, 3), dtype=np.float32) * np.float32(rng.uniform(1.0, 3.5))
    result: NDArray[np.uint8] = np.clip(np.asarray(soft, dtype=np.float32) + noise + 0.5, 0, 255).astype(np.uint8)
    return result
