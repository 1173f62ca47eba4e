"""Paper and brush: every stroke goes to the picture and to the ids at once, from the same points."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageChops, ImageDraw

from atonce.labels import CAMVID, IGNORE_INDEX
from atonce.streets.camera import NEAR, Camera, Floats, clip_near
from atonce.streets.light import RGB, Light, Vector

SKY, BUILDING, POLE, ROAD, PAVEMENT, TREE, SIGN, FENCE, CAR, PEDESTRIAN, BICYCLIST = range(CAMVID.num_classes)
VOID = IGNORE_INDEX

UP: Vector = (0.0, 1.0, 0.0)
TO_US: Vector = (0.0, 0.0, -1.0)

WIDEST = 6.0
"""Metres: no tree or sign reaches further to either side of its foot."""

Points = Sequence[tuple[float, float]]


class Canvas:
    """A picture (RGB) and its ids (L) of the same size, seen by one camera in one light."""

    def __init__(self, camera: Camera, light: Light, backdrop: Image.Image) -> None:
        self.camera, self.light = camera, light
        self.picture = backdrop
        self.ids = Image.new("L", backdrop.size, SKY)
        self._brush, self._pen = ImageDraw.Draw(self.picture), ImageDraw.Draw(self.ids)

    def fill(self, pixels: Floats, colour: tuple[int, int, int], label: int | None = None) -> None:
        """A polygon in pixels (N, 2). Without a label it is a detail of what is there already."""
        self.fill_flat(pixels.ravel().tolist(), colour, label)

    def fill_flat(self, flat: list[float], colour: tuple[int, int, int], label: int | None = None) -> None:
        """As `fill`, of column, row, column, row, ..."""
        width, height = self.picture.size
        columns, rows = flat[::2], flat[1::2]
        if min(columns) > width or min(rows) > height or max(columns) < 0 or max(rows) < 0:
            return
        self._brush.polygon(flat, fill=colour)
        if label is not None:
            self._pen.polygon(flat, fill=label)

    def outline(self, points: Floats) -> tuple[Floats, float]:
        """World (N, 3) -> pixels (M, 2) of what lies before the lens, and its mean depth; M may be 0."""
        view = self.camera.view(points)
        if view[:, 2].min() < NEAR:
            view = clip_near(view)
            if len(view) < 3:
                return np.empty((0, 2)), 0.0
        return self.camera.project(view), float(view[:, 2].mean())

    def polygon(self, points: Floats | Sequence[Vector], albedo: RGB, normal: Vector, label: int | None = None) -> None:
        """A flat polygon in the world (N, 3)."""
        pixels, depth = self.outline(np.asarray(points, dtype=np.float64))
        if len(pixels):
            self.fill(pixels, self.light.seen(albedo, self.light.shade(normal), depth), label)

    def quads(
        self, points: Floats, albedos: Sequence[RGB], normal: Vector, label: int | None = None, least: float = 1.0
    ) -> None:
        """Many quads (N, 4, 3) on one plane; those under `least` pixels in either direction are left out."""
        if not len(points):
            return
        view = self.camera.view(points)
        shade = self.light.shade(normal)
        near = view[..., 2].min(axis=1) < NEAR
        view[near, :, 2] = np.maximum(view[near, :, 2], NEAR)
        pixels = self.camera.project(view)
        low, high = pixels.min(axis=1), pixels.max(axis=1)
        large = ((high - low) >= least) & (high > 0) & (low < self.picture.size)
        depth = view[..., 2].mean(axis=1)
        for i in np.flatnonzero(large.all(axis=1) & ~near).tolist():
            self.fill(pixels[i], self.light.seen(albedos[i], shade, float(depth[i])), label)

    def mark(self, points: Floats | Sequence[Vector], label: int) -> None:
        """Ids only: for what one sees through but annotators outline, such as railings."""
        pixels, _ = self.outline(np.asarray(points, dtype=np.float64))
        if len(pixels):
            self._pen.polygon(pixels.ravel().tolist(), fill=label)

    def shadows(self, areas: Sequence[Floats], strength: float = 1.0) -> None:
        """Darken the ground inside the polygons (N, 3) once, however many overlap."""
        full, left = self.light.shade(UP), self.light.ambient
        r, g, b = (round(255 * (1 - strength * (1 - a * 0.85 / f))) for a, f in zip(left, full, strict=True))
        veil = Image.new("RGB", self.picture.size, (255, 255, 255))
        brush = ImageDraw.Draw(veil)
        for area in areas:
            pixels, _ = self.outline(area)
            if len(pixels):
                brush.polygon(pixels.ravel().tolist(), fill=(r, g, b))
        self.picture.paste(ImageChops.multiply(self.picture, veil))

    def board(self, x: float, y: float, z: float) -> Board | None:
        """A sheet that faces the camera and stands on the point; None when it cannot be seen."""
        view = self.camera.view(np.array((x, y, z)))
        if view[2] < 1.0:
            return None
        column, row = self.camera.project(view)
        reach = WIDEST * self.camera.focal / view[2]
        if not -reach < column < self.picture.size[0] + reach:
            return None
        return Board(self, float(column), float(row), self.camera.focal / float(view[2]), float(view[2]))

    def stamp(self, box: tuple[float, float, float, float], colour: tuple[int, int, int], label: int | None) -> None:
        """An ellipse in pixels: left, top, right, bottom."""
        self._brush.ellipse(box, fill=colour)
        if label is not None:
            self._pen.ellipse(box, fill=label)

    def stamp_ids(self, box: tuple[float, float, float, float], label: int) -> None:
        """As `stamp`, ids only."""
        self._pen.ellipse(box, fill=label)

    def ring(self, box: tuple[float, float, float, float], colour: tuple[int, int, int], width: int) -> None:
        """As `stamp`, the outline only, picture only."""
        self._brush.ellipse(box, outline=colour, width=width)


class Board:
    """A drawing sheet in metres: (0, 0) is its foot, right and up are positive."""

    def __init__(self, canvas: Canvas, column: float, row: float, scale: float, depth: float) -> None:
        self.canvas, self.column, self.row, self.scale, self.depth = canvas, column, row, scale, depth
        self._facing = canvas.light.shade((0.0, 0.35, -0.94))

    def tone(self, albedo: RGB, gain: float = 1.0) -> tuple[int, int, int]:
        r, g, b = self._facing
        return self.canvas.light.seen(albedo, (r * gain, g * gain, b * gain), self.depth)

    def polygon(self, points: Points, albedo: RGB, label: int | None = None, gain: float = 1.0) -> None:
        flat = [v for x, y in points for v in (self.column + x * self.scale, self.row - y * self.scale)]
        self.canvas.fill_flat(flat, self.tone(albedo, gain), label)

    def limb(
        self,
        start: tuple[float, float],
        end: tuple[float, float],
        widths: tuple[float, float],
        albedo: RGB,
        label: int | None = None,
        gain: float = 1.0,
    ) -> None:
        """A tapered bar from `start` to `end`."""
        dx, dy = end[0] - start[0], end[1] - start[1]
        length = max(1e-6, (dx * dx + dy * dy) ** 0.5)
        nx, ny = -dy / length / 2, dx / length / 2
        (a, b), (w, v) = (start, end), widths
        corners = (
            (a[0] + nx * w, a[1] + ny * w),
            (b[0] + nx * v, b[1] + ny * v),
            (b[0] - nx * v, b[1] - ny * v),
            (a[0] - nx * w, a[1] - ny * w),
        )
        self.polygon(corners, albedo, label, gain)

    def box(self, x: float, y: float, rx: float, ry: float) -> tuple[float, float, float, float]:
        """An ellipse's centre and radii in metres -> its box in pixels."""
        column, row, s = self.column + x * self.scale, self.row - y * self.scale, self.scale
        return column - rx * s, row - ry * s, column + rx * s, row + ry * s

    def ellipse(
        self, x: float, y: float, rx: float, ry: float, albedo: RGB, label: int | None = None, gain: float = 1.0
    ) -> None:
        self.canvas.stamp(self.box(x, y, rx, ry), self.tone(albedo, gain), label)

    def spots(self, centres: Floats, radii: Floats, albedo: RGB, gains: Floats, label: int) -> None:
        """Many ellipses: centres (N, 2) and radii (N, 2) in metres, brightness (N,) of each."""
        middle = centres * (self.scale, -self.scale) + (self.column, self.row)
        boxes = np.concatenate((middle - radii * self.scale, middle + radii * self.scale), axis=1).tolist()
        # Sixteen tones are as good as hundreds, and found once.
        low, high = float(gains.min()), float(gains.max())
        tones = [self.tone(albedo, low + (high - low) * i / 15) for i in range(16)]
        which = np.rint((gains - low) / max(1e-6, high - low) * 15).astype(int).tolist()
        for box, i in zip(boxes, which, strict=True):
            self.canvas.stamp(box, tones[i], label)
