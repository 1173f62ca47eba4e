"""Shapes as annotation tools draw them (polygons, run-length codes, small masks), and the masks that they make.

**Pixels.** A pixel belongs to a polygon when its centre lies inside (see `atonce.polygons`): (0, 0), (2, 0), (2, 2),
(0, 2) are the four pixels of the upper left corner, as in COCO, CVAT and labelme, whose coordinates count from the
corner of the picture.

**Overlaps.** Smaller shapes lie over larger ones, by the pixels that they cover; of two of the same size the later one
lies on top.
"""

from __future__ import annotations

import base64
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from atonce.data.brush_codes import decode_brush
from atonce.data.images import DAMAGE, MAX_PIXELS, FileError, Problem, hush_pillow, read_size
from atonce.data.mask_sources import Annotation
from atonce.data.masks import index_values, is_colour, open_mask, values_found
from atonce.labels import IGNORE_INDEX
from atonce.polygons import Polygon, fill_polygons

_CIRCLE_CORNERS = 64

_LARGER, _SMALL = 4, 1 << 16
"""A small mask may be so many times as large as its picture, or as so many pixels; what lies outside is cut off."""

_FURTHEST = 1e9
"""Pixels, or shares of a side, from the picture's corner beyond which nobody has drawn a corner."""

Ring = Sequence[float]
"""The corners of a closed line, x, y, x, y, ..., in pixels from the upper left corner of the picture."""


@dataclass(frozen=True)
class Shape:
    """One region of a label.

    Attributes:
        label: as the annotation calls it.
        kind: how `data` describes the region.
        data: "polygon": parts, each a list of `Ring`s; a pixel in any part is in the shape. "rle": COCO's run lengths,
            {"size": [height, width], "counts": list or text}. "brush": [height, width, base64 of a code of
            `atonce.data.brush_codes`]. "png": [x, y, base64 of a PNG], in which what is not transparent, or not 0
            where it has no transparency, belongs to the shape, and x, y are its upper left pixel. "file": [position in
            `Annotation.files`, value], the pixels of that file with this value; value None: a file of 0 and one other
            value, which is the shape.
    """

    label: str
    kind: Literal["polygon", "rle", "brush", "png", "file"]
    data: Any


@dataclass(frozen=True)
class Shapes:
    """The content of an `Annotation`.

    Attributes:
        shapes: in the order of the file.
        size: (height, width) of the picture, where the annotation says it.
        relative: coordinates are shares of width and height instead of pixels.
    """

    shapes: tuple[Shape, ...]
    size: tuple[int, int] | None = None
    relative: bool = False


def polygon(label: str, *parts: Sequence[Ring]) -> Shape:
    """Make a shape of polygons, each a list of rings; a pixel in any of them is in the shape."""
    return Shape(label, "polygon", [[list(ring) for ring in part] for part in parts])


def circle(x: float, y: float, radius: float) -> Ring:
    """Compute a ring of 64 corners around a centre."""
    angles = (2 * math.pi * i / _CIRCLE_CORNERS for i in range(_CIRCLE_CORNERS))
    return [part for a in angles for part in (x + radius * math.cos(a), y + radius * math.sin(a))]


def ellipse(x: float, y: float, radii: tuple[float, float], degrees: float) -> Ring:
    """Compute a ring of 64 corners around a centre, turned clockwise."""
    turn = math.radians(degrees)
    points = np.array(circle(0, 0, 1)).reshape(-1, 2) * radii
    turned = points @ np.array([[math.cos(turn), math.sin(turn)], [-math.sin(turn), math.cos(turn)]])
    ring: list[float] = (turned + np.array([x, y])).ravel().tolist()
    return ring


def thick_line(points: Sequence[tuple[float, float]], width: float) -> list[list[Ring]]:
    """Compute the parts of a shape for a line of some width through points: a rectangle for each piece."""
    parts: list[list[Ring]] = []
    for (x0, y0), (x1, y1) in pairwise(points):
        length = math.hypot(x1 - x0, y1 - y0)
        if length > 0:
            dx, dy = (y1 - y0) * width / 2 / length, (x1 - x0) * width / 2 / length
            parts.append([[x0 + dx, y0 - dy, x1 + dx, y1 - dy, x1 - dx, y1 + dy, x0 - dx, y0 + dy]])
    return parts


def dump_shapes(shapes: Shapes) -> str:
    """Write shapes as the content of an `Annotation`: JSON, the same for the same shapes."""
    listed = [[shape.label, shape.kind, shape.data] for shape in shapes.shapes]
    return json.dumps({"size": shapes.size, "relative": shapes.relative, "shapes": listed}, separators=(",", ":"))


def load_shapes(content: str) -> Shapes:
    """Read what `dump_shapes` wrote."""
    data = json.loads(content)
    size = data["size"]
    return Shapes(tuple(Shape(*shape) for shape in data["shapes"]), tuple(size) if size else None, data["relative"])


@dataclass(frozen=True)
class ShapeMask:
    """A mask reader for annotations: shapes are painted with the ids of their labels.

    Attributes:
        ids: (label, class id or 255 for void), a line for each label that is known.
        background: class id, or 255, of the pixels that no shape covers.
        remedy: what to do about a label that is not known.
        unlisted: labels of the data set that have no id: for a proposal of a classes file.
    """

    ids: tuple[tuple[str, int], ...]
    background: int
    remedy: str = "correct the label"
    unlisted: tuple[str, ...] = ()

    def __call__(self, annotation: Annotation) -> NDArray[np.uint8]:
        """Paint the mask of an annotation, uint8 (H, W), void 255.

        Raises:
            FileError: a label that is not known, a shape that cannot be read, a picture or mask file that cannot.
        """
        shapes = load_shapes(annotation.content)
        known = dict(self.ids)
        unknown = sorted({shape.label for shape in shapes.shapes} - known.keys())
        if unknown:
            names = ", ".join(f"'{label}'" for label in unknown)
            found = f"holds the label{'s' if len(unknown) > 1 else ''} {names} ({annotation.image.name})"
            expected = f"one of {', '.join(label for label, _ in self.ids)}"
            raise FileError(Problem("values", annotation.path, found, expected, remedy=self.remedy))
        size = shapes.size or read_size(annotation.image)
        if size[0] * size[1] > MAX_PIXELS:
            # Only a file that is damaged says so, and no memory would hold it.
            found = f"says that {annotation.image.name} has {size[1]}x{size[0]} pixels"
            raise FileError(Problem("size", annotation.path, found, "the picture's size", remedy="export it again"))
        mask = np.full(size, self.background, np.uint8)
        for shape, (top, left, region) in _largest_first(annotation, shapes, size):
            height, width = region.shape
            mask[top : top + height, left : left + width][region] = known[shape.label]
        return mask


def covered_share(annotation: Annotation) -> float:
    """Compute the share of a picture that its shapes cover, 0..1. Raises FileError as `ShapeMask` does."""
    labels = {shape.label for shape in load_shapes(annotation.content).shapes}
    mask = ShapeMask(tuple((label, 1) for label in labels), 0)(annotation)
    return float(np.count_nonzero(mask)) / max(1, mask.size)


_Region = tuple[int, int, NDArray[np.bool_]]
"""The first row and column of a part of a picture, and which of its pixels are meant."""


def _largest_first(annotation: Annotation, shapes: Shapes, size: tuple[int, int]) -> list[tuple[Shape, _Region]]:
    files: dict[int, NDArray[np.integer]] = {}
    regions = []
    for shape in shapes.shapes:
        try:
            regions.append((shape, _region(annotation, shape, size, relative=shapes.relative, files=files)))
        except FileError:
            raise
        except DAMAGE as error:
            found = f"holds a shape of '{shape.label}' that cannot be read ({error or type(error).__name__})"
            expected = "the shapes that its tool writes"
            raise FileError(
                Problem("values", annotation.path, found, expected, remedy="export the annotations again")
            ) from None
    return sorted(regions, key=lambda pair: -int(np.count_nonzero(pair[1][2])))


def _region(
    annotation: Annotation,
    shape: Shape,
    size: tuple[int, int],
    *,
    relative: bool,
    files: dict[int, NDArray[np.integer]],
) -> _Region:
    if shape.kind == "polygon":
        return _polygons(shape.data, size, (size[1], size[0]) if relative else (1, 1))
    if shape.kind == "rle":
        # Before it is decoded: a size that is made up would take any amount of memory.
        _require_size(annotation, [int(side) for side in shape.data["size"]], size)
        return 0, 0, decode_rle(shape.data)
    if shape.kind == "brush":
        height, width, code = shape.data
        _require_size(annotation, (height, width), size)
        return 0, 0, decode_brush(base64.b64decode(code), height, width)
    if shape.kind == "png":
        left, top, code = shape.data
        hush_pillow()
        with Image.open(io.BytesIO(base64.b64decode(code)), formats=("PNG",)) as picture:
            if picture.width * picture.height > _LARGER * max(size[0] * size[1], _SMALL):
                # Known from its header: a few kilobytes may announce a thousand million pixels.
                raise ValueError(f"a mask of {picture.width}x{picture.height} for {size[1]}x{size[0]} pixels")
            alpha = picture.convert("RGBA").getchannel("A") if picture.has_transparency_data else None
            grey = picture if picture.mode == "1" else picture.convert("L")
            region = np.asarray(grey if alpha is None else alpha) > 0
        return _cut(int(top), int(left), region, size)
    position, value = shape.data
    if position not in files:
        files[position] = _file_values(annotation.files[position])
    values = files[position]
    _require_size(annotation, values.shape, size, annotation.files[position])
    return 0, 0, _foreground(annotation.files[position], values) if value is None else values == value


def _require_size(
    annotation: Annotation, found: Sequence[int], size: tuple[int, int], file: Path | None = None
) -> None:
    if tuple(found) != size:
        text = f"holds a mask of {found[1]}x{found[0]}" if file is None else f"is {found[1]}x{found[0]}"
        expected = f"the size of its picture {annotation.image.name}, {size[1]}x{size[0]}"
        remedy = "export the mask again at the picture's size"
        raise FileError(Problem("size", file or annotation.path, text, expected, remedy=remedy))


def _cut(top: int, left: int, region: NDArray[np.bool_], size: tuple[int, int]) -> _Region:
    """Cut off what lies outside of the picture."""
    first_row, first_column = max(0, -top), max(0, -left)
    region = region[first_row : max(0, size[0] - top), first_column : max(0, size[1] - left)]
    return max(0, top), max(0, left), region


def _file_values(path: Path) -> NDArray[np.integer]:
    """Read the numbers of a mask file (H, W); an RGB file must be grey. Raises FileError."""
    image = open_mask(path)
    if not is_colour(image):
        return index_values(path, image)
    pixels = np.asarray(image)
    red: NDArray[np.uint8] = pixels[..., 0]
    if not (np.array_equal(red, pixels[..., 1]) and np.array_equal(red, pixels[..., 2])):
        raise FileError(Problem("mode", path, "is a mask in colour", "black and white", remedy="export it as grey PNG"))
    return red


def _foreground(path: Path, values: NDArray[np.integer]) -> NDArray[np.bool_]:
    """The pixels of a binary mask that are not 0. Raises FileError: it holds more than one other value."""
    other = values[values != 0]
    if other.size and (other != other[0]).any():
        # Tools that draw with soft brushes leave a few greys at the border; half of white decides.
        soft = values.dtype == np.uint8 and np.count_nonzero((other > 0) & (other < IGNORE_INDEX)) <= 0.1 * values.size
        if not soft or int(other.max()) != IGNORE_INDEX:
            found = f"holds {values_found(values)}"
            expected = "0 and one other value, as a mask of one class does"
            raise FileError(Problem("values", path, found, expected, remedy="export it as black and white"))
        return np.asarray(values >= 128)
    return np.asarray(values != 0)


def _polygons(parts: Sequence[Sequence[Ring]], size: tuple[int, int], scale: tuple[int, int]) -> _Region:
    """Fill polygons: the pixels whose centre lies in one of the parts, inside its first ring and in no other."""
    polygons = []
    for part in parts:
        rings = [np.asarray(ring, float).reshape(-1, 2) for ring in part]
        if not all((np.abs(ring) <= _FURTHEST).all() for ring in rings):
            raise ValueError("a coordinate that is no number, or far outside")
        outline, *holes = (ring * scale for ring in rings)
        polygons.append(Polygon(outline, tuple(holes)))
    corners = np.concatenate([polygon.exterior for polygon in polygons])
    limits = np.array([size[1], size[0]])
    left, top = np.clip(np.floor(corners.min(0)), 0, limits).astype(int).tolist()
    right, bottom = np.clip(np.ceil(corners.max(0)), 0, limits).astype(int).tolist()
    offset = np.array([left, top])
    moved = [Polygon(one.exterior - offset, tuple(hole - offset for hole in one.holes)) for one in polygons]
    return top, left, fill_polygons(moved, max(0, bottom - top), max(0, right - left))


def decode_rle(rle: Mapping[str, Any]) -> NDArray[np.bool_]:
    """Decode COCO's run lengths, bool (H, W).

    The counts run down the columns and begin with the pixels outside; as a text each is a number of 5-bit groups, from
    the third on the difference to the one before the last (pycocotools' rleToString).

    Raises:
        ValueError: the counts do not fill the size.
    """
    height, width = (int(side) for side in rle["size"])
    counts = rle["counts"]
    runs = np.asarray(_read_counts(counts) if isinstance(counts, str) else counts, np.int64)
    # Each by itself, too: the sum of four times 2**62 is 0.
    if (runs < 0).any() or (runs > height * width).any() or int(runs.sum()) != height * width:
        raise ValueError(f"run lengths of {runs.sum(dtype=float):.0f} pixels for {width}x{height}")
    mask: NDArray[np.bool_] = np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(width, height).T
    return mask


_LONGEST_COUNT = 60
"""Bits of a count before its last five."""


def _read_counts(text: str) -> list[int]:
    counts: list[int] = []
    number = shift = 0
    for code in text.encode("ascii"):
        group = code - 48
        if shift > _LONGEST_COUNT:
            raise ValueError("a run length of more digits than a picture has pixels")
        number |= (group & 0x1F) << shift
        shift += 5
        if not group & 0x20:
            if group & 0x10:
                number -= 1 << shift
            counts.append(number + (counts[-2] if len(counts) > 2 else 0))
            number = shift = 0
    return counts


def labels_of(annotations: Iterable[Annotation]) -> set[str]:
    """Collect the labels that occur in annotations."""
    return {shape.label for annotation in annotations for shape in load_shapes(annotation.content).shapes}
