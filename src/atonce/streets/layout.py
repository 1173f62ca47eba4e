"""The layout of a street: which objects stand where. Every scene is drawn from its random generator alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from atonce.streets.buildings import draw_house, paint_house
from atonce.streets.canvas import Canvas
from atonce.streets.furniture import (
    paint_bin,
    paint_bollard,
    paint_fence,
    paint_lamp,
    paint_sign,
    paint_traffic_light,
)
from atonce.streets.ground import KERB, Road, ShadowCaster, draw_road
from atonce.streets.people import paint_cyclist, paint_pedestrian
from atonce.streets.plants import paint_hedge, paint_tree
from atonce.streets.vehicles import draw_car, paint_car

Painter = Callable[[Canvas, np.random.Generator], None]


@dataclass(frozen=True)
class SceneObject:
    """Something that stands in the scene. Objects are painted from the largest depth to the smallest.

    Attributes:
        depth: z for something small. For a plot, its far end: whatever stands before the plot is then nearer.
        paint: draws it on a canvas.
        shadow: solids that cast its shadow.
    """

    depth: float
    paint: Painter
    shadow: tuple[ShadowCaster, ...] = ()


@dataclass
class Street:
    """A scene before it is painted.

    Attributes:
        season: "summer", "autumn" or "winter", for the trees.
        city: 0..1, from a village to a city: how high and how dense the houses are.
        driving_side: 1 where one drives on the right, -1 on the left.
        objects: whatever stands on the ground.
    """

    road: Road
    season: str
    city: float
    driving_side: int
    objects: list[SceneObject] = field(default_factory=list)

    def add(
        self, depth: float, paint: Callable[..., None], *, shadow: tuple[ShadowCaster, ...] = (), **arguments: object
    ) -> None:
        """Add an object that `paint(canvas, rng, **arguments)` draws."""

        def apply(canvas: Canvas, rng: np.random.Generator) -> None:
            paint(canvas, rng, **arguments)

        self.objects.append(SceneObject(depth, apply, shadow))


def draw_street(rng: np.random.Generator) -> Street:
    """Draw a whole street at random: its road, and what stands on both sides and on it."""
    crossings = tuple(
        (side, start, start + float(rng.uniform(6, 10)))
        for side in (-1, 1)
        if rng.random() < 0.55
        for start in (float(rng.uniform(14, 50)),)
    )
    street = Street(
        road=draw_road(rng, crossings),
        season=str(rng.choice(("summer", "autumn", "winter"), p=(0.68, 0.18, 0.14))),
        city=float(rng.beta(0.9, 0.9)),
        driving_side=1 if rng.random() < 0.5 else -1,
    )
    for side in (-1, 1):
        _plots(street, rng, side)
        _pavement(street, rng, side)
    _traffic(street, rng)
    _people(street, rng)
    street.objects.sort(key=lambda object_: -object_.depth)
    return street


def _disc(x: float, z: float, r: float) -> tuple[tuple[float, float], ...]:
    """An octagon on the ground: the footprint of something round."""
    return tuple((x + r * float(np.cos(a)), z + r * float(np.sin(a))) for a in np.linspace(0, 2 * np.pi, 9)[:-1])


def _tree(street: Street, rng: np.random.Generator, *, x: float, z: float, floor: float, scale: float = 1.0) -> None:
    height = float(rng.uniform(4.5, 10)) * scale
    season = street.season if rng.random() < 0.88 else "conifer"
    crown = ShadowCaster(_disc(x, z, height * 0.27), height * 0.8, height * 0.4)
    trunk = ShadowCaster(_disc(x, z, 0.15), height * 0.6)
    street.add(z, paint_tree, x=x, z=z, height=height, season=season, floor=floor, shadow=(crown, trunk))


def _plots(street: Street, rng: np.random.Generator, side: int) -> None:
    """Fill one side of the street: terraces, gardens, parks, around the side streets."""
    edge = street.road.half + street.road.pavements[side > 0]
    openings = [(z0 - 1.5, z1 + 1.5) for s, z0, z1 in street.road.side_streets if s == side]
    z = float(rng.uniform(-6, 2))
    weights = np.array((0.25 + street.city, 0.75 * (1 - street.city) + 0.1, 0.22, 0.10))
    while z < 125:
        end = z + float(rng.uniform(6, 15))
        blocked = next((o for o in openings if o[0] < end and o[1] > z), None)
        if blocked and blocked[0] - z < 4:
            z = blocked[1]
            continue
        if blocked:
            end = blocked[0]
        kind = int(rng.choice(4, p=weights / weights.sum()))
        (_terrace, _garden, _park, _yard)[kind](street, rng, side=side, edge=edge, z0=z, z1=end)
        z = end if rng.random() < 0.8 else end + float(rng.uniform(0.5, 3))


def _terrace(street: Street, rng: np.random.Generator, *, side: int, edge: float, z0: float, z1: float) -> None:
    _house(street, rng, side=side, front=edge, z0=z0, z1=z1, depth=z1)


def _house(
    street: Street, rng: np.random.Generator, *, side: int, front: float, z0: float, z1: float, depth: float
) -> None:
    house = draw_house(rng, side=side, front=front, z0=z0, z1=z1, city=street.city)
    x, back = side * front, side * (front + 4)
    solid = ShadowCaster(((x, z0), (x, z1), (back, z1), (back, z0)), house.eaves)
    if z1 > 1:
        street.add(depth, paint_house, house=house, shadow=(solid,))


def _barrier(street: Street, rng: np.random.Generator, *, x: float, z0: float, z1: float) -> None:
    """A hedge, a fence or a wall between a garden and the pavement."""
    low = ShadowCaster(((x, z0), (x, z1)), 1.2)
    if rng.random() < 0.3:
        height = float(rng.uniform(0.8, 1.9))
        street.add(z1 - 0.02, paint_hedge, x=x, z0=z0, z1=z1, height=height, shadow=(low,))
    else:
        kind = str(rng.choice(("railing", "boards", "wall"), p=(0.4, 0.35, 0.25)))
        street.add(z1 - 0.02, paint_fence, x=x, z0=z0, z1=z1, kind=kind, shadow=(low,))


def _garden(street: Street, rng: np.random.Generator, *, side: int, edge: float, z0: float, z1: float) -> None:
    back = float(rng.uniform(3, 7))
    _house(street, rng, side=side, front=edge + back, z0=z0 + 0.8, z1=z1 - 0.4, depth=z1)
    if rng.random() < 0.5:
        _tree(street, rng, x=side * (edge + back * 0.5), z=float(rng.uniform(z0 + 0.5, z1 - 0.1)), floor=0.0, scale=0.6)
    _barrier(street, rng, x=side * edge, z0=z0, z1=z1)


def _park(street: Street, rng: np.random.Generator, *, side: int, edge: float, z0: float, z1: float) -> None:
    for _ in range(int(rng.integers(2, 5))):
        x = side * (edge + float(rng.uniform(1.5, 14)))
        _tree(street, rng, x=x, z=float(rng.uniform(z0, z1)), floor=0.0, scale=1.1)
    _barrier(street, rng, x=side * edge, z0=z0, z1=z1)


def _yard(street: Street, rng: np.random.Generator, *, side: int, edge: float, z0: float, z1: float) -> None:
    """A long fence with a house far behind it."""
    _house(street, rng, side=side, front=edge + float(rng.uniform(8, 14)), z0=z0, z1=z1, depth=z1)
    _barrier(street, rng, x=side * edge, z0=z0, z1=z1)


def _pavement(street: Street, rng: np.random.Generator, side: int) -> None:
    """The furniture and the trees along one kerb."""
    half, width = street.road.half, street.road.pavements[side > 0]
    kerb = side * (half + 0.45)
    clear = [(z0 - 0.5, z1 + 0.5) for s, z0, z1 in street.road.side_streets if s == side]

    def free(z: float) -> bool:
        return not any(a < z < b for a, b in clear)

    if rng.random() < 0.75:
        height = float(rng.uniform(4.5, 8.5))
        for z in np.arange(rng.uniform(4, 20), 90, rng.uniform(16, 28)):
            shadow = (ShadowCaster(_disc(kerb, z, 0.07), height),)
            street.add(float(z), paint_lamp, x=kerb, z=float(z), height=height, shadow=shadow)
    if rng.random() < 0.55:
        for z in np.arange(rng.uniform(4, 12), 90, rng.uniform(8, 14)):
            if rng.random() < 0.8 and free(float(z)):
                _tree(street, rng, x=side * (half + 0.9), z=float(z), floor=KERB, scale=0.85)
    for z in rng.uniform(5.5, 26, rng.integers(0, 4)):
        kind = str(rng.choice(("round", "triangle", "blue", "board", "panel"), p=(0.3, 0.2, 0.28, 0.12, 0.1)))
        pole = ShadowCaster(_disc(kerb, z, 0.1), 2.6)
        street.add(float(z), paint_sign, x=kerb, z=float(z), kind=kind, shadow=(pole,))
    if rng.random() < 0.35:
        z = float(rng.uniform(7, 24))
        street.add(z, paint_traffic_light, x=kerb, z=z, shadow=(ShadowCaster(_disc(kerb, z, 0.1), 3.2),))
    if rng.random() < 0.25:
        for z in np.arange(rng.uniform(4, 14), rng.uniform(16, 30), 1.6):
            post = ShadowCaster(_disc(kerb, z, 0.08), 0.95)
            street.add(float(z), paint_bollard, x=kerb, z=float(z), shadow=(post,))
    elif rng.random() < 0.45:
        z, length = float(rng.uniform(3, 14)), float(rng.uniform(6, 16))
        street.add(z + length - 0.1, paint_fence, x=side * (half + 0.3), z0=z, z1=z + length, kind="railing")
    for z in rng.uniform(5, 24, rng.integers(0, 3)):
        x = side * (half + width - 0.5 if rng.random() < 0.6 else half + 0.6)
        street.add(float(z), paint_bin, x=x, z=float(z), shadow=(ShadowCaster(_disc(x, z, 0.3), 1.1),))


def _car(street: Street, rng: np.random.Generator, *, x: float, z: float, heading: float) -> None:
    car = draw_car(rng, x, z, heading)
    # The near end: people on the pavement beside a car are behind it.
    street.add(z - 2.2, paint_car, car=car, shadow=(ShadowCaster(car.footprint(), car.shape.profile[3][1] * 0.9),))


def _traffic(street: Street, rng: np.random.Generator) -> None:
    """Parked cars along the kerbs, others in both lanes."""
    half, own = street.road.half, street.driving_side
    for side in (-1, 1):
        if rng.random() < 0.45 and half > 4:
            heading = 0.0 if side == own or rng.random() < 0.3 else np.pi
            for z in np.arange(rng.uniform(6, 14), 70, 6.2):
                blocked = any(s == side and z0 - 3 < z < z1 + 3 for s, z0, z1 in street.road.side_streets)
                if rng.random() < 0.5 and not blocked:
                    _car(street, rng, x=side * (half - 1.1), z=float(z + rng.normal(0, 0.3)), heading=heading)
    for lane, heading, nearest in ((own, 0.0, 9.0), (-own, np.pi, 6.0)):
        z = nearest + float(rng.exponential(9))
        for _ in range(int(rng.integers(0, 4))):
            _car(street, rng, x=lane * half * 0.4 + float(rng.normal(0, 0.2)), z=z, heading=heading)
            z += 8 + float(rng.exponential(12))
    for side, z0, z1 in street.road.side_streets:
        if rng.random() < 0.4:
            _car(
                street, rng, x=side * (half + 4 + float(rng.uniform(0, 5))), z=(z0 + z1) / 2, heading=-side * np.pi / 2
            )


def _people(street: Street, rng: np.random.Generator) -> None:
    half = street.road.half
    for _ in range(int(rng.integers(2, 8))):
        side = -1 if rng.random() < 0.5 else 1
        width = street.road.pavements[side > 0]
        x, z = side * (half + float(rng.uniform(0.5, width - 0.3))), float(rng.triangular(4, 6.5, 15))
        group = 2 if rng.random() < 0.3 else 1
        for k in range(group):
            at = x + 0.55 * k, z + 0.2 * k
            solid = ShadowCaster(_disc(*at, 0.2), 1.6)
            street.add(at[1], paint_pedestrian, x=at[0], z=at[1], floor=KERB, shadow=(solid,))
    if rng.random() < 0.25:
        x, z = float(rng.uniform(-half, half)), float(rng.uniform(8, 20))
        street.add(z, paint_pedestrian, x=x, z=z, floor=0.0, shadow=(ShadowCaster(_disc(x, z, 0.2), 1.6),))
    for _ in range(int(rng.choice((0, 1, 2), p=(0.25, 0.5, 0.25)))):
        side = -1 if rng.random() < 0.5 else 1
        x, z = side * float(rng.uniform(half * 0.4, half - 0.9)), float(rng.triangular(4, 6.5, 12))
        # Riders pass parked cars on the inside of the road, so they are painted after them.
        street.add(z - 2.4, paint_cyclist, x=x, z=z, shadow=(ShadowCaster(_disc(x, z, 0.35), 1.5),))
