"""A VGG-16 whose few numbers that are not zero follow a rule, so that its files compress to a few kilobytes.

Real tools wrote it in their own formats (`fixtures/make_fixtures.py`) and computed what it says to `picture()`.
NumPy alone: the script that makes the fixtures runs where neither torch nor atonce is.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

CHANNELS = {
    f"conv{block}_{i}": (outputs, inputs if i == 1 else outputs)
    for block, (outputs, inputs, count) in enumerate(
        ((64, 3, 2), (128, 64, 2), (256, 128, 3), (512, 256, 3), (512, 512, 3)), 1
    )
    for i in range(1, count + 1)
}
HEAD = 8
"""Channels of fc6 and fc7."""


def picture(height: int, width: int) -> NDArray[np.uint8]:
    """An RGB picture (H, W, 3) whose channels differ, with edges in all directions."""
    y, x, c = np.mgrid[:height, :width, :3]
    return ((37 * y + 91 * x + 53 * c + x * y // 3) % 256).astype(np.uint8)


def kernel(name: str) -> Array:
    """A convolution's kernel (H, W, in, out): two or three taps for each output, over RGB in conv1_1."""
    outputs, inputs = CHANNELS[name]
    result = np.zeros((3, 3, inputs, outputs), np.float32)
    for o in range(outputs):
        # Another tap of another channel for each: an exchanged axis or a reversed order shows.
        result[o % 3, o // 3 % 3, (5 * o + 1) % inputs, o] += 1.25
        result[1, (o + 1) % 3, (3 * o + 2) % inputs, o] -= 0.5 + 0.125 * (o % 3)
        result[(o + 2) % 3, 1, o % inputs, o] += 0.5
    # conv1_1 is given values up to 128; the rest keep activations of ordinary size.
    return result * np.float32(1 / 64 if name == "conv1_1" else 0.75)


def bias(name: str) -> Array:
    outputs = CHANNELS[name][0]
    return (np.arange(outputs) % 5 / 16 - 1 / 16).astype(np.float32)


def fc6() -> Array:
    """fc6 as a kernel (7, 7, 512, HEAD): 49 taps for each output."""
    result = np.zeros((7, 7, 512, HEAD), np.float32)
    for o in range(HEAD):
        for i in range(49):
            result[i // 7, i % 7, (61 * o + 17 * i) % 512, o] = 0.25 - 0.0625 * ((i + o) % 6)
    return result


def fc7() -> Array:
    """fc7 as a matrix (in, out)."""
    i, o = np.mgrid[:HEAD, :HEAD]
    return ((3 * i + 5 * o) % 7 / 8 - 0.25).astype(np.float32)


def head_bias() -> Array:
    return (np.arange(HEAD) / 8 - 0.125).astype(np.float32)
