"""Houses: a facade along the street, the gable that faces the camera, a roof; and the skyline behind them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from atonce.streets.camera import Floats
from atonce.streets.canvas import BUILDING, TOWARDS_CAMERA, Canvas
from atonce.streets.light import RGB, Vector

WALLS: tuple[RGB, ...] = (
    (142, 84, 66),  # red brick
    (118, 78, 62),
    (168, 138, 100),  # yellow stock brick
    (190, 176, 150),  # stone
    (226, 220, 204),  # stucco
    (214, 196, 160),
    (176, 188, 196),
    (150, 150, 148),  # concrete
    (104, 100, 98),
    (200, 150, 128),
)
ROOFS: tuple[RGB, ...] = ((84, 78, 80), (112, 66, 54), (72, 78, 88), (130, 92, 72))
FASCIAS: tuple[RGB, ...] = ((160, 30, 34), (24, 66, 120), (30, 92, 60), (30, 30, 34), (210, 170, 40), (220, 220, 214))

DETAILED = 60.0
"""Metres from which doors and shops are a blur."""


@dataclass(frozen=True)
class House:
    """One building on one side of the street.

    Attributes:
        side: -1 left of the road, 1 right of it; front: |x| of the facade; z0, z1: its extent along the street.
        depth: metres away from the street; eaves, ridge: heights, equal for a flat roof.
        shop: a shop window on the ground floor.
    """

    side: int
    front: float
    z0: float
    z1: float
    depth: float
    eaves: float
    ridge: float
    wall: RGB
    shop: bool


def draw_house(rng: np.random.Generator, *, side: int, front: float, z0: float, z1: float, city: float) -> House:
    """Draw a house at random; `city`, 0..1, leads from cottages to office blocks."""
    floors = int(rng.integers(2, 3 + round(3 * city) + 1))
    eaves = floors * rng.uniform(2.7, 3.3) + rng.uniform(0, 0.8)
    pitched = rng.random() > 0.25 + 0.4 * city
    tint = rng.normal(0, 9) + rng.normal(0, 4, 3)
    r, g, b = (float(np.clip(c + t, 20, 245)) for c, t in zip(WALLS[rng.integers(len(WALLS))], tint, strict=True))
    return House(
        side=side,
        front=front,
        z0=z0,
        z1=z1,
        depth=float(rng.uniform(7, 12)),
        eaves=float(eaves),
        ridge=float(eaves + rng.uniform(1.8, 3.5)) if pitched else float(eaves),
        wall=(r, g, b),
        shop=bool(rng.random() < 0.15 + 0.5 * city),
    )


def paint_house(canvas: Canvas, rng: np.random.Generator, house: House) -> None:
    """Paint a house, the farthest of its faces first."""
    s, x, back = house.side, house.side * house.front, house.side * (house.front + house.depth)
    middle, z0, z1, eaves, ridge = (x + back) / 2, house.z0, house.z1, house.eaves, house.ridge
    roof = ROOFS[rng.integers(len(ROOFS))]
    if ridge > eaves:
        slope = ((x, eaves, z0), (x, eaves, z1), (middle, ridge, z1), (middle, ridge, z0))
        _chimneys(canvas, rng, house, middle)
        canvas.polygon(slope, roof, (-s * 0.5, 0.86, 0.0), BUILDING)
    gable = ((x, 0.0, z0), (x, eaves, z0), (middle, ridge, z0), (back, eaves, z0), (back, 0.0, z0))
    canvas.polygon(gable, house.wall, TOWARDS_CAMERA, BUILDING)
    if house.z0 < DETAILED:
        _gable_windows(canvas, rng, house)
    facing: Vector = (-float(s), 0.0, 0.0)
    canvas.polygon(((x, 0, z0), (x, eaves, z0), (x, eaves, z1), (x, 0, z1)), house.wall, facing, BUILDING)
    _courses(canvas, house, facing)
    _windows(canvas, rng, house, facing)
    if house.z0 < DETAILED:
        _ground_floor(canvas, rng, house, facing)
    trim = _scaled(house.wall, 1.18) if ridge == eaves else _scaled(roof, 0.7)
    canvas.quads(_on_facade(house, [(0.0, eaves - 0.3, z1 - z0, eaves)]), [trim], facing, BUILDING)


def _scaled(colour: RGB, gain: float) -> RGB:
    return colour[0] * gain, colour[1] * gain, colour[2] * gain


def _on_facade(house: House, rectangles: list[tuple[float, float, float, float]], offset: float = 0.0) -> Floats:
    """Rectangles (u0, v0, u1, v1) along and up the facade -> quads (N, 4, 3), `offset` metres before it."""
    r = np.asarray(rectangles, dtype=np.float64).reshape(-1, 4)
    quads = np.full((len(r), 4, 3), house.side * (house.front - offset))
    quads[:, :, 2] = house.z0 + r[:, (0, 2, 2, 0)]
    quads[:, :, 1] = r[:, (1, 1, 3, 3)]
    return quads


def _courses(canvas: Canvas, house: House, facing: Vector) -> None:
    """Faint bands in the masonry, where we are near enough to see them."""
    if house.z0 > 22:
        return
    rows = np.arange(0.4, house.eaves - 0.3, 0.55)
    bands = [(0.0, float(v), house.z1 - house.z0, float(v) + 0.09) for v in rows]
    canvas.quads(_on_facade(house, bands), [_scaled(house.wall, 0.93)] * len(bands), facing, None, min_pixels=0.6)


def _glass(canvas: Canvas, rng: np.random.Generator, count: int) -> list[RGB]:
    """Return colours of panes: dark windows, curtains, the sky's reflection, lamps at dusk."""
    panes: list[RGB] = []
    for kind, amount in rng.random((count, 2)):
        if canvas.light.dark and kind < 0.3:
            panes.append((250, 210 + 20 * amount, 130 + 40 * amount))
        elif kind < 0.6:
            panes.append((34 + 40 * amount, 40 + 42 * amount, 48 + 48 * amount))
        elif kind < 0.8:
            panes.append((96 + 60 * amount, 112 + 60 * amount, 130 + 64 * amount))
        else:
            panes.append((150 + 50 * amount, 146 + 50 * amount, 136 + 50 * amount))
    return panes


def _windows(canvas: Canvas, rng: np.random.Generator, house: House, facing: Vector) -> None:
    length = house.z1 - house.z0
    storey = house.eaves / max(1, round(house.eaves / 3.1))
    across = max(1, round(length / rng.uniform(1.9, 3.4)))
    pitch = length / across
    half, tall = pitch * rng.uniform(0.22, 0.38), storey * rng.uniform(0.42, 0.62)
    sill = storey * 0.28
    panes = [
        ((i + 0.5) * pitch - half, storey * k + sill, (i + 0.5) * pitch + half, storey * k + sill + tall)
        for k in range(1, round(house.eaves / storey))
        for i in range(across)
    ]
    frame = (232.0, 230.0, 222.0) if rng.random() < 0.6 else _scaled(house.wall, 0.6)
    frames = [(a - 0.1, b - 0.16, c + 0.1, d + 0.1) for a, b, c, d in panes]
    canvas.quads(_on_facade(house, frames), [frame] * len(panes), facing, None, min_pixels=1.5)
    glass = _glass(canvas, rng, len(panes))
    canvas.quads(_on_facade(house, panes), glass, facing)
    if house.z0 < 18:
        bars = [((a + c) / 2 - 0.04, b, (a + c) / 2 + 0.04, d) for a, b, c, d in panes]
        bars += [(a, (b + d) / 2 - 0.04, c, (b + d) / 2 + 0.04) for a, b, c, d in panes]
        canvas.quads(_on_facade(house, bars), [frame] * len(bars), facing)


def _ground_floor(canvas: Canvas, rng: np.random.Generator, house: House, facing: Vector) -> None:
    length = house.z1 - house.z0
    if house.shop:
        fascia = FASCIAS[rng.integers(len(FASCIAS))]
        bays = max(1, round(length / 3.2))
        pitch = length / bays
        panes = [(i * pitch + 0.2, 0.5, (i + 1) * pitch - 0.2, 2.45) for i in range(bays)]
        canvas.quads(_on_facade(house, [(0.1, 0.12, length - 0.1, 2.6)]), [_scaled(fascia, 0.8)], facing)
        canvas.quads(_on_facade(house, panes), _glass(canvas, rng, bays), facing)
        canvas.quads(_on_facade(house, [(0.1, 2.55, length - 0.1, 3.15)], 0.15), [fascia], facing, BUILDING)
        letters = [(float(u), 2.72, float(u) + 0.28, 2.98) for u in np.arange(length * 0.25, length * 0.7, 0.42)]
        ink = (240.0, 236.0, 220.0) if sum(fascia) < 420 else (40.0, 40.0, 44.0)
        canvas.quads(_on_facade(house, letters, 0.15), [ink] * len(letters), facing)
        return
    doors = max(1, round(length / 7))
    paint = [FASCIAS[i] for i in rng.integers(len(FASCIAS), size=doors)]
    at = [(i + 0.5) * length / doors for i in range(doors)]
    canvas.quads(
        _on_facade(house, [(u - 0.65, 0.0, u + 0.65, 2.4) for u in at]),
        [(225, 222, 214)] * doors,
        facing,
        None,
        min_pixels=1.5,
    )
    canvas.quads(_on_facade(house, [(u - 0.5, 0.0, u + 0.5, 2.2) for u in at]), paint, facing)
    panes = [(u + d - 0.7, 0.9, u + d + 0.7, 2.3) for u in at for d in (-length / doors * 0.3, length / doors * 0.3)]
    canvas.quads(_on_facade(house, panes), _glass(canvas, rng, len(panes)), facing)


def _gable_windows(canvas: Canvas, rng: np.random.Generator, house: House) -> None:
    if rng.random() < 0.4:
        return
    floors = [(house.front + house.depth * at, v) for v in np.arange(1.0, house.eaves - 1.8, 3.0) for at in (0.25, 0.7)]
    quads = np.array(
        [
            [(house.side * (x + dx), v + dv, house.z0) for dx, dv in ((0, 0), (1, 0), (1, 1.4), (0, 1.4))]
            for x, v in floors
        ]
    )
    canvas.quads(quads.reshape(-1, 4, 3), _glass(canvas, rng, len(floors)), TOWARDS_CAMERA)


def _chimneys(canvas: Canvas, rng: np.random.Generator, house: House, middle: float) -> None:
    for at in rng.uniform(house.z0, house.z1, rng.integers(0, 3)):
        low, high = house.ridge - 0.8, house.ridge + rng.uniform(0.7, 1.4)
        for z, normal in ((at + 0.35, (-float(house.side), 0.0, 0.0)), (at - 0.35, TOWARDS_CAMERA)):
            corners = ((-0.5, low), (0.5, low), (0.5, high), (-0.5, high))
            canvas.polygon([(middle + dx, y, z) for dx, y in corners], (128, 76, 60), normal, BUILDING)


def paint_skyline(canvas: Canvas, rng: np.random.Generator, *, z: float, label: int, albedo: RGB, rough: bool) -> None:
    """Paint a silhouette from end to end of the horizon: roofs, which are stepped, or woods (`rough`)."""
    xs = np.cumsum(rng.uniform(2, 4, 90) if rough else rng.uniform(5, 16, 44))
    heights = rng.uniform(5, 11 if rough else 13, len(xs))
    if rough:
        heights = np.convolve(heights, (0.25, 0.5, 0.25), mode="same") + rng.normal(0, 0.5, len(xs))
    xs = xs - xs[-1] / 2
    top = [(x, y) for i, y in enumerate(heights) for x in ((xs[i],) if rough else (xs[max(0, i - 1)], xs[i]))]
    points = [(xs[0], -6.0, z), *((x, y, z) for x, y in top), (xs[-1], -6.0, z)]
    canvas.polygon(points, albedo, (0.0, 0.5, -0.86) if rough else TOWARDS_CAMERA, label)
    if not rough:
        tints = [_scaled(albedo, g) for g in rng.uniform(0.75, 1.15, len(xs))]
        for i in range(1, len(xs)):
            corners = ((xs[i - 1], -6), (xs[i], -6), (xs[i], heights[i]), (xs[i - 1], heights[i]))
            canvas.polygon([(x, y, z) for x, y in corners], tints[i], TOWARDS_CAMERA, label)
