"""The canvas: every shape is drawn into the picture and into the map of class ids at once, from the same points."""

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
TOWARDS_CAMERA: Vector = (0.0, 0.0, -1.0)

WIDEST = 6.0
"""Metres: no tree or sign reaches further to either side of its foot."""

Points = Sequence[tuple[float, float]]


class Canvas:
    """A picture (RGB) and its map of class ids (L), of the same size, seen by one camera in one light.

    A label of None draws into the picture alone: a detail of what is there already.
    """

    def __init__(self, camera: Camera, light: Light, backdrop: Image.Image) -> None:
        self.camera, self.light = camera, light
        self.picture = backdrop
        self.ids = Image.new("L", backdrop.size, SKY)
        self._brush, self._pen = ImageDraw.Draw(self.picture), ImageDraw.Draw(self.ids)

    def fill(self, pixels: Floats, colour: tuple[int, int, int], label: int | None = None) -> None:
        """Fill a polygon in pixels (N, 2)."""
        self.fill_flat(pixels.ravel().tolist(), colour, label)

    def fill_flat(self, flat: list[float], colour: tuple[int, int, int], label: int | None = None) -> None:
        """Fill a polygon given as column, row, column, row, ..."""
        width, height = self.picture.size
        columns, rows = flat[::2], flat[1::2]
        if min(columns) > width or min(rows) > height or max(columns) < 0 or max(rows) < 0:
            return
        self._brush.polygon(flat, fill=colour)
        if label is not None:
            self._pen.polygon(flat, fill=label)

    def project(self, points: Floats) -> tuple[Floats, float]:
        """Project a polygon of the world (N, 3): pixels (M, 2) of its part before the lens, M may be 0; mean depth."""
        view = self.camera.to_camera(points)
        if view[:, 2].min() < NEAR:
            view = clip_near(view)
            if len(view) < 3:
                return np.empty((0, 2)), 0.0
        return self.camera.project(view), float(view[:, 2].mean())

    def polygon(self, points: Floats | Sequence[Vector], albedo: RGB, normal: Vector, label: int | None = None) -> None:
        """Fill a flat polygon of the world (N, 3)."""
        pixels, depth = self.project(np.asarray(points, dtype=np.float64))
        if len(pixels):
            self.fill(pixels, self.light.apparent_colour(albedo, self.light.shade(normal), depth), label)

    def quads(
        self,
        points: Floats,
        albedos: Sequence[RGB],
        normal: Vector,
        label: int | None = None,
        *,
        min_pixels: float = 1.0,
    ) -> None:
        """Fill many quads (N, 4, 3) on one plane; those under `min_pixels` in either direction are left out."""
        if not len(points):
            return
        view = self.camera.to_camera(points)
        shade = self.light.shade(normal)
        near = view[..., 2].min(axis=1) < NEAR
        view[near, :, 2] = np.maximum(view[near, :, 2], NEAR)
        pixels = self.camera.project(view)
        low, high = pixels.min(axis=1), pixels.max(axis=1)
        large = ((high - low) >= min_pixels) & (high > 0) & (low < self.picture.size)
        depth = view[..., 2].mean(axis=1)
        for i in np.flatnonzero(large.all(axis=1) & ~near).tolist():
            self.fill(pixels[i], self.light.apparent_colour(albedos[i], shade, float(depth[i])), label)

    def polygon_ids(self, points: Floats | Sequence[Vector], label: int) -> None:
        """Fill a polygon of the world (N, 3) in the ids alone: annotators outline railings, though one sees through."""
        pixels, _ = self.project(np.asarray(points, dtype=np.float64))
        if len(pixels):
            self._pen.polygon(pixels.ravel().tolist(), fill=label)

    def shadows(self, areas: Sequence[Floats], strength: float = 1.0) -> None:
        """Darken the ground inside the polygons (N, 3) once, however many overlap."""
        full, left = self.light.shade(UP), self.light.ambient
        r, g, b = (round(255 * (1 - strength * (1 - a * 0.85 / f))) for a, f in zip(left, full, strict=True))
        veil = Image.new("RGB", self.picture.size, (255, 255, 255))
        brush = ImageDraw.Draw(veil)
        for area in areas:
            pixels, _ = self.project(area)
            if len(pixels):
                brush.polygon(pixels.ravel().tolist(), fill=(r, g, b))
        self.picture.paste(ImageChops.multiply(self.picture, veil))

    def billboard(self, x: float, y: float, z: float) -> Billboard | None:
        """Return a billboard that stands on the point; None when it cannot be seen."""
        view = self.camera.to_camera(np.array((x, y, z)))
        if view[2] < 1.0:
            return None
        column, row = self.camera.project(view)
        reach = WIDEST * self.camera.focal / view[2]
        if not -reach < column < self.picture.size[0] + reach:
            return None
        return Billboard(
            self, column=float(column), row=float(row), scale=self.camera.focal / float(view[2]), depth=float(view[2])
        )

    def ellipse(self, box: tuple[float, float, float, float], colour: tuple[int, int, int], label: int | None) -> None:
        """Fill an ellipse; `box` is its left, top, right and bottom in pixels."""
        self._brush.ellipse(box, fill=colour)
        if label is not None:
            self._pen.ellipse(box, fill=label)

    def ellipse_ids(self, box: tuple[float, float, float, float], label: int) -> None:
        """Fill an ellipse in the ids alone."""
        self._pen.ellipse(box, fill=label)

    def ellipse_outline(self, box: tuple[float, float, float, float], colour: tuple[int, int, int], width: int) -> None:
        """Draw the outline of an ellipse, in the picture alone."""
        self._brush.ellipse(box, outline=colour, width=width)


class Billboard:
    """A flat sheet that faces the camera, drawn on in metres: (0, 0) is its foot, right and up are positive.

    A label of None and `gain`, a factor of the brightness, as in `Canvas`.
    """

    def __init__(self, canvas: Canvas, *, column: float, row: float, scale: float, depth: float) -> None:
        self.canvas, self.column, self.row, self.scale, self.depth = canvas, column, row, scale, depth
        self._facing = canvas.light.shade((0.0, 0.35, -0.94))

    def tone(self, albedo: RGB, gain: float = 1.0) -> tuple[int, int, int]:
        """Return the colour in the picture, 0..255, of a surface on this sheet."""
        r, g, b = self._facing
        return self.canvas.light.apparent_colour(albedo, (r * gain, g * gain, b * gain), self.depth)

    def polygon(self, points: Points, albedo: RGB, *, label: int | None = None, gain: float = 1.0) -> None:
        """Fill a polygon."""
        flat = [v for x, y in points for v in (self.column + x * self.scale, self.row - y * self.scale)]
        self.canvas.fill_flat(flat, self.tone(albedo, gain), label)

    def bar(
        self,
        start: tuple[float, float],
        end: tuple[float, float],
        widths: tuple[float, float],
        albedo: RGB,
        *,
        label: int | None = None,
        gain: float = 1.0,
    ) -> None:
        """Fill a tapered bar from `start` to `end`, `widths` wide at either."""
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
        self.polygon(corners, albedo, label=label, gain=gain)

    def box(self, centre: tuple[float, float], radii: tuple[float, float]) -> tuple[float, float, float, float]:
        """Return an ellipse's left, top, right and bottom in pixels, given its centre and radii in metres."""
        (x, y), (rx, ry) = centre, radii
        column, row, s = self.column + x * self.scale, self.row - y * self.scale, self.scale
        return column - rx * s, row - ry * s, column + rx * s, row + ry * s

    def ellipse(
        self,
        centre: tuple[float, float],
        radii: tuple[float, float],
        albedo: RGB,
        *,
        label: int | None = None,
        gain: float = 1.0,
    ) -> None:
        """Fill an ellipse."""
        self.canvas.ellipse(self.box(centre, radii), self.tone(albedo, gain), label)

    def ellipses(self, centres: Floats, radii: Floats, albedo: RGB, *, gains: Floats, label: int) -> None:
        """Fill many ellipses: centres (N, 2) and radii (N, 2) in metres, brightness (N,) of each."""
        middle = centres * (self.scale, -self.scale) + (self.column, self.row)
        boxes = np.concatenate((middle - radii * self.scale, middle + radii * self.scale), axis=1).tolist()
        # Sixteen tones are as good as hundreds, and found once.
        low, high = float(gains.min()), float(gains.max())
        tones = [self.tone(albedo, low + (high - low) * i / 15) for i in range(16)]
        which = np.rint((gains - low) / max(1e-6, high - low) * 15).astype(int).tolist()
        for box, i in zip(boxes, which, strict=True):
            self.canvas.ellipse(box, tones[i], label)
