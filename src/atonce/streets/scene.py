"""Render one scene, given its seed."""

from __future__ import annotations

import numpy as np
from PIL import Image

from atonce.data.dataset import Sample
from atonce.streets.buildings import paint_skyline
from atonce.streets.camera import Camera
from atonce.streets.canvas import BUILDING, TREE, UP, VOID, Canvas
from atonce.streets.ground import FAR, paint_ground, shadows_of
from atonce.streets.layout import draw_street
from atonce.streets.light import Light, sky
from atonce.streets.sensor import SUPERSAMPLING, majority_vote, simulate_sensor

SMALLEST = 32


def render_scene(seed: int, size: tuple[int, int] = (180, 240)) -> Sample:
    """Render a street in perspective, and the class of each of its pixels.

    Args:
        seed: 0 or more. The same seed and size give the same bytes.
        size: (height, width), each at least 32.

    Returns:
        image uint8 (H, W, 3) RGB; mask uint8 (H, W) with CamVid's ids 0..10 and 255 for void (the car's own bonnet,
        bins, what lies too far to tell, pixels where no class has four of the nine samples); name "street_000042".

    Raises:
        ValueError: negative seed, size under 32.
    """
    if seed < 0 or min(size) < SMALLEST:
        raise ValueError(f"seed {seed}, size {size}; expected a seed of at least 0 and sides of at least {SMALLEST}")
    rng = np.random.default_rng(seed)
    height, width = (side * SUPERSAMPLING for side in size)
    light = Light.draw(rng)
    street = draw_street(rng)
    camera = Camera.draw(rng, height, width, street.driving_side * street.road.half * 0.4)
    canvas = Canvas(camera, light, Image.fromarray(sky(rng, light, height, width)))
    _horizon(canvas, rng)
    paint_ground(canvas, rng, street.road)
    if light.casts_shadows:
        casters = [caster for object_ in street.objects for caster in object_.shadow]
        canvas.shadows(shadows_of(casters, light.towards))
    for object_ in street.objects:
        object_.paint(canvas, rng)
    if rng.random() < 0.4:
        _bonnet(canvas, rng)
    mask = majority_vote(np.asarray(canvas.ids))
    return Sample(simulate_sensor(rng, canvas.picture, mask), mask, f"street_{seed:06d}")


def _horizon(canvas: Canvas, rng: np.random.Generator) -> None:
    """Paint roofs and woods behind everything; below them, in half of the scenes, a strip nobody could name."""
    for z in (FAR * 1.25, FAR * 1.1):
        if rng.random() < 0.5:
            paint_skyline(canvas, rng, z=z, label=BUILDING, albedo=(140, 124, 112), rough=False)
        else:
            paint_skyline(canvas, rng, z=z, label=TREE, albedo=(74, 88, 52), rough=True)
    if rng.random() < 0.5:
        tall = float(rng.uniform(1.5, 4))
        strip = [(x, y, FAR) for x, y in ((-160, -6), (160, -6), (160, tall), (-160, tall * 0.7))]
        canvas.polygon(strip, (104, 104, 100), UP, VOID)


def _bonnet(canvas: Canvas, rng: np.random.Generator) -> None:
    """Paint the bonnet of the car that carries the camera, at the lower edge of the picture."""
    width, height = canvas.picture.size
    tall = height * rng.uniform(0.04, 0.14)
    middle = width * rng.uniform(0.4, 0.6)
    across = np.linspace(-0.1 * width, 1.1 * width, 24)
    bow = height - tall * (1 - ((across - middle) / (0.62 * width)) ** 2)
    grey = float(rng.uniform(18, 150))
    for lower, gain in ((0.0, 1.0), (tall * 0.25, 0.72), (tall * 0.6, 0.55)):
        edge = np.stack((across, bow + lower), axis=1)
        corners = np.array(((1.1 * width, height * 1.1), (-0.1 * width, height * 1.1)))
        tint = canvas.light.apparent_colour((grey, grey, grey * 1.04), canvas.light.shade(UP), 0.0)
        r, g, b = (round(c * gain) for c in tint)
        canvas.fill(np.concatenate((edge, corners)), (r, g, b), VOID)
