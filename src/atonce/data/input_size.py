"""Which size the network sees; stored in the model file, so that training and use agree."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class InputSize:
    """Pictures times `scale`, then at most `max_side` pixels long."""

    scale: float = 1.0
    max_side: int | None = None

    def apply(self, height: int, width: int) -> tuple[int, int]:
        """Size of a picture -> size that the network gets, each side at least 1."""
        factor = self.scale
        if self.max_side is not None:
            factor = min(factor, self.max_side / max(height, width))
        return max(1, round(height * factor)), max(1, round(width * factor))
