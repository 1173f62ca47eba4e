"""The size at which the network sees a picture, kept in the model file so that it is the same in training and use."""

from __future__ import annotations

from dataclasses import dataclass

MAX_SCALE = 16.0
"""The largest factor. What a network computes grows with its square."""


@dataclass(frozen=True)
class InputSize:
    """The rule for the size at which the network sees a picture.

    Attributes:
        scale: factor on height and width.
        max_side: pixels; a longer side that is left is scaled down to it. None sets no limit.

    Raises:
        ValueError: not numbers, or out of range.
    """

    scale: float = 1.0
    max_side: int | None = None

    def __post_init__(self) -> None:
        if isinstance(self.scale, bool) or not isinstance(self.scale, (int, float)) or not 0 < self.scale <= MAX_SCALE:
            raise ValueError(f"an input size of scale {self.scale!r:.40}; expected a number in (0, {MAX_SCALE:g}]")
        whole = isinstance(self.max_side, int) and not isinstance(self.max_side, bool) and self.max_side > 0
        if self.max_side is not None and not whole:
            raise ValueError(f"an input size of max_side {self.max_side!r:.40}; expected a positive number of pixels")

    def apply(self, height: int, width: int) -> tuple[int, int]:
        """Compute the height and width that the network sees of a picture, each at least 1."""
        factor = self.scale
        if self.max_side is not None:
            factor = min(factor, self.max_side / max(height, width))
        return max(1, round(height * factor)), max(1, round(width * factor))
