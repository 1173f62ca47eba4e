"""Profiles of vehicles, seen from the side."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Shape:
    """A side view from the rear bumper (t = 0) to the front (t = 1).

    Attributes:
        profile: nine points (t, height): bumper, lid, belt, roof rear, roof front, screen foot, bonnet, nose, bumper.
        length, width: metres; roof: its width as a share of the body's.
    """

    profile: tuple[tuple[float, float], ...]
    length: float
    width: float
    roof: float


SHAPES = {
    "hatch": Shape(
        (
            (0, 0.3),
            (0, 0.82),
            (0.04, 0.95),
            (0.15, 1.42),
            (0.52, 1.46),
            (0.75, 0.98),
            (0.96, 0.78),
            (1, 0.6),
            (1, 0.28),
        ),
        length=3.9,
        width=1.72,
        roof=0.78,
    ),
    "saloon": Shape(
        ((0, 0.3), (0, 0.85), (0.16, 0.96), (0.3, 1.38), (0.56, 1.42), (0.73, 0.97), (0.97, 0.78), (1, 0.6), (1, 0.28)),
        length=4.5,
        width=1.78,
        roof=0.76,
    ),
    "suv": Shape(
        ((0, 0.4), (0, 0.95), (0.02, 1.1), (0.08, 1.72), (0.56, 1.76), (0.74, 1.14), (0.97, 1.0), (1, 0.75), (1, 0.38)),
        length=4.6,
        width=1.9,
        roof=0.84,
    ),
    "van": Shape(
        ((0, 0.4), (0, 1.0), (0, 1.25), (0.02, 2.2), (0.74, 2.25), (0.88, 1.3), (0.98, 1.05), (1, 0.75), (1, 0.36)),
        length=5.0,
        width=1.95,
        roof=0.92,
    ),
}
BELT, ROOF_REAR, ROOF_FRONT, SCREEN_FOOT = 2, 3, 4, 5
