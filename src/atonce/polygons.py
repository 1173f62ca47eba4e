"""Polygons of masks and masks of polygons: tracing, simplification, filling.

Coordinates are those of COCO, labelme and CVAT: x to the right, y down, and the pixel in column x and row y is the
square from (x, y) to (x + 1, y + 1). A pixel belongs to a polygon when its centre lies inside by the even-odd rule.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

_MOST_CROSSINGS, _FEW_PIXELS = 4, 1 << 18
"""Times that the edges may cross each row of pixel centres, for each of its pixels; what goes round pixels, or between
them, crosses no more. A megabyte of zigzag down a long picture would take a hundred gigabytes."""

Ring = NDArray[np.float64]
"""The points (N, 2) of a closed line, x and y; the first one is not repeated at the end."""

Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Polygon:
    """A connected area and its holes.

    Attributes:
        exterior: its outline, (N, 2) x and y.
        holes: the outlines of its holes.
    """

    exterior: Ring
    holes: tuple[Ring, ...] = ()

    @property
    def rings(self) -> tuple[Ring, ...]:
        """The outline and those of the holes."""
        return (self.exterior, *self.holes)

    @property
    def area(self) -> float:
        """Its area in pixels, without the holes."""
        return ring_area(self.exterior) - sum(map(ring_area, self.holes))

    @property
    def bbox(self) -> tuple[float, float, float, float]:
        """The bounding box as COCO writes it: x, y, width, height."""
        x, y = self.exterior.min(0).tolist()
        right, bottom = self.exterior.max(0).tolist()
        return x, y, right - x, bottom - y

    def mask(self, height: int, width: int) -> Mask:
        """Fill the polygon: bool (height, width)."""
        return fill_polygons([self], height, width)


def ring_area(ring: Ring) -> float:
    """Compute the area inside a ring, by the shoelace formula; 0 or more, whichever way round it goes."""
    x, y = (ring - ring[0])[:, 0], (ring - ring[0])[:, 1]
    return abs(float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))) / 2


def trace_mask(mask: Mask, *, simplify: float = 0.0, min_area: float = 0.0) -> list[Polygon]:
    """Trace the connected areas of a mask (H, W).

    Args:
        simplify: pixels by which an outline may be off. At 0 it runs along the edges of the pixels: `fill_polygons`
            gives back the mask exactly, and the area of a polygon is the number of its pixels. Above, it is the
            outline with its corners cut, with as few points as that distance allows (Douglas and Peucker 1973).
        min_area: areas of fewer pixels are left out, and holes of fewer pixels are closed.

    Returns:
        Polygons from top to bottom; none where the mask is empty. One whose outline would collapse keeps all points.
    """
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not rows.size:
        return []
    top, left = int(rows[0]), int(columns[0])
    part = np.pad(mask[top : rows[-1] + 1, left : columns[-1] + 1], 1)
    polygons = []
    for outlines in _outlines(part):
        # A pixel's centre lies at (0.5, 0.5) of it, and the padding took one pixel.
        moved = [outline + np.array([left - 0.5, top - 0.5]) for outline in outlines]
        exterior, *holes = [_along_pixels(outline) for outline in moved]
        kept = [ring_area(hole) >= min_area for hole in holes]
        whole = Polygon(exterior, tuple(hole for hole, keep in zip(holes, kept, strict=True) if keep))
        if whole.area < min_area:
            continue
        if simplify > 0:
            chosen = [moved[0], *(outline for outline, keep in zip(moved[1:], kept, strict=True) if keep)]
            whole = _simplified(whole, chosen, simplify)
        polygons.append(whole)
    return sorted(polygons, key=lambda polygon: (polygon.exterior[:, 1].min(), polygon.exterior[:, 0].min()))


def _outlines(padded: Mask) -> Iterable[list[Ring]]:
    """Yield the outline of each connected area and those of its holes, through the middles of the pixels' edges."""
    from contourpy import FillType, contour_generator

    generator = contour_generator(z=padded.astype(np.float32), name="serial", fill_type=FillType.OuterOffset)
    # Between pixels of 0 and of 1, the level 0.5 is crossed halfway.
    points, offsets = cast("tuple[list[Any], list[Any]]", generator.filled(0.5, 2.0))
    for line, cuts in zip(points, offsets, strict=True):
        # The last point of each ring repeats its first.
        yield [line[a : b - 1] for a, b in zip(cuts[:-1].tolist(), cuts[1:].tolist(), strict=True)]


def _along_pixels(outline: Ring) -> Ring:
    """Turn an outline through the middles of pixels' edges into the one along these edges, corners only.

    The middle of a vertical edge has a whole x, that of a horizontal one a whole y: between a point of one kind and
    one of the other lies the corner that has both.
    """
    vertical = outline[:, 0] == np.floor(outline[:, 0])
    following, next_vertical = np.roll(outline, -1, 0), np.roll(vertical, -1)
    x = np.where(vertical, outline[:, 0], following[:, 0])
    y = np.where(vertical, following[:, 1], outline[:, 1])
    corners: Ring = np.stack([x, y], 1)[vertical != next_vertical]
    return corners


def _simplified(whole: Polygon, outlines: Sequence[Ring], tolerance: float) -> Polygon:
    exterior, *holes = [simplify_ring(outline, tolerance) for outline in outlines]
    if len(exterior) < 3 or ring_area(exterior) == 0:
        return whole
    return Polygon(exterior, tuple(hole for hole in holes if len(hole) > 2 and ring_area(hole) > 0))


def simplify_ring(ring: Ring, tolerance: float) -> Ring:
    """Leave out points of a ring, none of which then lies further than `tolerance` from it (Douglas and Peucker)."""
    if len(ring) < 4:
        return ring
    opposite = int(((ring - ring[0]) ** 2).sum(1).argmax())
    closed = np.concatenate([ring, ring[:1]])
    keep = np.zeros(len(closed), bool)
    keep[[0, opposite, -1]] = True
    waiting = [(0, opposite), (opposite, len(ring))]
    while waiting:
        first, last = waiting.pop()
        if last - first < 2:
            continue
        distances = _distances(closed[first + 1 : last], closed[first], closed[last])
        furthest = int(distances.argmax())
        if distances[furthest] > tolerance:
            middle = first + 1 + furthest
            keep[middle] = True
            waiting += [(first, middle), (middle, last)]
    return ring[keep[:-1]]


def _distances(points: Ring, start: Ring, end: Ring) -> NDArray[np.float64]:
    """Compute the distances (N,) of points (N, 2) from the segment between two."""
    along = end - start
    length = float(along @ along)
    share = np.clip((points - start) @ along / length, 0, 1) if length else np.zeros(len(points))
    distances: NDArray[np.float64] = np.hypot(*(points - start - share[:, None] * along).T)
    return distances


def fill_polygons(polygons: Iterable[Polygon], height: int, width: int) -> Mask:
    """Fill polygons: bool (height, width), True where a pixel's centre lies inside one of them, and in no hole of it.

    What lies beyond the picture is left out.

    Raises:
        ValueError: an outline that goes up and down all over the picture, many times for each of its columns.
    """
    filled = np.zeros((height, width), bool)
    for polygon in polygons:
        top, left, part = _filled_part(polygon, height, width)
        filled[top : top + part.shape[0], left : left + part.shape[1]] |= part
    return filled


def paint_polygon(canvas: NDArray[np.uint8], polygon: Polygon, value: int) -> None:
    """Set the pixels of a polygon in a picture of numbers, uint8 (H, W), in place."""
    top, left, part = _filled_part(polygon, *canvas.shape)
    canvas[top : top + part.shape[0], left : left + part.shape[1]][part] = value


def _filled_part(polygon: Polygon, height: int, width: int) -> tuple[int, int, Mask]:
    """Fill a polygon within its bounding box, as far as that lies in the picture: first row, first column, pixels."""
    limits = np.array([width, height])
    left, top = np.clip(np.floor(polygon.exterior.min(0)), 0, limits).astype(int).tolist()
    right, bottom = np.clip(np.ceil(polygon.exterior.max(0)), 0, limits).astype(int).tolist()
    if left >= right or top >= bottom:
        return 0, 0, np.zeros((0, 0), bool)
    rings = [ring - np.array([left, top]) for ring in polygon.rings]
    return top, left, _fill_rings(rings, bottom - top, right - left)


def _fill_rings(rings: Sequence[Ring], height: int, width: int) -> Mask:
    """Count for each pixel's centre the edges to its left: inside, their number is odd."""
    start = np.concatenate(rings)
    end = np.concatenate([np.roll(ring, -1, 0) for ring in rings])
    lower, upper = np.minimum(start[:, 1], end[:, 1]), np.maximum(start[:, 1], end[:, 1])
    # The rows whose centres an edge passes, its lower end included and its upper end not.
    first, stop = (np.clip(np.ceil(y - 0.5), 0, height).astype(int) for y in (lower, upper))
    counts = stop - first
    if int(counts.sum()) > _MOST_CROSSINGS * (height * width + _FEW_PIXELS):
        raise ValueError("an outline that crosses the picture again and again")
    edge = np.repeat(np.arange(len(start)), counts)
    row = np.arange(len(edge)) - np.repeat(np.cumsum(counts) - counts, counts) + first[edge]
    (x0, y0), (x1, y1) = start[edge].T, end[edge].T
    x = x0 + (row + 0.5 - y0) * (x1 - x0) / (y1 - y0)
    column = np.clip(np.ceil(x - 0.5), 0, width).astype(int)
    crossed = np.bincount(row * (width + 1) + column, minlength=height * (width + 1)).reshape(height, width + 1)
    inside: Mask = np.cumsum(crossed, 1)[:, :width] % 2 == 1
    return inside


def join_holes(polygon: Polygon) -> Ring:
    """Join the holes of a polygon to its outline by cuts of no width: one ring that fills the same pixels.

    For formats that know no holes (labelme).
    """
    ring = polygon.exterior
    # From left to right, so that what lies to the left of a hole has been joined already.
    for hole in sorted(polygon.holes, key=lambda hole: float(hole[:, 0].min())):
        index = int(hole[:, 0].argmin())
        turned = np.roll(hole, -index, 0)
        edge, point = _edge_to_the_left(ring, turned[0])
        ring = np.concatenate([ring[: edge + 1], [point], turned, turned[:1], [point], ring[edge + 1 :]])
    return ring


def _edge_to_the_left(ring: Ring, point: Ring) -> tuple[int, Ring]:
    """Find the edge of a ring that a horizontal line from a point meets first to its left, and where it does."""
    end = np.roll(ring, -1, 0)
    y = point[1]
    crosses = np.flatnonzero((np.minimum(ring[:, 1], end[:, 1]) <= y) & (y < np.maximum(ring[:, 1], end[:, 1])))
    (x0, y0), (x1, y1) = ring[crosses].T, end[crosses].T
    x = x0 + (y - y0) * (x1 - x0) / (y1 - y0)
    left = np.flatnonzero(x <= point[0])
    if not left.size:
        # Outlines that touch in this very point, or that were simplified across each other.
        nearest = int(((ring - point) ** 2).sum(1).argmin())
        return nearest, ring[nearest]
    best = left[x[left].argmax()]
    return int(crosses[best]), np.array([x[best], y])


def run_lengths(polygon: Polygon, height: int, width: int) -> list[int]:
    """Encode the pixels of a polygon in a picture as COCO's uncompressed run-length encoding: column by column, the
    pixels outside first, then those inside, and so on in turn."""
    top, left, part = _filled_part(polygon, height, width)
    # The picture beyond the bounding box need not be looked at.
    steps = np.diff(np.pad(part.T.astype(np.int8), ((0, 0), (1, 1))), axis=1)
    (column, row), (end_column, end_row) = np.nonzero(steps == 1), np.nonzero(steps == -1)
    starts, ends = (left + column) * height + top + row, (left + end_column) * height + top + end_row
    if not starts.size:
        return [height * width]
    # A run to the bottom of one column goes on at the top of the next.
    apart = starts[1:] != ends[:-1]
    bounds = np.stack([starts[np.r_[True, apart]], ends[np.r_[apart, True]]], 1).ravel()
    counts: list[int] = np.diff(np.r_[0, bounds, height * width]).tolist()
    return counts if counts[-1] else counts[:-1]
