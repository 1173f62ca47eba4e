"""The size at which the network sees a picture, kept in the model file so that it is the same in training and use."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class InputSize:
    """The rule for the size at which the network sees a picture.

    Attributes:
        scale: factor on height and width.
        max_side: pixels; a longer side that is left is scaled down to it. None sets no limit.
    """

    scale: float = 1.0
    max_side: int | None = None

    def apply(self, height: int, width: int) -> tuple[int, int]:
        """Compute the height and width that the network sees of a picture, each at least 1."""
        factor = self.scale
        if self.max_side is not None:
            factor = min(factor, self.max_side / max(height, width))
        return max(1, round(height * factor)), max(1, round(width * factor))
