"""Street furniture: lamp posts, signs, traffic lights, bollards, fences, bins."""

from __future__ import annotations

import numpy as np

from atonce.streets.canvas import BUILDING, FENCE, POLE, SIGN, TOWARDS_CAMERA, UP, VOID, Canvas
from atonce.streets.light import RGB

METALS: tuple[RGB, ...] = ((92, 96, 98), (58, 62, 62), (128, 130, 130), (44, 56, 48))
WHITE: RGB = (236, 236, 232)
RED: RGB = (188, 26, 32)
BLUE: RGB = (26, 76, 158)


def _pick(rng: np.random.Generator, colours: tuple[RGB, ...]) -> RGB:
    return colours[rng.integers(len(colours))]


def paint_lamp(canvas: Canvas, rng: np.random.Generator, *, x: float, z: float, height: float) -> None:
    """Paint a street lamp; its arm reaches over the road."""
    board = canvas.billboard(x, 0.1, z)
    if board is None:
        return
    metal, thick = _pick(rng, METALS), float(rng.uniform(0.11, 0.17))
    inward = -1.0 if x > 0 else 1.0
    board.bar((0, 0), (0, 1.2), (thick * 1.6, thick * 1.5), metal, label=POLE)
    board.bar((0, 1.0), (0, height), (thick * 1.1, thick * 0.8), metal, label=POLE)
    board.bar((thick * 0.2, 0), (thick * 0.2, height), (thick * 0.35, thick * 0.25), metal, gain=0.65)
    arm = float(rng.uniform(0.6, 1.8)) * inward
    board.bar((0, height), (arm, height + 0.3), (thick * 0.7, thick * 0.6), metal, label=POLE)
    head = (252.0, 236.0, 190.0) if canvas.light.dark else (150.0, 150.0, 148.0)
    board.bar((arm, height + 0.26), (arm + 0.65 * inward, height + 0.34), (0.16, 0.12), head, label=POLE)


def paint_bollard(canvas: Canvas, rng: np.random.Generator, *, x: float, z: float) -> None:
    """Paint a bollard with a white band."""
    board = canvas.billboard(x, 0.1, z)
    if board is not None:
        board.bar((0, 0), (0, 0.95), (0.17, 0.14), (40, 40, 42), label=POLE)
        board.bar((0, 0.74), (0, 0.86), (0.16, 0.15), WHITE)


def paint_sign(canvas: Canvas, rng: np.random.Generator, *, x: float, z: float, kind: str) -> None:
    """Paint a sign. kind: "round", "triangle", "blue", "board" (directions) or "panel" (advertising)."""
    board = canvas.billboard(x, 0.1, z)
    if board is None:
        return
    metal, size = _pick(rng, METALS), float(rng.uniform(0.32, 0.48))
    high = float(rng.uniform(2.1, 2.9))
    if kind in ("board", "panel"):
        _sign_board(canvas, rng, x=x, z=z, kind=kind)
        return
    board.bar((0, 0), (0, high + 0.2), (0.09, 0.09), metal, label=POLE)
    if kind == "triangle":
        for r, colour in ((size * 1.25, RED), (size * 0.8, WHITE)):
            board.polygon(
                [(-r * 0.87, high - r * 0.5), (r * 0.87, high - r * 0.5), (0, high + r)],
                colour,
                label=SIGN if r > size else None,
            )
        board.bar((0, high - size * 0.2), (0, high + size * 0.3), (0.1, 0.06), (30, 30, 32))
    elif kind == "blue":
        wide, tall = size * rng.uniform(0.7, 1.0), size * rng.uniform(0.9, 1.3)
        colour = BLUE if rng.random() < 0.6 else _pick(rng, ((20, 96, 64), (232, 200, 60), WHITE))
        board.bar((0, high - tall), (0, high + tall), (2 * wide, 2 * wide), colour, label=SIGN)
        board.bar((0, high - tall * 0.5), (0, high + tall * 0.5), (wide * 0.7, wide * 0.4), WHITE)
    else:
        inner = WHITE if rng.random() < 0.7 else BLUE
        board.ellipse((0, high), (size, size), RED, label=SIGN)
        board.ellipse((0, high), (size * 0.74, size * 0.74), inner)
        board.bar((-size * 0.4, high), (size * 0.4, high), (size * 0.5, size * 0.4), (30, 30, 32))
    if rng.random() < 0.3:
        board.bar((0, high - size - 0.5), (0, high - size - 0.12), (0.6, 0.6), WHITE, label=SIGN)


def _sign_board(canvas: Canvas, rng: np.random.Generator, *, x: float, z: float, kind: str) -> None:
    board = canvas.billboard(x, 0.1, z)
    if board is None:
        return
    wide, tall = float(rng.uniform(0.7, 1.2)), float(rng.uniform(0.45, 0.8))
    low = 2.0 if kind == "board" else 0.6
    if kind == "panel":
        tall = float(rng.uniform(0.8, 1.1))
    for leg in (-wide * 0.7, wide * 0.7):
        board.bar((leg, 0), (leg, low + 0.1), (0.1, 0.1), _pick(rng, METALS), label=POLE)
    if kind == "board":
        back = _pick(rng, ((18, 92, 62), BLUE, WHITE))
    else:
        r, g, b = (float(v) for v in rng.uniform(40, 230, 3))
        back = r, g, b
    ink = WHITE if sum(back) < 420 else (40.0, 40.0, 48.0)
    middle = low + tall
    board.bar((0, low), (0, low + 2 * tall), (2 * wide, 2 * wide), ink, label=SIGN)
    board.bar((0, low + 0.06), (0, low + 2 * tall - 0.06), (2 * wide - 0.12, 2 * wide - 0.12), back)
    for row in (-0.5, 0.0, 0.5):
        start, end = rng.uniform(-0.8, -0.4) * wide, rng.uniform(0.1, 0.8) * wide
        board.bar((start, middle + row * tall), (end, middle + row * tall), (0.16 * tall, 0.16 * tall), ink)


def paint_traffic_light(canvas: Canvas, rng: np.random.Generator, *, x: float, z: float) -> None:
    """Paint a traffic light, one of its three lamps lit."""
    board = canvas.billboard(x, 0.1, z)
    if board is None:
        return
    high = float(rng.uniform(2.3, 3.0))
    board.bar((0, 0), (0, high + 0.1), (0.12, 0.11), _pick(rng, METALS), label=POLE)
    board.bar((0, high - 0.05), (0, high + 1.1), (0.46, 0.46), (26, 27, 28), label=SIGN)
    if rng.random() < 0.5:
        board.bar((0, high - 0.12), (0, high + 1.17), (0.03, 0.03), WHITE)
    lit = int(rng.integers(3))
    for i, glow in enumerate(((60, 230, 130), (255, 180, 40), (255, 50, 40))):
        gain = 1.3 if i == lit else 0.22
        board.ellipse((0, high + 0.17 + 0.35 * i), (0.12, 0.12), glow, gain=gain)


def paint_bin(canvas: Canvas, rng: np.random.Generator, *, x: float, z: float) -> None:
    """Paint a bin or a cabinet: void, for CamVid has no class for them."""
    board = canvas.billboard(x, 0.1, z)
    if board is None:
        return
    wide, tall = float(rng.uniform(0.4, 0.9)), float(rng.uniform(0.9, 1.5))
    body = _pick(rng, ((40, 62, 48), (34, 34, 38), (96, 98, 96), (120, 36, 34)))
    board.bar((0, 0), (0, tall), (wide, wide), body, label=VOID)
    board.bar((wide * 0.3, 0), (wide * 0.3, tall), (wide * 0.4, wide * 0.4), body, gain=0.75)
    board.bar((0, tall * 0.9), (0, tall), (wide * 1.08, wide * 1.0), body, label=VOID, gain=1.2)


def paint_fence(canvas: Canvas, rng: np.random.Generator, *, x: float, z0: float, z1: float, kind: str) -> None:
    """Paint a fence along the street at x. kind: "railing" (seen through), "boards" or "wall".

    Walls are buildings: of CamVid's 32 classes, Wall went into Building when they became eleven.
    """
    inward = (-1.0 if x > 0 else 1.0, 0.1, 0.0)
    tall = float(
        {"railing": rng.uniform(1.0, 1.35), "boards": rng.uniform(1.3, 1.9), "wall": rng.uniform(0.9, 1.7)}[kind]
    )
    face = ((x, 0.0, z0), (x, tall, z0), (x, tall, z1), (x, 0.0, z1))
    if kind == "railing":
        canvas.polygon_ids(face, FENCE)
        metal = _pick(rng, ((34, 36, 38), (120, 122, 122), (46, 60, 52)))
        step = 0.14 if z0 < 14 else 0.26
        posts = [(float(z), 0.0, float(z) + 0.06, tall) for z in np.arange(z0, z1, step)]
        posts += [(float(z), 0.0, float(z) + 0.1, tall + 0.05) for z in np.arange(z0, z1, 2.0)]
        bars = [(z0, y, z1, y + 0.07) for y in (0.12, tall - 0.07)]
        _panels(
            canvas,
            x=x,
            rectangles=posts + bars,
            albedos=[metal] * (len(posts) + len(bars)),
            normal=inward,
            min_pixels=0.3,
            label=FENCE,
        )
        return
    wood = _pick(rng, ((126, 94, 62), (104, 88, 72), (146, 122, 92), (88, 96, 84)))
    brick = _pick(rng, ((134, 84, 68), (150, 140, 124), (116, 90, 76)))
    colour = wood if kind == "boards" else brick
    label = FENCE if kind == "boards" else BUILDING
    canvas.polygon(face, colour, inward, label)
    canvas.polygon(
        [(x + dx, y, z0) for dx, y in ((0, 0), (0.25, 0), (0.25, tall), (0, tall))], colour, TOWARDS_CAMERA, label
    )
    if kind == "boards":
        slats = [(float(z), 0.0, float(z) + 0.16, tall) for z in np.arange(z0, z1 - 0.1, 0.2)]
        gains = rng.uniform(0.82, 1.15, len(slats))
    else:
        slats = [(z0, float(y), z1, float(y) + 0.04) for y in np.arange(0.15, tall - 0.1, 0.16)]
        gains = np.full(len(slats), 0.82)
    _panels(
        canvas,
        x=x,
        rectangles=slats,
        albedos=[(colour[0] * g, colour[1] * g, colour[2] * g) for g in gains],
        normal=inward,
        min_pixels=0.7,
        label=label,
    )
    cap = [(z0, tall - 0.09, z1, tall)]
    _panels(
        canvas,
        x=x,
        rectangles=cap,
        albedos=[(colour[0] * 1.2, colour[1] * 1.2, colour[2] * 1.2)],
        normal=UP,
        min_pixels=0.5,
        label=label,
    )


def _panels(
    canvas: Canvas,
    *,
    x: float,
    rectangles: list[tuple[float, float, float, float]],
    albedos: list[RGB],
    normal: tuple[float, float, float],
    min_pixels: float,
    label: int,
) -> None:
    """Paint rectangles (z0, y0, z1, y1) in the plane at x."""
    r = np.array(rectangles)
    quads = np.full((len(r), 4, 3), x)
    quads[:, :, 2], quads[:, :, 1] = r[:, (0, 2, 2, 0)], r[:, (1, 1, 3, 3)]
    canvas.quads(quads, albedos, normal, label, min_pixels=min_pixels)
