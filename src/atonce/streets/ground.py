"""The ground: asphalt and its markings, kerbs, pavements, side streets, shadows."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from atonce.streets.camera import Floats
from atonce.streets.canvas import PAVEMENT, ROAD, TREE, UP, Canvas
from atonce.streets.light import RGB

FAR = 150.0
KERB = 0.12
STATIONS = np.concatenate((np.linspace(0.4, 12, 8), np.geomspace(16, FAR, 14)))
"""Metres along the road between which it is painted stretch by stretch, so that each gets its share of haze."""


@dataclass(frozen=True)
class Road:
    """The cross-section of the road.

    Attributes:
        half: metres from the centre line to the kerb.
        pavements: widths of the left and the right one.
        asphalt, stone: colours of the road and of the pavements.
        verge: grass beyond the pavements rather than stone.
        side_streets: (side, z0, z1) each.
    """

    half: float
    pavements: tuple[float, float]
    asphalt: RGB
    stone: RGB
    verge: bool
    side_streets: tuple[tuple[int, float, float], ...]


@dataclass(frozen=True)
class ShadowCaster:
    """Something solid over the ground: its footprint (x, z), from `bottom` to `top` metres up."""

    footprint: tuple[tuple[float, float], ...]
    top: float
    bottom: float = 0.0


def draw_road(rng: np.random.Generator, side_streets: tuple[tuple[int, float, float], ...]) -> Road:
    """Draw a road at random."""
    grey = float(rng.uniform(70, 106))
    warm = float(rng.normal(0, 4))
    pale = float(rng.uniform(140, 190))
    rosy = float(rng.uniform(-2, 16))
    left, right = rng.uniform(2.8, 5.4, 2)
    return Road(
        half=float(rng.uniform(3.2, 5.2)),
        pavements=(float(left), float(right)),
        asphalt=(grey + warm, grey, grey - warm + 3),
        stone=(pale + rosy, pale, pale - rosy * 0.6),
        verge=bool(rng.random() < 0.5),
        side_streets=side_streets,
    )


def paint_ground(canvas: Canvas, rng: np.random.Generator, road: Road) -> None:
    """Paint all that lies on the ground, the lowest layer first."""
    turf: RGB = (96, 110, 58)
    beyond, label = (turf, TREE) if road.verge else (road.stone, PAVEMENT)
    _band(canvas, x0=-120, x1=120, albedo=beyond, label=label)
    for side, width in zip((-1, 1), road.pavements, strict=True):
        inner, outer = side * road.half, side * (road.half + width)
        _band(canvas, x0=inner, x1=outer, albedo=road.stone, label=PAVEMENT, y=KERB)
        _slabs(canvas, rng, road, inner=min(inner, outer), outer=max(inner, outer))
    _band(canvas, x0=-road.half, x1=road.half, albedo=road.asphalt, label=ROAD)
    _wear(canvas, rng, road)
    for side, z0, z1 in road.side_streets:
        x0, x1 = side * (road.half - 0.2), side * 90.0
        canvas.polygon([(x0, 0, z0), (x1, 0, z0), (x1, 0, z1), (x0, 0, z1)], road.asphalt, UP, ROAD)
    for side in (-1, 1):
        _kerb(canvas, road, side)
    _markings(canvas, rng, road)


def _band(canvas: Canvas, *, x0: float, x1: float, albedo: RGB, label: int | None = None, y: float = 0.0) -> None:
    """Paint a strip along the whole street."""
    for z0, z1 in itertools.pairwise(STATIONS):
        canvas.polygon([(x0, y, z0), (x1, y, z0), (x1, y, z1), (x0, y, z1)], albedo, UP, label)


def _rectangles(canvas: Canvas, rectangles: Sequence[tuple[float, ...]], albedos: Sequence[RGB], y: float) -> None:
    """Paint details (x0, z0, x1, z1) that lie on the ground, `y` metres up."""
    r = np.array(rectangles, dtype=np.float64).reshape(-1, 4)
    quads = np.full((len(r), 4, 3), y)
    quads[:, :, 0], quads[:, :, 2] = r[:, (0, 2, 2, 0)], r[:, (1, 1, 3, 3)]
    canvas.quads(quads, albedos, UP, None, min_pixels=0.4)


def _slabs(canvas: Canvas, rng: np.random.Generator, road: Road, *, inner: float, outer: float) -> None:
    """Paint joints, and slabs of slightly other stone."""
    steps = np.arange(2.2, 17, 0.9)
    odd = [(*sorted(rng.uniform(inner, outer, 2)), z) for z in rng.choice(steps, 8)]
    gains = rng.uniform(0.85, 1.12, len(odd))
    tints = [(road.stone[0] * g, road.stone[1] * g, road.stone[2] * g) for g in gains]
    _rectangles(canvas, [(a, z, b, z + 0.9) for a, b, z in odd], tints, KERB)
    joint: RGB = (road.stone[0] * 0.8, road.stone[1] * 0.8, road.stone[2] * 0.8)
    lines = [(inner, z, outer, z + 0.035) for z in steps]
    lines += [(x, 2.0, x + 0.03, 17.0) for x in np.linspace(inner, outer, 4)[1:-1]]
    _rectangles(canvas, lines, [joint] * len(lines), KERB)


def _wear(canvas: Canvas, rng: np.random.Generator, road: Road) -> None:
    """Paint wheel tracks, repairs, manholes."""
    a = road.asphalt
    for lane in (-road.half / 2, road.half / 2):
        for track in (-0.75, 0.75):
            gain = float(rng.uniform(0.92, 1.03))
            _band(
                canvas,
                x0=lane + track - 0.3,
                x1=lane + track + 0.3,
                albedo=(a[0] * gain, a[1] * gain, a[2] * gain),
            )
    patches = rng.uniform((-road.half, 3, 0.5, 0.8), (road.half - 1.6, 40, 1.6, 6), (int(rng.integers(2, 8)), 4))
    gains = rng.uniform(0.72, 1.15, len(patches))
    tints = [(a[0] * g, a[1] * g, a[2] * g) for g in gains]
    _rectangles(canvas, [(x, z, x + w, z + d) for x, z, w, d in patches], tints, 0.0)
    holes = rng.uniform((-road.half + 1, 4), (road.half - 1, 25), (2, 2))
    turn = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    for x, z in holes:
        circle = np.stack((x + 0.35 * np.cos(turn), 0 * turn, z + 0.35 * np.sin(turn)), axis=1)
        canvas.polygon(circle, (a[0] * 0.6, a[1] * 0.58, a[2] * 0.56), UP)


def _kerb(canvas: Canvas, road: Road, side: int) -> None:
    pale: RGB = (road.stone[0] * 1.12, road.stone[1] * 1.12, road.stone[2] * 1.12)
    x, top = side * road.half, side * (road.half + 0.16)
    openings = sorted((z0, z1) for s, z0, z1 in road.side_streets if s == side)
    edges = [0.4, *(z for pair in openings for z in pair), FAR]
    for start, end in zip(edges[::2], edges[1::2], strict=True):
        stops = [start, *(float(z) for z in STATIONS if start < z < end), end]
        for z0, z1 in itertools.pairwise(stops):
            canvas.polygon([(x, KERB, z0), (top, KERB, z0), (top, KERB, z1), (x, KERB, z1)], pale, UP, PAVEMENT)
            face = [(x, 0.0, z0), (x, KERB, z0), (x, KERB, z1), (x, 0.0, z1)]
            canvas.polygon(face, road.stone, (-float(side), 0.0, 0.0), PAVEMENT)


def _markings(canvas: Canvas, rng: np.random.Generator, road: Road) -> None:
    worn = float(rng.uniform(0.75, 1.0))
    white: RGB = (226 * worn, 226 * worn, 220 * worn)
    yellow: RGB = (206 * worn, 172 * worn, 70 * worn)
    dash, gap = (float(v) for v in rng.uniform((1.8, 2.5), (4, 6)))
    lines: list[tuple[float, ...]] = []
    if rng.random() < 0.85:
        lines += [(-0.06, z, 0.06, z + dash) for z in np.arange(rng.uniform(1, 4), 80, dash + gap)]
    style = rng.choice(("none", "white", "yellow"), p=(0.4, 0.3, 0.3))
    edges = [
        (x - 0.05, z0, x + 0.05, z1)
        for side in (-1, 1)
        for x in (
            (side * (road.half - 0.3), side * (road.half - 0.5)) if style == "yellow" else (side * (road.half - 0.4),)
        )
        for z0, z1 in itertools.pairwise(STATIONS)
    ]
    if style != "none":
        _rectangles(canvas, edges, [yellow if style == "yellow" else white] * len(edges), 0.0)
    if rng.random() < 0.25:
        start = float(rng.uniform(6, 16))
        lines += [(x, start, x + 0.5, start + 3) for x in np.arange(-road.half + 0.2, road.half - 0.4, 1.0)]
    elif rng.random() < 0.3:
        start = float(rng.uniform(6, 20))
        lines.append((0.1, start, road.half - 0.3, start + 0.4))
    _rectangles(canvas, lines, [white] * len(lines), 0.0)


def shadows_of(casters: Sequence[ShadowCaster], sun: tuple[float, float, float]) -> list[Floats]:
    """Return the shadows on the ground, polygons (N, 3), of solids lit from `sun`."""
    drift = -sun[0] / sun[1], -sun[2] / sun[1]
    areas = []
    for c in casters:
        points = [(x + drift[0] * h, z + drift[1] * h) for h in (c.bottom, c.top) for x, z in c.footprint]
        areas.append(np.array([(x, 0.0, z) for x, z in _hull(points)]))
    return areas


def _hull(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the convex hull (Andrew's monotone chain)."""
    ordered = sorted(points)

    def chain(run: list[tuple[float, float]]) -> list[tuple[float, float]]:
        kept: list[tuple[float, float]] = []
        for x, z in run:
            while len(kept) > 1:
                (a, b), (c, d) = kept[-2:]
                if (c - a) * (z - b) - (d - b) * (x - a) > 0:
                    break
                kept.pop()
            kept.append((x, z))
        return kept[:-1]

    return chain(ordered) + chain(ordered[::-1])
