"""Cars and vans: a profile drawn out to a width, seen from any side."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from atonce.streets.camera import NEAR, Floats
from atonce.streets.canvas import CAR, UP, Canvas
from atonce.streets.light import RGB, Vector
from atonce.streets.shapes import BELT, ROOF_FRONT, ROOF_REAR, SCREEN_FOOT, SHAPES, Shape

PAINTS: tuple[RGB, ...] = (
    (200, 202, 204),
    (226, 226, 224),
    (40, 42, 46),
    (74, 78, 84),
    (128, 132, 136),
    (148, 26, 28),
    (30, 54, 104),
    (52, 88, 132),
    (38, 66, 48),
    (178, 150, 40),
    (106, 84, 66),
)
GLASS: RGB = (48, 56, 62)
RUBBER: RGB = (26, 26, 28)


DETAILED = 45.0
"""Metres from which lamps and plates are less than a pixel."""


@dataclass(frozen=True)
class Car:
    """A car on the road.

    Attributes:
        x, z: its centre.
        heading: radians; at 0 it drives away from the camera, at pi towards it.
        kind: key of `SHAPES`.
    """

    x: float
    z: float
    heading: float
    kind: str
    paint: RGB

    @property
    def shape(self) -> Shape:
        """The profile of its kind."""
        return SHAPES[self.kind]

    def to_world(self, t: float, side: float, y: float) -> Vector:
        """Transform a point of the car into the world.

        Args:
            t: along the body, 0..1, as in `Shape`.
            side: metres to its right.
            y: metres up.
        """
        ahead = (t - 0.5) * self.shape.length
        sin, cos = float(np.sin(self.heading)), float(np.cos(self.heading))
        return self.x + ahead * sin + side * cos, y, self.z + ahead * cos - side * sin

    def footprint(self) -> tuple[tuple[float, float], ...]:
        """Return its four corners (x, z) on the ground."""
        half = self.shape.width / 2
        corners = (self.to_world(t, s, 0) for t, s in ((0, -half), (0, half), (1, half), (1, -half)))
        return tuple((x, z) for x, _, z in corners)


def draw_car(rng: np.random.Generator, x: float, z: float, heading: float) -> Car:
    """Draw a car at random, and a slight deviation of its heading."""
    kind = str(rng.choice(("hatch", "saloon", "suv", "van"), p=(0.4, 0.3, 0.2, 0.1)))
    r, g, b = (
        float(np.clip(c + d, 8, 245))
        for c, d in zip(PAINTS[rng.integers(len(PAINTS))], rng.normal(0, 8, 3), strict=True)
    )
    return Car(x, z, heading + float(rng.normal(0, 0.025)), kind, (r, g, b))


def paint_car(canvas: Canvas, rng: np.random.Generator, car: Car) -> None:
    """Paint a car, the farthest of its faces first."""
    half = car.shape.width / 2
    widths = [half * (car.shape.roof if i in (ROOF_REAR, ROOF_FRONT) else 1.0) for i in range(9)]
    canvas.polygon([(x, 0.01, z) for x, z in car.footprint()], (20, 20, 22), UP)
    _tyres(canvas, car, half)
    sides = [s for s in (-1, 1) if _side(canvas, car, widths, side=s, which=(0, 1, 2, 5, 6, 7, 8)) is not None]
    # Of the strips across the body only those that face us are drawn, and the body hides none of these.
    order = range(8) if np.cos(car.heading) < 0 else range(7, -1, -1)
    for i in order:
        _strip(canvas, car, widths, i)
    for s in sides:
        _paint_side(canvas, car, widths, s)
    if car.z < DETAILED:
        _ends(canvas, car, half)


def _visible(canvas: Canvas, points: list[Vector]) -> Floats | None:
    """Return pixels (N, 2) of a face whose corners run anticlockwise seen from outside; None when it is turned away."""
    view = canvas.camera.to_camera(np.array(points))
    if view[:, 2].min() < NEAR:
        return None
    pixels = canvas.camera.project(view)
    corners = pixels.tolist()
    area = sum(a * d - c * b for (a, b), (c, d) in zip(corners, corners[1:] + corners[:1], strict=True))
    return pixels if area < 0 else None


def _normal(points: list[Vector]) -> Vector:
    (ax, ay, az), (bx, by, bz), (cx, cy, cz) = points[:3]
    (u, v, w), (p, q, r) = (cx - bx, cy - by, cz - bz), (ax - bx, ay - by, az - bz)
    x, y, z = v * r - w * q, w * p - u * r, u * q - v * p
    long = max(1e-9, (x * x + y * y + z * z) ** 0.5)
    return x / long, y / long, z / long


def _face(canvas: Canvas, car: Car, points: list[Vector], albedo: RGB, *, label: int | None = CAR) -> bool:
    """Fill a face and return True, unless it is turned away."""
    pixels = _visible(canvas, points)
    if pixels is None:
        return False
    nx, ny, nz = _normal(points)
    canvas.fill(pixels, canvas.light.apparent_colour(albedo, canvas.light.shade((nx, ny, nz)), car.z), label)
    return True


def _strip(canvas: Canvas, car: Car, widths: list[float], i: int) -> None:
    """Paint the surface between two neighbours of the profile, across the car."""
    (t, y), (u, v) = car.shape.profile[i : i + 2]
    w, q = widths[i], widths[i + 1]
    face = [car.to_world(t, -w, y), car.to_world(t, w, y), car.to_world(u, q, v), car.to_world(u, -q, v)]
    if not _face(canvas, car, face, car.paint) or i not in (BELT, ROOF_FRONT):
        return
    centre = np.mean(face, axis=0)
    pane = [tuple((centre + (np.array(p) - centre) * 0.86).tolist()) for p in face]
    _face(canvas, car, pane, GLASS, label=None)
    # The upper half of a screen mirrors the sky.
    low, high = ((pane[0], pane[1]), (pane[3], pane[2])) if v > y else ((pane[3], pane[2]), (pane[0], pane[1]))
    half = [tuple(((np.array(a) + np.array(b)) / 2).tolist()) for a, b in zip(low, high, strict=True)]
    shine = [half[0], half[1], high[1], high[0]] if v > y else [high[0], high[1], half[1], half[0]]
    _face(canvas, car, shine, (96, 108, 118), label=None)


def _side(canvas: Canvas, car: Car, widths: list[float], *, side: int, which: tuple[int, ...]) -> list[Vector] | None:
    """Return the corners of a part of the left (-1) or right (1) side; None when it is turned away.

    Args:
        which: indices of the profile's points.
    """
    profile = car.shape.profile
    face = [car.to_world(profile[i][0], side * widths[i], profile[i][1]) for i in which]
    if side > 0:
        face.reverse()
    return face if _visible(canvas, face) is not None else None


def _paint_side(canvas: Canvas, car: Car, widths: list[float], side: int) -> None:
    """Paint a whole side: body, windows, sill and wheels."""
    profile = car.shape.profile
    for which in ((2, 3, 4, 5), (0, 1, 2, 5, 6, 7, 8)):
        face = _side(canvas, car, widths, side=side, which=which)
        if face is not None:
            normal = (side * float(np.cos(car.heading)), 0.1, -side * float(np.sin(car.heading)))
            canvas.polygon(face, car.paint, normal, CAR)
    belt, roof = profile[BELT][1] + 0.04, profile[ROOF_REAR][1] - 0.1
    out = side * (widths[0] + widths[ROOF_REAR]) / 2
    stops: tuple[float, ...] = (0.62, 0.86)
    if car.kind != "van":
        rear, front = profile[ROOF_REAR][0] - 0.02, profile[SCREEN_FOOT][0] - 0.09
        stops = (rear, (rear + front) / 2 + 0.01, front)
    for a, b in itertools.pairwise(stops):
        rake = 0.06 if b == stops[-1] else 0.0
        pane = [
            car.to_world(t, out, y)
            for t, y in ((a + 0.012, belt), (b - 0.012, belt), (b - 0.012 - rake, roof), (a + 0.03, roof))
        ]
        canvas.polygon(pane, GLASS, UP)
    sill = [car.to_world(t, side * widths[0], y) for t, y in ((0.02, 0.3), (0.98, 0.3), (0.98, 0.42), (0.02, 0.42))]
    canvas.polygon(sill, (car.paint[0] * 0.45, car.paint[1] * 0.45, car.paint[2] * 0.45), UP)
    _wheels(canvas, car, side * widths[0] * 1.01)


def _wheels(canvas: Canvas, car: Car, out: float) -> None:
    radius = 0.33
    turn = np.linspace(0, 2 * np.pi, 14, endpoint=False)
    for t in (0.19, 0.81):
        for r, albedo in ((radius, RUBBER), (radius * 0.6, (150.0, 152.0, 154.0))):
            circle = [
                car.to_world(t + r * float(np.cos(a)) / car.shape.length, out, radius + r * float(np.sin(a)))
                for a in turn
            ]
            canvas.polygon(circle, albedo, (0.0, 0.5, -0.8), CAR)


def _tyres(canvas: Canvas, car: Car, half: float) -> None:
    """Paint the part of the tyres that shows below the bumpers, seen from an end."""
    for t in (0.12, 0.88) if np.cos(car.heading) < 0 else (0.88, 0.12):
        for side in (-half, half - 0.22):
            corners = ((side, 0.0), (side + 0.22, 0.0), (side + 0.22, 0.5), (side, 0.5))
            canvas.polygon([car.to_world(t, s, y) for s, y in corners], RUBBER, UP, CAR)


def _ends(canvas: Canvas, car: Car, half: float) -> None:
    """Paint lamps, plates and bumpers at both ends."""
    tall = car.shape.profile[1][1]
    for t, sign, lamp in ((-0.004, 1, (178.0, 20.0, 22.0)), (1.004, -1, (240.0, 240.0, 226.0))):
        parts: list[tuple[float, float, float, float, RGB]] = [
            (-half, 0.3, half, 0.48, (44, 44, 46)),
            (-0.27, 0.5, 0.27, 0.62, (228, 224, 150) if sign > 0 else (230, 230, 226)),
            (-half * 0.97, tall - 0.24, -half * 0.68, tall - 0.05, lamp),
            (half * 0.68, tall - 0.24, half * 0.97, tall - 0.05, lamp),
        ]
        if sign < 0:
            parts.append((-half * 0.5, 0.5, half * 0.5, 0.68, (36, 36, 38)))
        for s0, y0, s1, y1, albedo in parts:
            corners = ((s0, y0), (s1, y0), (s1, y1), (s0, y1))
            _face(canvas, car, [car.to_world(t, sign * s, y) for s, y in corners], albedo, label=None)
