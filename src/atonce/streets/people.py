"""People on foot and on bicycles."""

from __future__ import annotations

import numpy as np

from atonce.streets.canvas import BICYCLIST, PEDESTRIAN, Billboard, Canvas
from atonce.streets.light import RGB

SKINS: tuple[RGB, ...] = ((224, 182, 154), (198, 150, 118), (142, 98, 70), (92, 64, 48))
HAIRS: tuple[RGB, ...] = ((40, 32, 28), (86, 60, 40), (150, 116, 70), (120, 118, 116))
TOPS: tuple[RGB, ...] = (
    (36, 38, 44),
    (64, 68, 92),
    (150, 30, 36),
    (36, 72, 140),
    (206, 202, 194),
    (168, 126, 76),
    (46, 104, 70),
    (222, 122, 34),
    (132, 58, 118),
    (214, 184, 60),
)
TROUSERS: tuple[RGB, ...] = ((40, 42, 50), (58, 70, 98), (96, 88, 76), (30, 30, 32), (130, 122, 108))


def _pick(rng: np.random.Generator, colours: tuple[RGB, ...]) -> RGB:
    return colours[rng.integers(len(colours))]


def paint_pedestrian(canvas: Canvas, rng: np.random.Generator, *, x: float, z: float, floor: float) -> None:
    """Paint somebody who walks or stands, seen from the front, the back or the side."""
    board = canvas.billboard(x, floor, z)
    if board is None:
        return
    tall = rng.uniform(1.05, 1.35) if rng.random() < 0.1 else rng.uniform(1.55, 1.9)
    sideways = rng.random() < 0.45
    direction = 1.0 if rng.random() < 0.5 else -1.0
    top, cloth, skin, hair = (_pick(rng, c) for c in (TOPS, TROUSERS, SKINS, HAIRS))
    stride = rng.uniform(0.05, 0.28) if sideways else rng.uniform(0.0, 0.06)
    hips, wide = 0.5 * tall, (0.17 if sideways else 0.22) * tall / 1.75
    for foot, gain in ((-stride, 0.75), (stride, 1.0)):
        hip = 0.0 if sideways else (0.09 if foot >= 0 else -0.09)
        foot = foot * direction + hip
        board.bar((hip * 0.8, hips), (foot, 0.06), (0.17, 0.11), cloth, label=PEDESTRIAN, gain=gain)
        board.ellipse((foot + 0.05 * direction * sideways, 0.05), (0.1, 0.05), (34, 30, 28), label=PEDESTRIAN)
    hem = hips - (rng.uniform(0.02, 0.3) if rng.random() < 0.5 else 0.0) * tall / 1.75
    torso = ((-wide * 0.85, hem), (-wide, 0.72 * tall), (-wide * 0.72, 0.83 * tall))
    mirrored = [(-a, b) for a, b in reversed(torso)]
    for arm, gain in ((-1, 0.72), (1, 1.0)):
        swing = stride * arm * direction if sideways else arm * rng.uniform(0.05, 0.12)
        start = (0.0 if sideways else arm * wide * 0.9, 0.8 * tall)
        board.bar(start, (start[0] + swing, 0.47 * tall), (0.12, 0.09), top, label=PEDESTRIAN, gain=gain)
        if arm < 0:
            board.polygon([*torso, *mirrored], top, label=PEDESTRIAN)
            board.polygon([(0, hem), (0, 0.83 * tall), *mirrored], top, gain=0.8)
    if rng.random() < 0.3:
        board.ellipse((-direction * wide * 0.8, 0.68 * tall), (0.13, 0.2), _pick(rng, TOPS), label=PEDESTRIAN)
    _head(board, rng, x=0.04 * direction * sideways, tall=tall, skin=skin, hair=hair)


def _head(board: Billboard, rng: np.random.Generator, *, x: float, tall: float, skin: RGB, hair: RGB) -> None:
    board.bar((x * 0.5, 0.8 * tall), (x, 0.88 * tall), (0.1, 0.1), skin, label=PEDESTRIAN, gain=0.8)
    board.ellipse((x, 0.935 * tall), (0.1, 0.125), hair, label=PEDESTRIAN)
    if rng.random() < 0.55:
        board.ellipse((x + 0.01, 0.922 * tall), (0.082, 0.1), skin, label=PEDESTRIAN)


def paint_cyclist(canvas: Canvas, rng: np.random.Generator, *, x: float, z: float) -> None:
    """Paint a rider: along the road most of the time, so seen from an end, sometimes across it."""
    board = canvas.billboard(x, 0.0, z)
    if board is None:
        return
    # The share of the bicycle's length that shows: near 0 from an end, 1 from the side; signed by the direction.
    side_view = float(rng.uniform(0.2, 0.5) if rng.random() < 0.55 else rng.uniform(0.6, 1.0))
    direction = side_view if rng.random() < 0.5 else -side_view
    _bicycle(board, rng, direction, side_view)
    _rider(board, rng, direction, side_view)


def _bicycle(board: Billboard, rng: np.random.Generator, direction: float, side_view: float) -> None:
    frame = _pick(rng, TOPS)
    for centre in (-0.52, 0.52):
        wheel = board.box((centre * direction, 0.34), (0.34 * side_view, 0.34))
        # One sees through a wheel; annotators (and CamVid) give all of it to the cyclist.
        board.canvas.ellipse_ids(wheel, BICYCLIST)
        board.canvas.ellipse_outline(wheel, board.tone((24, 24, 26)), max(1, round(0.05 * board.scale)))
    bars = (
        ((-0.52, 0.34), (-0.1, 0.3)),
        ((-0.1, 0.3), (-0.2, 0.9)),
        ((-0.1, 0.3), (0.38, 0.85)),
        ((-0.2, 0.85), (0.38, 0.85)),
        ((-0.52, 0.34), (-0.2, 0.85)),
        ((0.52, 0.34), (0.36, 1.02)),
    )
    for (a, b), (c, d) in bars:
        board.bar((a * direction, b), (c * direction, d), (0.05, 0.05), frame, label=BICYCLIST)
    half = 0.28 * (1 - side_view)
    board.bar(
        (0.4 * direction - half, 1.03), (0.4 * direction + half, 1.03), (0.05, 0.05), (30, 30, 32), label=BICYCLIST
    )


def _rider(board: Billboard, rng: np.random.Generator, direction: float, side_view: float) -> None:
    top, cloth, skin = _pick(rng, TOPS), _pick(rng, TROUSERS), _pick(rng, SKINS)
    if rng.random() < 0.4:
        top = (214, 220, 40)
    apart = 0.1 * (1 - side_view)
    crank = rng.uniform(0, 2 * np.pi)
    shoulder, hip = (0.16 * direction, 1.42), (-0.18 * direction, 0.95)
    for leg, gain in ((-1, 0.75), (1, 1.0)):
        pedal = (-0.1 + 0.16 * np.cos(crank) * leg) * direction + leg * apart, 0.3 + 0.16 * np.sin(crank) * leg
        knee = (pedal[0] + hip[0]) / 2 + 0.2 * direction, (pedal[1] + hip[1]) / 2 + 0.1
        board.bar((hip[0] + leg * apart, hip[1]), knee, (0.19, 0.14), cloth, label=BICYCLIST, gain=gain)
        board.bar(knee, pedal, (0.14, 0.1), cloth, label=BICYCLIST, gain=gain)
        board.ellipse((pedal[0] + 0.04 * direction, pedal[1] - 0.02), (0.1, 0.05), (34, 32, 32), label=BICYCLIST)
    broad = 0.26 * side_view + 0.44 * (1 - side_view)
    board.bar(hip, shoulder, (broad * 0.85, broad), top, label=BICYCLIST)
    board.bar(
        (hip[0] + broad * 0.22, hip[1]),
        (shoulder[0] + broad * 0.25, shoulder[1]),
        (0.1, 0.12),
        top,
        gain=0.78,
    )
    for arm in (-1, 1):
        start = shoulder[0] + arm * broad * 0.45 * (1 - side_view), shoulder[1] - 0.06
        board.bar(
            start, (0.4 * direction + arm * 0.24 * (1 - side_view), 1.05), (0.11, 0.08), top, label=BICYCLIST, gain=0.9
        )
    board.ellipse((0.25 * direction, 1.57), (0.1, 0.125), skin, label=BICYCLIST)
    helmet = _pick(rng, TOPS) if rng.random() < 0.6 else _pick(rng, HAIRS)
    board.ellipse((0.24 * direction, 1.62), (0.115, 0.085), helmet, label=BICYCLIST)
