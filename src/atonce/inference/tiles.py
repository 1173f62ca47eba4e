"""Large pictures in overlapping tiles, a sliding window that is exact.

Memory is bounded by the tile, the result is that of the whole picture.

Every tile is cut at multiples of 32 pixels of the network's input, so that its pooling windows are the whole
picture's, and reaches as far beyond the part that is kept as any score there can depend on. What is kept is
therefore what the network gives for the whole picture, up to the rounding of floats.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from atonce.data.input_size import InputSize
from atonce.model import FCN
from atonce.model.fcn import CAFFE_OUTPUT_CROP
from atonce.model.vgg import BLOCKS
from atonce.progress import ProgressCallback
from atonce.recipes import FCNConfig

WHOLE_PIXELS = 4_000_000
"""Pictures up to this size at the network's first layer are segmented in one piece."""

LOGIT_PIXELS = 16_000_000
"""Up to this size results hold logits (C floats per pixel), beyond it labels only."""

# Bytes that the activations of a tile may take, and floats per pixel and channel of the first block that are
# alive at once: a convolution's input and output, and the copy of the output in the layout that it works in.
_TILE_BYTES = 480_000_000
_ALIVE = 3
_SMALLEST_CORE, _LARGEST_CORE = 512, 2048

# Logits that are upsampled to the picture's size at once, in values.
_BLOCK_VALUES = 1 << 24

Floats = NDArray[np.float32]
Taps = tuple[NDArray[np.int64], Floats]
"""Inputs along an axis, and their weights."""


@dataclass(frozen=True)
class Span:
    """A tile along one axis, in pixels of the network's input.

    Attributes:
        start, stop: the core, the part whose logits are kept.
        first, last: the part that goes through the network, the core and a margin on either side within the picture.
    """

    start: int
    stop: int
    first: int
    last: int


@dataclass(frozen=True)
class Block:
    """The logits of a part of the picture.

    Attributes:
        rows, columns: where the part lies in the picture.
        logits: float32 (C, h, w).
    """

    rows: slice
    columns: slice
    logits: torch.Tensor


def receptive_field_radius(config: FCNConfig) -> int:
    """Compute how far from a pixel, along an axis, the inputs lie that its score depends on: 245 pixels for FCN-8s.

    fc6 has a receptive field of 404 pixels (212 at pool5 and six more strides of 32); interpolation between the scores
    adds to that.
    """
    furthest = 0
    for pixel in range(32):
        first, last = _receptive_field(pixel, config)
        furthest = max(furthest, pixel - first, last - pixel)
    return furthest


def _receptive_field(pixel: int, config: FCNConfig) -> tuple[int, int]:
    """First and last input along an axis that reach an output through fc7, from the output back to the picture."""
    caffe = config.caffe_geometry
    low = high = pixel + (CAFFE_OUTPUT_CROP[config.stride] if caffe else 0)
    for factor in (config.stride, *(2 for _ in config.skips)):
        # Two scores make an interpolated one: those on either side of it.
        low = _left_neighbour(low, factor, caffe_geometry=caffe)
        high = _left_neighbour(high, factor, caffe_geometry=caffe) + 1
    low, high = (low, high + 6) if caffe else (low - 3, high + 3)
    for block, (_, count) in reversed(list(enumerate(BLOCKS, 1))):
        low, high = 2 * low - count, 2 * high + 1 + count
        if caffe and block == 1:
            low, high = low - 99, high - 99  # conv1_1 is padded by 100 instead of 1
    return low, high


def _left_neighbour(position: int, factor: int, *, caffe_geometry: bool) -> int:
    """The left one of the two scores between which a position of the upsampled scores lies."""
    return position // factor - 1 if caffe_geometry else (2 * position + 1 - factor) // (2 * factor)


def computed_pixels(config: FCNConfig, height: int, width: int) -> int:
    """The number of pixels that the first layer computes for a picture of the network's input size.

    Those of thin pictures are mostly border.
    """
    if config.caffe_geometry:
        return (height + 200) * (width + 200)
    return (height + -height % 32) * (width + -width % 32)


def margin(config: FCNConfig) -> int:
    """The radius of the receptive field and one pixel for the upsampling to the picture's size, as a multiple of 32."""
    return -(-(receptive_field_radius(config) + 1) // 32) * 32


def core_side(model: FCN) -> int:
    """The side of the core of a tile, such that the tile's activations take about half a gigabyte."""
    side = (_TILE_BYTES / (4 * _ALIVE * model.trunk.channels[0])) ** 0.5
    core = int(side - 2 * margin(model.config)) // 32 * 32
    return min(max(core, _SMALLEST_CORE), _LARGEST_CORE)


def spans(length: int, core: int, margin: int) -> list[Span]:
    """Cut an axis of `length` pixels into tiles; `core` and `margin` are multiples of 32."""
    starts = range(0, length, core)
    return [Span(s, min(s + core, length), max(s - margin, 0), min(s + core + margin, length)) for s in starts]


def blocks(
    network: Callable[[torch.Tensor], torch.Tensor],
    image: NDArray[np.uint8],
    input_size: InputSize,
    *,
    core: int,
    margin: int,
    progress: ProgressCallback | None = None,
) -> Iterator[Block]:
    """Yield the logits of a picture uint8 (H, W, 3), part by part; together the parts cover it once.

    Args:
        network: (1, 3, h, w) RGB 0..255, uint8 or float32 -> logits float32 (1, C, h, w) on the CPU.
        core, margin: in pixels of the network's input, multiples of 32.
        progress: called with the tiles done and all tiles.
    """
    height, width = image.shape[:2]
    size = input_size.apply(height, width)
    vertical, horizontal = (spans(length, core, margin) for length in size)
    row_taps, column_taps = bilinear_taps(size[0], height), bilinear_taps(size[1], width)
    total = len(vertical) * len(horizontal)
    for done in range(total):
        y, x = vertical[done // len(horizontal)], horizontal[done % len(horizontal)]
        tile = _network_input(image, size, y, x)
        # One row and column more than is kept: upsampling interpolates towards them.
        bottom, right = min(y.stop + 1, size[0]), min(x.stop + 1, size[1])
        logits = network(tile)[0, :, y.start - y.first : bottom - y.first, x.start - x.first : right - x.first]
        if size == (height, width):
            kept = logits[:, : y.stop - y.start, : x.stop - x.start]
            yield Block(slice(y.start, y.stop), slice(x.start, x.stop), kept)
        else:
            yield from _upsampled(logits, (row_taps, column_taps), y, x)
        if progress:
            progress(done + 1, total)


def part(
    network: Callable[[torch.Tensor], torch.Tensor],
    image: NDArray[np.uint8],
    input_size: InputSize,
    *,
    rows: slice,
    columns: slice,
    margin: int,
) -> torch.Tensor:
    """Compute the logits of any part of a picture uint8 (H, W, 3), as the network gives them for the whole of it.

    Args:
        network, margin: as for `blocks`.
        rows, columns: the part, in pixels of the picture.

    Returns:
        Logits float32 (C, rows, columns).
    """
    height, width = image.shape[:2]
    size = input_size.apply(height, width)
    taps = [bilinear_taps(seen, length) for seen, length in zip(size, (height, width), strict=True)]
    asked = (rows, columns)
    y, x = (_span_around(taps[axis][0][asked[axis]], size[axis], margin) for axis in (0, 1))
    logits = network(_network_input(image, size, y, x))[0, :, y.start - y.first : y.stop - y.first]
    logits = logits[:, :, x.start - x.first : x.stop - x.first]
    for axis, span in enumerate((y, x)):
        left, share = taps[axis]
        logits = _lerp(logits, axis + 1, left[asked[axis]] - span.start, share[asked[axis]])
    return logits


def _span_around(left: NDArray[np.int64], length: int, margin: int) -> Span:
    """Return the tile for the scores that are interpolated: those with these left neighbours, in ascending order."""
    # Both ends of what is computed are multiples of 32, or the picture's.
    start, stop = int(left[0]), min(int(left[-1]) + 2, length)
    first, last = max(start // 32 * 32 - margin, 0), min(-(-stop // 32) * 32 + margin, length)
    return Span(start, stop, first, last)


def bilinear_taps(before: int, after: int) -> Taps:
    """Compute the inputs along an axis, from `before` to `after` pixels, that bilinear interpolation makes pixels of:
    the left one of two neighbours, int64 (after,), and the right one's weight, float32 (after,)."""
    position = (np.arange(after, dtype=np.float32) + np.float32(0.5)) * np.float32(before / after) - np.float32(0.5)
    position = np.maximum(position, 0)
    left = position.astype(np.int64)
    return left, position - left.astype(np.float32)


def _upsampled(logits: torch.Tensor, taps: tuple[Taps, Taps], y: Span, x: Span) -> Iterator[Block]:
    """Yield the pixels of the picture whose left upper neighbour lies in the core, in bands of rows."""
    row_taps, column_taps = taps
    top, bottom = np.searchsorted(row_taps[0], (y.start, y.stop)).tolist()
    start, stop = np.searchsorted(column_taps[0], (x.start, x.stop)).tolist()
    band = max(1, _BLOCK_VALUES // max(1, (stop - start) * len(logits)))
    columns = slice(start, stop)
    for first in range(top, bottom, band):
        rows = slice(first, min(first + band, bottom))
        part = _lerp(logits, 1, row_taps[0][rows] - y.start, row_taps[1][rows])
        part = _lerp(part, 2, column_taps[0][columns] - x.start, column_taps[1][columns])
        yield Block(rows, columns, part)


def _lerp(values: torch.Tensor, axis: int, left: NDArray[np.int64], share: Floats) -> torch.Tensor:
    right = torch.from_numpy(np.minimum(left + 1, values.shape[axis] - 1))
    weight = torch.from_numpy(share).to(values.dtype).view([-1 if i == axis else 1 for i in range(3)])
    return torch.lerp(values.index_select(axis, torch.from_numpy(left)), values.index_select(axis, right), weight)


def _network_input(image: NDArray[np.uint8], size: tuple[int, int], y: Span, x: Span) -> torch.Tensor:
    """Compute a tile (1, 3, h, w) of what `predictor.network_input` makes of the whole picture, which has that size."""
    if size == image.shape[:2]:
        return torch.tensor(np.ascontiguousarray(image[y.first : y.last, x.first : x.last])).permute(2, 0, 1)[None]
    rows, row_weights = filter_taps(image.shape[0], size[0], y.first, y.last)
    columns, column_weights = filter_taps(image.shape[1], size[1], x.first, x.last)
    left = int(columns.min())
    part = image[:, left : int(columns.max()) + 1]
    narrow = np.zeros((len(rows), *part.shape[1:]), np.float32)
    for index, weights in zip(rows.T, row_weights.T, strict=True):
        narrow += weights[:, None, None] * part[index]
    tile = np.zeros((len(rows), len(columns), 3), np.float32)
    for index, weights in zip(columns.T - left, column_weights.T, strict=True):
        tile += weights[:, None] * narrow[:, index]
    return torch.from_numpy(tile).permute(2, 0, 1)[None]


def filter_taps(before: int, after: int, start: int, stop: int) -> Taps:
    """Compute the inputs (n, k) and their weights (n, k) for outputs start..stop of torch's antialiased bilinear
    interpolation along an axis, from `before` pixels to `after`."""
    ratio = np.float32(before / after)
    support = max(ratio, np.float32(1))
    centre = (np.arange(start, stop, dtype=np.float32) + np.float32(0.5)) * ratio
    first = np.maximum((centre - support + np.float32(0.5)).astype(np.int64), 0)
    index = first[:, None] + np.arange(int(np.ceil(2 * support)) + 1)
    distance = np.abs(index.astype(np.float32) - centre[:, None] + np.float32(0.5)) / support
    weights = np.where(index < before, np.maximum(1 - distance, 0), 0).astype(np.float32)
    weights /= weights.sum(1, keepdims=True)
    return np.minimum(index, before - 1), weights
