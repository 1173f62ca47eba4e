"""The most that the network computes for one picture: padding counted, so that a thin one is no way around it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from atonce.errors import DataError, option
from atonce.inference import tiles
from atonce.model_file import ModelFile

MAX_MEGAPIXELS = 500.0
"""The most that is read at all, see `data.images`."""

# Sides are extended to multiples of 32. That adds a hundredth to ordinary large pictures, and makes 32 times as much of
# 1 x 1,000,000.
_PADDING = 1.25


@dataclass(frozen=True)
class PixelLimit:
    """A limit on the work for one picture.

    Attributes:
        model_file: the network, whose geometry and input size say what it computes.
        pixels: the most of a picture; what the network computes for it may be a quarter more, or as much as it computes
            for a square picture of that many pixels.
        remedy: what to do about a larger one.
    """

    model_file: ModelFile
    pixels: int
    remedy: str = f"scale it down, or allow more with {option('max_megapixels')}"

    def problem(self, height: int, width: int) -> tuple[str, str, str] | None:
        """Tell what is wrong with a picture of this size: found, expected, remedy; None where it may be segmented."""
        expected = f"at most {self.pixels / 1e6:g} megapixels"
        if height * width > self.pixels:
            found = f"the picture has {width}x{height} pixels ({height * width / 1e6:.1f} megapixels)"
            return found, expected, self.remedy
        work = computed_pixels(self.model_file, (height, width))
        if work > self._most_computed():
            found = f"the picture has {width}x{height} pixels, of which the network makes {work / 1e6:.1f} megapixels"
            return found, expected, self.remedy
        return None

    def require(self, height: int, width: int, name: object) -> None:
        """Raise DataError where a picture or video called `name` is beyond the limit."""
        if problem := self.problem(height, width):
            found, expected, remedy = problem
            raise DataError(f"{name}: {found}", expected, remedy)

    def _most_computed(self) -> float:
        side = math.isqrt(self.pixels) + 1
        square = tiles.computed_pixels(self.model_file.model.config, side, side)
        return max(_PADDING * self.pixels, square)


def computed_pixels(model_file: ModelFile, size: tuple[int, ...]) -> int:
    """Return the pixels that the first layer computes for a picture of (height, width)."""
    return tiles.computed_pixels(model_file.model.config, *model_file.input_size.apply(*size))
