"""The size at which the network sees a picture, kept in the model file so that it is the same in training and use."""

from __future__ import annotations

from dataclasses import dataclass

LARGEST_SCALE = 16
"""The largest factor on a picture's sides: 256 times its pixels."""


@dataclass(frozen=True)
class InputSize:
    """The rule for the size at which the network sees a picture.

    Attributes:
        scale: factor on height and width, at most LARGEST_SCALE.
        max_side: pixels; a longer side that is left is scaled down to it. None sets no limit.

    Raises:
        ValueError: a number that is no such factor or length.
    """

    scale: float = 1.0
    max_side: int | None = None

    def __post_init__(self) -> None:
        if type(self.scale) not in (int, float) or not 0 < self.scale <= LARGEST_SCALE:
            raise ValueError(f"input size: scale is {self.scale!r:.40}; expected a number up to {LARGEST_SCALE}")
        if self.max_side is not None and (type(self.max_side) is not int or self.max_side < 1):
            raise ValueError(f"input size: max_side is {self.max_side!r:.40}; expected a whole number of pixels")

    def apply(self, height: int, width: int) -> tuple[int, int]:
        """Compute the height and width that the network sees of a picture, each at least 1."""
        factor = self.scale
        if self.max_side is not None:
            factor = min(factor, self.max_side / max(height, width))
        return max(1, round(height * factor)), max(1, round(width * factor))
