"""The light of a scene, by hour and weather: sun, sky, haze, and the colours that they make of a surface."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

RGB = tuple[float, float, float]
"""Reflectance or light, 0..255 a channel unless said otherwise; may be fractional."""

Vector = tuple[float, float, float]


@dataclass(frozen=True)
class LightPreset:
    """Ranges from which a scene's light is drawn. Light is relative: 1 is a white wall well exposed.

    Attributes:
        chance: share of the scenes that have this light.
        elevation: degrees of the sun above the horizon.
        clouds: share of the sky that they cover.
        haze: density, per kilometre.
    """

    chance: float
    elevation: tuple[float, float]
    sun: RGB
    ambient: RGB
    zenith: RGB
    horizon: RGB
    clouds: tuple[float, float]
    haze: tuple[float, float]


LIGHT_PRESETS = (
    # A clear or half-cloudy day.
    LightPreset(
        chance=0.40,
        elevation=(30, 65),
        sun=(0.72, 0.68, 0.60),
        ambient=(0.42, 0.45, 0.52),
        zenith=(86, 136, 206),
        horizon=(190, 212, 232),
        clouds=(0, 0.7),
        haze=(1, 5),
    ),
    # Overcast: no shadows, white sky.
    LightPreset(
        chance=0.30,
        elevation=(30, 60),
        sun=(0.07, 0.07, 0.07),
        ambient=(0.74, 0.76, 0.79),
        zenith=(186, 192, 200),
        horizon=(224, 227, 230),
        clouds=(0.4, 1),
        haze=(2, 12),
    ),
    # Morning or evening sun.
    LightPreset(
        chance=0.20,
        elevation=(12, 26),
        sun=(0.80, 0.62, 0.42),
        ambient=(0.42, 0.43, 0.50),
        zenith=(112, 148, 200),
        horizon=(246, 216, 176),
        clouds=(0, 0.6),
        haze=(2, 8),
    ),
    # Dusk, or rain coming.
    LightPreset(
        chance=0.10,
        elevation=(15, 40),
        sun=(0.04, 0.04, 0.05),
        ambient=(0.44, 0.46, 0.53),
        zenith=(104, 116, 140),
        horizon=(176, 172, 172),
        clouds=(0.5, 1),
        haze=(3, 12),
    ),
)


@dataclass(frozen=True)
class Light:
    """One scene's light.

    Attributes:
        towards: unit vector to the sun, in world axes.
        sun, ambient: light per channel, about 0..1.
        haze: colour of the air, 0..255; density: its share grows as 1 - exp(-density * metres).
        dark: street lamps and windows are lit.
    """

    towards: Vector
    sun: RGB
    ambient: RGB
    zenith: RGB
    horizon: RGB
    clouds: float
    density: float
    dark: bool

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Light:
        """Draw the light of a scene at random."""
        index = int(rng.choice(len(LIGHT_PRESETS), p=[m.chance for m in LIGHT_PRESETS]))
        preset = LIGHT_PRESETS[index]
        up, round_ = np.radians(rng.uniform(*preset.elevation)), rng.uniform(0, 2 * np.pi)
        wobble = rng.uniform(0.88, 1.12)
        return cls(
            towards=(float(np.cos(up) * np.sin(round_)), float(np.sin(up)), float(np.cos(up) * np.cos(round_))),
            sun=preset.sun,
            ambient=(preset.ambient[0] * wobble, preset.ambient[1] * wobble, preset.ambient[2] * wobble),
            zenith=preset.zenith,
            horizon=preset.horizon,
            clouds=float(rng.uniform(*preset.clouds)),
            density=float(rng.uniform(*preset.haze)) / 1000,
            dark=index == 3,
        )

    @property
    def casts_shadows(self) -> bool:
        """True where the sun is strong enough for shadows."""
        return self.sun[0] > 0.2

    def shade(self, normal: Vector) -> RGB:
        """Return the light on a surface that faces `normal`: multiply a reflectance by it."""
        (x, y, z), (a, b, c) = normal, self.towards
        facing = max(0.0, x * a + y * b + z * c)
        # Surfaces that look down or along the street see less sky.
        wide = 0.82 + 0.18 * y
        (r, g, v), (i, j, k) = self.ambient, self.sun
        return r * wide + i * facing, g * wide + j * facing, v * wide + k * facing

    def apparent_colour(self, albedo: RGB, shade: RGB, distance: float) -> tuple[int, int, int]:
        """Return the colour that reaches the lens from `distance` metres, 0..255."""
        clear = math.exp(-self.density * distance)
        air = (1 - clear) * 0.95
        (a, b, c), (r, g, v), (x, y, z) = albedo, shade, self.horizon
        # Written out: some three thousand calls a scene.
        return (
            min(255, int(a * r * clear + x * air)),
            min(255, int(b * g * clear + y * air)),
            min(255, int(c * v * clear + z * air)),
        )


def smooth_noise(rng: np.random.Generator, height: int, width: int, cells: int) -> NDArray[np.float32]:
    """Return noise (height, width), about -1..1, whose features are a `cells`-th of the width wide."""
    grid = rng.normal(0, 0.6, (max(2, cells * height // width), max(2, cells))).astype(np.float32)
    return np.asarray(Image.fromarray(grid).resize((width, height), Image.Resampling.BICUBIC))


def sky(rng: np.random.Generator, light: Light, height: int, width: int) -> NDArray[np.uint8]:
    """Paint a sky (height, width, 3): gradient, clouds, glow around the sun."""
    small_h, small_w = -(-height // 4), -(-width // 4)
    low = np.clip(np.linspace(0, 1.7, small_h, dtype=np.float32), 0, 1)[:, None, None] ** 0.8
    zenith, horizon = (np.array(c, np.float32) for c in (light.zenith, light.horizon))
    field: NDArray[np.float32] = zenith + (horizon - zenith) * low + np.zeros((small_h, small_w, 1), np.float32)
    drift = np.zeros((small_h, small_w), np.float32)
    for cells in (3, 7, 15, 31):
        drift += smooth_noise(rng, small_h, small_w, cells) * np.float32(2.2 / cells**0.6)
    cover = np.clip((drift - 1 + 2 * light.clouds) * 0.9, 0, 1)[..., None] * 0.85
    cloud = np.array((236, 237, 240), np.float32) * (0.55 + 0.45 * light.ambient[1] / 0.76)
    lit = 1 + 0.10 * smooth_noise(rng, small_h, small_w, 9)[..., None]
    field = field * (1 - cover) + cloud * lit * cover
    if light.casts_shadows:
        rows, columns = np.mgrid[0:small_h, 0:small_w].astype(np.float32)
        where = small_w * (0.5 + 1.2 * light.towards[0]), small_h * (0.55 - 0.7 * light.towards[1])
        away = np.hypot(columns - where[0], rows - where[1]) / small_w
        glow = np.exp(-away * 5)[..., None] * (0.9 if light.towards[2] > 0 else 0.1)
        field = field + (255 - field) * glow
    image = Image.fromarray(np.clip(field, 0, 255).astype(np.uint8))
    return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))
