"""Detect masks that were interpolated or saved as JPEG: their borders are ramps of values that nobody drew."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from atonce.data.images import FileError
from atonce.data.masks import index_values, is_colour
from atonce.data.sampling import evenly_spaced

_Pixel = TypeVar("_Pixel", np.int32, np.bool_)

_MIN_REGION, _MAX_STEP = 3, 2
"""Pixels in a row: from so many on they are a region, up to so many they may be a step of a ramp."""
_MAX_STEPS = 8
"""The most steps of a ramp: a border scaled up eight times has as many."""
_MIN_OVERSHOOTING_STEPS = 4
"""The steps from which on a ramp may overshoot: fewer would be taken for thin things that stand close together."""
_MAX_LINES = 256
"""The most rows, and columns, that are read: borders are everywhere, and a large mask need not be read whole twice."""
_MIN_RAMPS = 16
"""The fewest ramps that are evidence."""

# CamVid's 367 training masks: median 0.013, at most 0.058; scaled by nearest neighbour at most 0.16. The same masks
# scaled by 0.33 to 4, bilinear, bicubic or Lanczos: 0.63 at least; through JPEG at quality 75 or 95: 0.62 at least.
_SUSPICIOUS_SHARE = 0.2

# JPEG's noise ends at the borders of its 8x8 blocks: more changes lie there than four pixels further on. Masks scaled
# up have such rhythms, too, but those of 2 and 4 are as strong in both places.
_BLOCKY_RATIO = 1.4


@dataclass(frozen=True)
class BorderStatistics:
    """Borders between two regions along the rows and columns of a mask.

    Attributes:
        direct: one region ends where the other begins, and a value would fit between theirs.
        ramps: thin steps lie between them whose values climb, or fall, from one to the other.
        on_grid: changes of the value that lie on a border of 8x8 blocks.
        off_grid: those that lie in the middle between two such borders.
    """

    direct: int = 0
    ramps: int = 0
    on_grid: int = 0
    off_grid: int = 0

    def __add__(self, other: BorderStatistics) -> BorderStatistics:
        return BorderStatistics(
            direct=self.direct + other.direct,
            ramps=self.ramps + other.ramps,
            on_grid=self.on_grid + other.on_grid,
            off_grid=self.off_grid + other.off_grid,
        )

    @property
    def suspicious(self) -> bool:
        """True where more borders are ramps than anybody draws."""
        return self.ramps >= _MIN_RAMPS and self.ramps > _SUSPICIOUS_SHARE * (self.ramps + self.direct)

    @property
    def blocky(self) -> bool:
        """True where values change on the borders of JPEG's blocks more often than elsewhere."""
        return self.on_grid > _BLOCKY_RATIO * max(1, self.off_grid)

    def describe(self) -> str:
        """Describe a suspicious mask in words."""
        share = f"{100 * self.ramps / (self.ramps + self.direct):.0f} % of its borders are ramps of values in between"
        return f"{share}, in blocks of 8x8 as JPEG makes them" if self.blocky else share


def border_statistics(path: Path, mask: Image.Image, void: NDArray[np.bool_] | None = None) -> BorderStatistics:
    """Count the borders of a mask as it is in its file (any mode that has values or colours).

    Args:
        path: its file, for messages.
        void: bool (H, W), pixels that are void, where that is known: a thin line of void between two regions was
            drawn there, and is no step of a ramp.
    """
    levels = _levels(path, mask)
    if void is None or void.shape != levels.shape:
        void = np.zeros(levels.shape, bool)
    rows, columns = (
        _count_along(_sampled_lines(numbers), _sampled_lines(drawn))
        for numbers, drawn in ((levels, void), (levels.T, void.T))
    )
    return rows + columns


def _levels(path: Path, mask: Image.Image) -> NDArray[np.int32]:
    """Return int32 (H, W), numbers that interpolation moves along a straight line, so that ramps can be seen."""
    if is_colour(mask):
        # One number for a colour; the factors keep apart what the three channels would cancel out.
        red, green, blue = (np.asarray(mask)[..., i].astype(np.int32) for i in range(3))
        return 2 * red + 3 * green + 7 * blue
    try:
        return index_values(path, mask).astype(np.int32)
    except FileError:
        return np.zeros((1, 1), np.int32)


def _sampled_lines(pixels: NDArray[_Pixel]) -> NDArray[_Pixel]:
    return np.ascontiguousarray(pixels[evenly_spaced(range(len(pixels)), _MAX_LINES)])


def _count_along(lines: NDArray[np.int32], void: NDArray[np.bool_]) -> BorderStatistics:
    """Count the borders along each line of (L, N)."""
    starts = np.ones(lines.shape, bool)
    starts[:, 1:] = lines[:, 1:] != lines[:, :-1]
    at = np.flatnonzero(starts)
    if at.size < 2:
        return BorderStatistics()
    line, column = np.divmod(at, lines.shape[1])
    value = lines.ravel()[at]
    length = np.diff(np.append(at, lines.size))
    may_step = (length <= _MAX_STEP) & ~void.ravel()[at]
    on_grid, off_grid = (int(np.count_nonzero((column > 0) & (column % 8 == rest))) for rest in (0, 4))
    direct = ramps = 0
    for steps in range(_MAX_STEPS + 1):
        count = len(value) - steps - 1
        if count <= 0:
            break
        first, last = slice(0, count), slice(steps + 1, None)
        rise = value[last] - value[first]
        fits = (line[first] == line[last]) & (length[first] >= _MIN_REGION) & (length[last] >= _MIN_REGION)
        if steps == 0:
            direct = int(np.count_nonzero(fits & (np.abs(rise) > 1)))
            continue
        for i in range(steps + 1):
            here, after = value[i : i + count], value[i + 1 : i + 1 + count]
            # Bicubic and Lanczos overshoot: in a long ramp the first and the last step may go the other way.
            free = steps >= _MIN_OVERSHOOTING_STEPS and i in (0, steps)
            fits &= free | (np.sign(after - here) == np.sign(rise))
            fits &= (i == 0) | may_step[i : i + count]
        ramps += int(np.count_nonzero(fits))
    return BorderStatistics(direct=direct, ramps=ramps, on_grid=on_grid, off_grid=off_grid)
