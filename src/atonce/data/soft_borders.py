"""Soft borders of masks: the pixels between two regions whose value lies between theirs, and that no class has.

Whoever paints masks with a brush, or scales them, gets them: anti-aliasing, interpolation and JPEG mix the colours of
the two regions along their border. A mixture is no class; it is snapped to one of the two, or to void.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from atonce.data.class_statistics import count_values
from atonce.data.sampling import evenly_spaced

Levels = NDArray[np.int32]
"""The numbers of a mask as they mix, (H, W, K): those of an index mask (K = 1), or red, green and blue (K = 3)."""

DEFAULT_WIDTH = 3
"""Pixels: as far from a class reach the borders that a brush, or scaling by less than a factor of six, leaves soft."""

MAX_WIDTH = 32

_REACH = 12
"""Pixels to either side in which the two regions of a border are looked for: the outermost step of a ramp is next to
the one and the whole ramp away from the other, and scaling by four leaves ramps of twelve pixels."""

_SOLID = 0.1
"""Share of a value's pixels that are inside of regions, from which on these are regions that somebody drew. Squares of
3x3 pixels have it; where a ramp turns a corner or is flat at its end, nine pixels are equal by chance: under 0.06."""

_ROUNDING, _OVERSHOOT = 2, 0.15
"""A mixture lies between two values up to rounding, and up to this share of their difference: bicubic and Lanczos
filters overshoot by as much."""

_NOISE = 8
"""Levels of each colour channel up to which a colour is the noise of JPEG around another one."""

_MOST_SAMPLED = 20_000
"""Pixels of a mask that are looked at, evenly spaced: photographs in the place of masks have millions."""

_MOST_ENDS = 40
"""Colours of regions between which lines are drawn."""

_MOST_VALUES = 2048
"""The most values without a region whose use is counted one by one; photographs have a hundred times as many."""

MOST_MIXTURE = 0.04
"""Share of the pixels above which a value is no mixture: classes that are small regions everywhere have no pixel inside
either."""

THIN_SHARE = 0.0005
"""Share of the pixels above which a colour is meant though it nowhere fills a region: poles are thin."""

_MOSTLY = 0.5
"""Share of a value's pixels that must lie between two regions."""


@dataclass(frozen=True)
class BorderRule:
    """The rule for pixels of no class along the borders of regions: `borders` and `border_width` of classes.yaml.

    Attributes:
        to: "nearest" gives such a pixel the class, among those next to it, whose value or colour is nearest; "void"
            leaves it out of the loss and of every score.
        width: pixels (of the larger of the two distances, along rows and along columns) that such a pixel may be away
            from the nearest one of a class; one that is farther away is an error, as without the rule.
    """

    to: Literal["nearest", "void"] = "nearest"
    width: int = DEFAULT_WIDTH


def nearest_known(levels: Levels, unknown: NDArray[np.bool_], width: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Find for each unknown pixel a known one close by whose value is nearest to its own.

    Among the known pixels at the smallest distance the nearest value decides, not among all classes: halfway between
    black and white lies grey, which may be a class that is nowhere near.

    Args:
        levels: the mask.
        unknown: bool (H, W).
        width: how far to look.

    Returns:
        For the N unknown pixels, in the order of `np.flatnonzero(unknown)`: flat indices of the known pixels, -1 where
        none is near enough; and their distances, 0 where there is none.
    """
    height, columns = unknown.shape
    flat, known = levels.reshape(-1, levels.shape[2]), ~unknown.ravel()
    pixels = np.flatnonzero(unknown)
    source, distance = np.full(pixels.size, -1, np.intp), np.zeros(pixels.size, np.intp)
    pending = np.arange(pixels.size)
    for radius in range(1, width + 1):
        row, column = np.divmod(pixels[pending], columns)
        best = np.full(pending.size, np.iinfo(np.int64).max)
        for down, right in _ring(radius):
            y, x = row + down, column + right
            inside = (y >= 0) & (y < height) & (x >= 0) & (x < columns)
            other = np.where(inside, y * columns + x, 0)
            apart = ((flat[other] - flat[pixels[pending]]).astype(np.int64) ** 2).sum(1)
            nearer = inside & known[other] & (apart < best)
            best[nearer], source[pending[nearer]] = apart[nearer], other[nearer]
        found = source[pending] >= 0
        distance[pending[found]] = radius
        pending = pending[~found]
        if not pending.size:
            break
    return source, distance


def _ring(radius: int) -> Iterator[tuple[int, int]]:
    """Yield the steps to the pixels at a distance, along rows or columns; the straight ones first."""
    steps = [(a, b) for a in range(-radius, radius + 1) for b in range(-radius, radius + 1)]
    yield from sorted((s for s in steps if max(map(abs, s)) == radius), key=lambda s: (abs(s[0]) + abs(s[1]), s))


@dataclass
class ValueUse:
    """The way in which a mask, or several, use a value or colour.

    Attributes:
        pixels: those that have it.
        inside: those of them whose eight neighbours have it, too: a border has none.
        sampled: pixels outside of regions that were looked at.
        between: those of them that lie between two regions, with a value between theirs or next to one of theirs.
    """

    pixels: int = 0
    inside: int = 0
    sampled: int = 0
    between: int = 0

    def add(self, other: ValueUse) -> None:
        """Add the use in another mask."""
        self.pixels += other.pixels
        self.inside += other.inside
        self.sampled += other.sampled
        self.between += other.between

    @property
    def fills_regions(self) -> bool:
        """True for a value that has regions, not just a few pixels in a ramp whose neighbours are equal by chance."""
        return self.inside > 0 and self.inside >= _SOLID * self.pixels

    @property
    def along_borders(self) -> bool:
        """True for a value that occurs between regions only, as a mixture of those on both sides."""
        return not self.fills_regions and self.sampled > 0 and self.between >= _MOSTLY * self.sampled


@dataclass
class ValueUses:
    """The use of each value of a mask, or of several.

    Attributes:
        by_value: value, as one number (`colour_code` for colours) -> its use.
        rare: the use of all values that are too many and too rare to be counted one by one.
    """

    by_value: dict[int, ValueUse] = field(default_factory=dict)
    rare: ValueUse = field(default_factory=ValueUse)

    def add(self, others: ValueUses) -> None:
        """Add those of another mask."""
        for value, use in others.by_value.items():
            self.by_value.setdefault(value, ValueUse()).add(use)
        self.rare.add(others.rare)

    def regions(self) -> list[int]:
        """Return the values that fill regions."""
        return [value for value, use in self.by_value.items() if use.fills_regions]

    def is_mixture(self, value: int) -> bool:
        """Tell whether a value occurs as a mixture along borders only, and so seldom as one mixture does."""
        use = self.by_value.get(value, self.rare)
        return use.along_borders and (use is self.rare or use.pixels <= MOST_MIXTURE * self.pixels)

    @property
    def pixels(self) -> int:
        """The number of pixels of all values."""
        return sum(use.pixels for use in self.by_value.values()) + self.rare.pixels


def value_uses(values: NDArray[np.integer], levels: Levels, known: Mapping[int, object] | None = None) -> ValueUses:
    """Count how a mask uses each of its values.

    Args:
        values: (H, W), each value or colour as one number.
        levels: the same, as it mixes.
        known: values that are classes, whether or not they have a pixel inside of a region.
    """
    pixels = count_values(values)
    inside = Counter[int]()
    if min(values.shape) > 2:
        inside = count_values(values[1:-1, 1:-1][_same_as_neighbours(values)])
    counted = {value for value, _ in pixels.most_common(_MOST_VALUES)} | inside.keys()
    found = ValueUses({value: ValueUse(pixels=pixels[value], inside=inside[value]) for value in counted})
    found.rare.pixels = pixels.total() - sum(pixels[value] for value in counted)
    regions = np.array(sorted({*found.regions(), *(known or ())} & pixels.keys()), np.int64)
    of_region = np.isin(values, regions)
    outside = np.flatnonzero(~of_region)
    if outside.size and regions.size:
        at = outside[evenly_spaced(range(outside.size), _MOST_SAMPLED)]
        between = _between_regions(levels, of_region, at)
        for value, sampled in count_values(values.ravel()[at]).items():
            found.by_value.get(value, found.rare).sampled += sampled
        for value, count in count_values(values.ravel()[at[between]]).items():
            found.by_value.get(value, found.rare).between += count
    return found


def _same_as_neighbours(values: NDArray[np.integer]) -> NDArray[np.bool_]:
    """True where all eight neighbours have the same value: bool (H - 2, W - 2), without the outermost pixels."""
    in_row = (values[:, 1:-1] == values[:, :-2]) & (values[:, 1:-1] == values[:, 2:])
    same = in_row[1:-1] & in_row[:-2] & in_row[2:]
    middle = values[:, 1:-1]
    same &= (middle[1:-1] == middle[:-2]) & (middle[1:-1] == middle[2:])
    return np.asarray(same, bool)


def on_segments(values: NDArray[np.int64], ends: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Tell for colours (N, 3) whether they lie on a line between two others (M, 3), as mixtures of these do.

    Of more than 40 ends, which would fill the space with lines, none is looked at.
    """
    found = np.zeros(len(values), bool)
    if len(ends) > _MOST_ENDS:
        return found
    points = values.astype(np.float64)
    for i, one in enumerate(ends.astype(np.float64)):
        for other in ends[i + 1 :].astype(np.float64):
            along = other - one
            share = ((points - one) @ along / max(1.0, along @ along)).clip(-_OVERSHOOT, 1 + _OVERSHOOT)
            found |= np.abs(points - one - share[:, None] * along).max(1) <= _ROUNDING + 1
    return found


def in_regions(values: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Tell for each pixel, bool (H, W), whether it belongs to a region: 3x3 pixels, it among them, have its value."""
    member = np.zeros(values.shape, bool)
    if min(values.shape) > 2:
        inside = _same_as_neighbours(values)
        for down in range(3):
            for right in range(3):
                member[down : down + inside.shape[0], right : right + inside.shape[1]] |= inside
    return member


def mixed_into_a_class(levels: Levels, member: NDArray[np.bool_], at: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Tell for pixels (flat indices) outside of regions whether they look like a class but are mixtures of two others:
    halfway between black and white lies grey.

    Such a pixel lies between two regions, has a value between theirs and near neither, and touches no region of its own
    value.

    Args:
        member: bool (H, W), see `in_regions`.
    """
    height, width = member.shape
    flat, region = levels.reshape(-1, levels.shape[2]), member.ravel()
    row, column = np.divmod(at, width)
    own, mixed = flat[at], np.zeros(at.size, bool)
    near = _NOISE if levels.shape[2] == 3 else _ROUNDING
    for one, two, both in _sides(flat, region, at, (height, width)):
        low, high = np.minimum(one, two), np.maximum(one, two)
        between = ((own >= low - _ROUNDING) & (own <= high + _ROUNDING)).all(1)
        apart = (np.abs(own - one) > near).any(1) & (np.abs(own - two) > near).any(1)
        mixed |= both & between & apart
    for down, right in _ring(1):
        y, x = row + down, column + right
        inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
        other = np.where(inside, y * width + x, 0)
        mixed &= ~(inside & region[other] & (np.abs(own - flat[other]) <= near).all(1))
    return mixed


def _between_regions(levels: Levels, of_region: NDArray[np.bool_], at: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Tell whether pixels (flat indices) are mixtures of the regions to both sides, or noise of one of them."""
    flat, region = levels.reshape(-1, levels.shape[2]), of_region.ravel()
    own, found = flat[at], np.zeros(at.size, bool)
    for one, two, both in _sides(flat, region, at, of_region.shape):
        low, high = np.minimum(one, two), np.maximum(one, two)
        slack = _ROUNDING + _OVERSHOOT * (high - low)
        differ = (low != high).any(1)
        found |= both & differ & ((own >= low - slack) & (own <= high + slack)).all(1)
        if levels.shape[2] == 3:  # numbers so close together may be the ids of classes
            for value in (one, two):
                found |= (np.abs(own - value) <= _NOISE).all(1)
    return found


def _sides(
    flat: NDArray[np.int32],
    region: NDArray[np.bool_],
    at: NDArray[np.intp],
    shape: tuple[int, ...],
) -> Iterator[tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.bool_]]]:
    """Look for the regions to both sides of pixels: along the row, the column and the diagonals.

    Args:
        flat: levels (H * W, K).
        region: bool (H * W,), pixels that belong to a region.
        at: indices (N,) of the pixels.
        shape: H and W.

    Yields:
        The levels (N, K) of the regions on the one and on the other side, far away from all values where there is none,
        and whether there are both, bool (N,).
    """
    height, width = shape
    row, column = np.divmod(at, width)
    for down, right in ((0, 1), (1, 0), (1, 1), (1, -1)):
        values, there = [], []
        for sign in (-1, 1):
            first = np.full(at.size, -1, np.intp)
            for step in range(1, _REACH + 1):
                y, x = row + sign * step * down, column + sign * step * right
                inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
                other = np.where(inside, y * width + x, 0)
                first = np.where((first < 0) & inside & region[other], other, first)
            there.append(first >= 0)
            values.append(np.where(there[-1][:, None], flat[np.maximum(first, 0)], np.int32(-(2**30))))
        yield values[0], values[1], there[0] & there[1]
