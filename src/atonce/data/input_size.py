"""The size at which the network sees a picture, kept in the model file so that it is the same in training and use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from atonce.recipes.schema import DataConfig

LARGEST_SCALE = 16
"""The largest factor on a picture's sides: 256 times its pixels."""

LONGEST_SIDE = 1_000_000
"""Pixels of the longest side that a network may be told to see; a picture of that length is a row of pixels."""


@dataclass(frozen=True)
class InputSize:
    """The rule for the size at which the network sees a picture.

    Attributes:
        scale: factor on height and width.
        max_side: pixels; a longer side that is left is scaled down to it. None sets no limit.
        size: height and width in pixels, whatever those of the picture; None leaves it to the two above.
    """

    scale: float = 1.0
    max_side: int | None = None
    size: tuple[int, int] | None = None

    def apply(self, height: int, width: int) -> tuple[int, int]:
        """Compute the height and width that the network sees of a picture, each at least 1."""
        if self.size is not None:
            return self.size
        factor = self.scale
        if self.max_side is not None:
            factor = min(factor, self.max_side / max(height, width))
        return max(1, round(height * factor)), max(1, round(width * factor))

    @classmethod
    def of_recipe(cls, config: DataConfig) -> InputSize:
        """Take the rule from the section `data` of a recipe."""
        return cls(size=config.size) if config.size is not None else cls(config.scale, config.max_side)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> InputSize:
        """Read the rule as `to_json` describes it.

        Raises:
            ValueError, TypeError: the description is none.
        """
        known = cls(**data)
        if type(known.scale) not in (int, float) or not 0 < known.scale <= LARGEST_SCALE:
            raise ValueError(f"input_size.scale is {str(known.scale)[:40]}")
        if known.max_side is not None and (type(known.max_side) is not int or known.max_side < 1):
            raise ValueError(f"input_size.max_side is {str(known.max_side)[:40]}")
        if known.size is None:
            return known
        height, width = known.size
        if not all(type(side) is int and 1 <= side <= LONGEST_SIDE for side in (height, width)):
            raise ValueError(f"input_size.size is {str(known.size)[:40]}")
        return cls(known.scale, known.max_side, (height, width))

    def to_json(self) -> dict[str, Any]:
        """Describe the rule for the metadata of a model file; `size` stands there only where there is one."""
        rule: dict[str, Any] = {"scale": self.scale, "max_side": self.max_side}
        return rule if self.size is None else {**rule, "size": list(self.size)}
