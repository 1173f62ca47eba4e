"""Trees, in leaf or bare, and hedges."""

from __future__ import annotations

import numpy as np

from atonce.streets.canvas import TOWARDS_CAMERA, TREE, UP, Billboard, Canvas
from atonce.streets.light import RGB

GREENS: tuple[RGB, ...] = ((74, 98, 44), (92, 112, 52), (58, 84, 46), (110, 116, 56), (66, 78, 40))
AUTUMN: tuple[RGB, ...] = ((158, 108, 42), (146, 84, 40), (128, 116, 48))
BARK: tuple[RGB, ...] = ((74, 62, 50), (92, 82, 70), (60, 54, 48))


def _pick(rng: np.random.Generator, colours: tuple[RGB, ...], deviation: float = 7) -> RGB:
    """Pick one of the colours and vary it by a normal distribution."""
    r, g, b = (
        float(np.clip(c + d, 5, 250))
        for c, d in zip(colours[rng.integers(len(colours))], _shift(rng, deviation), strict=True)
    )
    return r, g, b


def _shift(rng: np.random.Generator, deviation: float) -> list[float]:
    return [float(v) for v in rng.normal(0, deviation) + rng.normal(0, deviation / 2, 3)]


def paint_tree(
    canvas: Canvas, rng: np.random.Generator, *, x: float, z: float, height: float, season: str, floor: float = 0.0
) -> None:
    """Paint a tree `height` metres tall. season: "summer", "autumn", "winter" (bare) or "conifer"."""
    board = canvas.billboard(x, floor, z)
    if board is None:
        return
    bark = _pick(rng, BARK)
    fork = height * rng.uniform(0.24, 0.36)
    girth = height * 0.035
    lean = rng.normal(0, 0.03) * height
    board.bar((0, 0), (lean, fork * 1.3), (girth * 1.3, girth * 0.8), bark, label=TREE)
    board.bar((girth * 0.25, 0), (lean + girth * 0.2, fork * 1.3), (girth * 0.5, girth * 0.3), bark, gain=0.7)
    if season == "winter":
        _branches(
            board,
            rng,
            root=(lean, fork),
            angle=np.pi / 2,
            length=(height - fork) * 0.42,
            girth=girth * 0.8,
            levels=5,
            bark=bark,
        )
    elif season == "conifer":
        _conifer(board, rng, lean, height)
    else:
        leaf = _pick(rng, AUTUMN if season == "autumn" else GREENS)
        _crown(board, rng, lean=lean, fork=fork, height=height, leaf=leaf)


def _branches(
    board: Billboard,
    rng: np.random.Generator,
    *,
    root: tuple[float, float],
    angle: float,
    length: float,
    girth: float,
    levels: int,
    bark: RGB,
) -> None:
    """Paint a branch and, at its tip, `levels` further generations of branches."""
    if length * board.scale < 5:
        return
    tip = root[0] + np.cos(angle) * length, root[1] + np.sin(angle) * length
    thick = max(girth, 1.4 / board.scale)
    board.bar(root, tip, (thick, thick * 0.7), bark, label=TREE)
    if levels < 4:
        # One sees through a bare crown; annotators (and CamVid) outline the whole of it.
        board.canvas.ellipse_ids(board.box(tip, (length * 0.6, length * 0.6)), TREE)
    if levels:
        for turn in rng.normal((-0.5, 0.05, 0.5), 0.2) if levels > 3 else rng.normal((-0.45, 0.4), 0.2):
            _branches(
                board,
                rng,
                root=tip,
                angle=angle + turn,
                length=length * rng.uniform(0.62, 0.85),
                girth=girth * 0.62,
                levels=levels - 1,
                bark=bark,
            )


def _crown(board: Billboard, rng: np.random.Generator, *, lean: float, fork: float, height: float, leaf: RGB) -> None:
    """Paint clumps of leaves, the lit ones last, then single leaves that fray the edge."""
    middle, ry = (height + fork) / 2, (height - fork) / 2
    rx = ry * rng.uniform(0.7, 1.05)
    sun = board.canvas.light.towards
    clumps = int(np.clip(board.scale * ry * 0.35, 14, 60))
    angle, reach = rng.uniform(0, 2 * np.pi, clumps), np.sqrt(rng.random(clumps)) * 0.82
    u, v = np.cos(angle) * reach, np.sin(angle) * reach
    board.ellipse((lean, middle), (rx * 0.78, ry * 0.78), leaf, label=TREE, gain=0.55)
    lit = 0.30 * v + 0.22 * u * np.sign(sun[0]) + rng.normal(0, 0.12, clumps)
    size = rng.uniform(0.16, 0.32, clumps)
    order = np.argsort(lit)
    at = np.stack((lean + rx * u, middle + ry * v), axis=1)[order]
    radii = np.stack((rx * size, ry * size * 0.85), axis=1)[order]
    board.ellipses(at, radii, leaf, gains=np.clip(0.78 + 0.75 * lit[order], 0.45, 1.25), label=TREE)
    leaves = int(np.clip(board.scale * ry * 0.9, 20, 130))
    angle, reach = rng.uniform(0, 2 * np.pi, leaves), rng.uniform(0.2, 1.04, leaves)
    at = np.stack((lean + rx * np.cos(angle) * reach, middle + ry * np.sin(angle) * reach), axis=1)
    radii = np.repeat(rng.uniform(0.02, 0.06, (leaves, 1)) * min(rx, 1.6), 2, axis=1)
    board.ellipses(at, radii, leaf, gains=rng.uniform(0.45, 1.35, leaves), label=TREE)


def _conifer(board: Billboard, rng: np.random.Generator, lean: float, height: float) -> None:
    leaf = _pick(rng, ((38, 58, 38), (46, 64, 46)))
    tiers = 14
    for i in range(tiers):
        low = height * (0.1 + 0.85 * i / tiers)
        half = height * 0.24 * (1 - i / tiers) * rng.uniform(0.85, 1.15) + 0.1
        teeth = np.linspace(-half, half, 11)
        hem = [
            (lean + float(t), low + float(d) * height)
            for t, d in zip(teeth, rng.uniform(-0.025, 0.025, 11), strict=True)
        ]
        board.polygon([*hem, (lean, low + height * 0.2)], leaf, label=TREE, gain=float(rng.uniform(0.65, 1.1)))


def paint_hedge(canvas: Canvas, rng: np.random.Generator, *, x: float, z0: float, z1: float, height: float) -> None:
    """Paint a clipped hedge along the street at x, its face towards the road."""
    leaf, side = _pick(rng, GREENS), 1.0 if x > 0 else -1.0
    along = np.linspace(z0, z1, max(3, int((z1 - z0) / 0.7)))
    tops = height + rng.normal(0, 0.05, len(along))
    canvas.polygon(
        [(x, 0, z0), *((x, float(y), float(z)) for z, y in zip(along, tops, strict=True)), (x, 0, z1)],
        leaf,
        (-side, 0.2, 0.0),
        TREE,
    )
    canvas.polygon(
        [(x, 0, z0), (x, height, z0), (x + side * 0.8, height, z0), (x + side * 0.8, 0, z0)], leaf, TOWARDS_CAMERA, TREE
    )
    spots = rng.uniform((z0, 0.05), (z1 - 0.3, height * 0.92), (int(6 * (z1 - z0)), 2))
    corners = np.array(((0, 0), (0.3, 0.05), (0.26, 0.22), (0.03, 0.16)))
    quads = np.full((len(spots), 4, 3), x)
    quads[:, :, (2, 1)] = spots[:, None] + corners
    canvas.quads(quads, [(leaf[0] * g, leaf[1] * g, leaf[2] * g) for g in rng.uniform(0.55, 1.35, len(spots))], UP)
