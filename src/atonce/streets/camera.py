"""The pinhole camera: the pixel that a point of the street is projected to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

NEAR = 0.25
"""Metres in front of the lens; anything nearer is clipped away."""


@dataclass(frozen=True)
class Camera:
    """A pinhole on the road. World axes in metres: x right, y up, z along the road.

    Attributes:
        focal: in pixels of the canvas.
        centre: principal point (column, row).
        position: (3,), the lens: x from the road's centre line, y over the road, z = 0.
        rotation: (3, 3), world to camera.
        bend, hill: the street leaves its tangent by `bend * z**2` to the right and `hill * z**2` upwards.
    """

    focal: float
    centre: tuple[float, float]
    position: Floats
    rotation: Floats
    bend: float
    hill: float

    @classmethod
    def draw(cls, rng: np.random.Generator, height: int, width: int, lane: float) -> Camera:
        """Draw a camera behind some windscreen at random; `lane` is the x of the middle of its lane."""
        yaw, pitch, roll = rng.normal(0, (0.045, 0.022, 0.008))
        cy, sy, cp, sp, cr, sr = (f(a) for a in (yaw, pitch, roll) for f in (np.cos, np.sin))
        turn = np.array([[cy, 0, -sy], [0, 1, 0], [sy, 0, cy]])
        nod = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
        tilt = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
        return cls(
            focal=width / 2 / np.tan(np.radians(rng.uniform(19, 25))),
            centre=(width / 2, height * rng.uniform(0.44, 0.56)),
            position=np.array((lane + rng.normal(0, 0.35), rng.uniform(1.25, 2.0), 0.0)),
            rotation=tilt @ nod @ turn,
            bend=rng.normal(0, 0.0009),
            hill=rng.normal(0, 0.00025),
        )

    def to_camera(self, points: Floats) -> Floats:
        """Transform world coordinates (..., 3) into those of the camera (..., 3): right, up, depth."""
        z = points[..., 2]
        away: Floats = points - self.position
        away[..., 0] += self.bend * z * z
        away[..., 1] += self.hill * z * z
        turned: Floats = away @ self.rotation.T
        return turned

    def project(self, points: Floats) -> Floats:
        """Project camera coordinates (..., 3), depth > 0, to pixels (..., 2): column, row."""
        pixels: Floats = points[..., :2] / points[..., 2:] * (self.focal, -self.focal) + self.centre
        return pixels


def clip_near(view: Floats) -> Floats:
    """Return the part of a polygon (N, 3) in camera coordinates beyond the near plane; (0, 3) when there is none."""
    kept: list[Floats] = []
    for here, there in zip(view, np.roll(view, -1, axis=0), strict=True):
        if here[2] >= NEAR:
            kept.append(here)
        if (here[2] >= NEAR) != (there[2] >= NEAR):
            kept.append(here + (there - here) * ((NEAR - here[2]) / (there[2] - here[2])))
    return np.array(kept).reshape(-1, 3)
