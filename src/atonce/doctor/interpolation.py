"""Masks that were scaled smoothly or saved as JPEG: between two classes lie rims of values that nobody drew."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from atonce.data.images import FileError
from atonce.data.masks import index_values, is_colour
from atonce.data.sampling import evenly_spaced

_LONG, _SHORT = 3, 2
"""Pixels in a row: so many are a region, so few may be a step of a ramp."""
_STEPS = 8
"""Steps of a ramp at most: a border scaled up eight times has as many."""
_OVERSHOOT = 4
"""Steps from which a ramp may overshoot: fewer would be taken for thin things that stand close together."""
_LINES = 256
"""Rows and columns looked at: borders are everywhere, and a large mask need not be read whole twice."""
_FEWEST = 16
"""Ramps that make a case."""

# CamVid's 367 training masks: median 0.013, at most 0.058; scaled by nearest neighbour at most 0.16. The same masks
# scaled by 0.33 to 4, bilinear, bicubic or Lanczos: 0.63 at least; through JPEG at quality 75 or 95: 0.62 at least.
_SUSPICIOUS = 0.2

# JPEG's noise ends at the borders of its 8x8 blocks: more changes lie there than four pixels further on. Masks scaled
# up have such rhythms, too, but those of 2 and 4 are as strong in both places.
_BLOCKY = 1.4


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

    @property
    def suspicious(self) -> bool:
        return self.ramps >= _FEWEST and self.ramps > _SUSPICIOUS * (self.ramps + self.direct)

    @property
    def blocky(self) -> bool:
        return self.on_grid > _BLOCKY * max(1, self.off_grid)

    def describe(self) -> str:
        """What to say of a suspicious mask."""
        share = f"{100 * self.ramps / (self.ramps + self.direct):.0f} % of its borders are ramps of values in between"
        return f"{share}, in blocks of 8x8 as JPEG makes them" if self.blocky else share


def rims(path: Path, mask: Image.Image) -> BorderStatistics:
    """Look at a mask as it is in its file (any mode that has values or colours)."""
    levels = _levels(path, mask)
    rows, columns = _some_lines(levels), _some_lines(levels.T)
    return BorderStatistics(*(a + b for a, b in zip(_along(rows), _along(columns), strict=True)))


def _levels(path: Path, mask: Image.Image) -> NDArray[np.int32]:
    """int32 (H, W): what interpolation moves along a straight line, so that ramps can be seen in it."""
    if is_colour(mask):
        # One number for a colour; the factors keep apart what the three channels would cancel out.
        red, green, blue = (np.asarray(mask)[..., i].astype(np.int32) for i in range(3))
        return 2 * red + 3 * green + 7 * blue
    try:
        return index_values(path, mask).astype(np.int32)
    except FileError:
        return np.zeros((1, 1), np.int32)


def _some_lines(levels: NDArray[np.int32]) -> NDArray[np.int32]:
    return np.ascontiguousarray(levels[evenly_spaced(range(len(levels)), _LINES)])


def _along(lines: NDArray[np.int32]) -> tuple[int, int, int, int]:
    """direct, ramps, on_grid and off_grid along each line of (L, N)."""
    starts = np.ones(lines.shape, bool)
    starts[:, 1:] = lines[:, 1:] != lines[:, :-1]
    at = np.flatnonzero(starts)
    if at.size < 2:
        return 0, 0, 0, 0
    line, column = np.divmod(at, lines.shape[1])
    value = lines.ravel()[at]
    length = np.diff(np.append(at, lines.size))
    on_grid, off_grid = (int(np.count_nonzero((column > 0) & (column % 8 == rest))) for rest in (0, 4))
    direct = ramps = 0
    for steps in range(_STEPS + 1):
        count = len(value) - steps - 1
        if count <= 0:
            break
        first, last = slice(0, count), slice(steps + 1, None)
        climb = value[last] - value[first]
        fits = (line[first] == line[last]) & (length[first] >= _LONG) & (length[last] >= _LONG)
        if steps == 0:
            direct = int(np.count_nonzero(fits & (np.abs(climb) > 1)))
            continue
        for i in range(steps + 1):
            here, after = value[i : i + count], value[i + 1 : i + 1 + count]
            # Bicubic and Lanczos overshoot: in a long ramp the first and the last step may go the other way.
            free = steps >= _OVERSHOOT and i in (0, steps)
            fits &= free | (np.sign(after - here) == np.sign(climb))
            fits &= (i == 0) | (length[i : i + count] <= _SHORT)
        ramps += int(np.count_nonzero(fits))
    return direct, ramps, on_grid, off_grid
