"""Names and colours of the classes, and the one void value used inside atonce."""

from __future__ import annotations

import colorsys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

IGNORE_INDEX = 255
"""The id of void inside atonce, always: left out of the loss and of every score."""

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class LabelSpec:
    """Class names and colours in the order of the ids 0..C-1.

    Attributes:
        names: one per class, unique, at most 255 of them.
        palette: one RGB colour (0..255) per class.

    Raises:
        ValueError: no class, more than 255, a name twice, or palette and names of different length.
    """

    names: tuple[str, ...]
    palette: tuple[Colour, ...]

    def __post_init__(self) -> None:
        if not 1 <= len(self.names) <= IGNORE_INDEX:
            raise ValueError(f"{len(self.names)} classes; expected 1 to {IGNORE_INDEX}")
        if len(set(self.names)) != len(self.names):
            raise ValueError(f"class names are not unique: {', '.join(self.names)}")
        if len(self.palette) != len(self.names):
            raise ValueError(f"{len(self.palette)} colours for {len(self.names)} class names")

    @classmethod
    def from_names(cls, names: Sequence[str]) -> LabelSpec:
        """Make generated colours for names, as far apart in hue as the golden ratio puts them."""
        hues = [(0.61803398875 * i) % 1.0 for i in range(len(names))]
        rgb = [colorsys.hsv_to_rgb(h, 0.65, 0.95 - 0.25 * (i % 2)) for i, h in enumerate(hues)]
        return cls(tuple(names), tuple((round(r * 255), round(g * 255), round(b * 255)) for r, g, b in rgb))

    @property
    def num_classes(self) -> int:
        """The number of classes, C."""
        return len(self.names)

    def lookup(self) -> NDArray[np.uint8]:
        """Return the colour table, uint8 (256, 3) RGB by id; void and unknown ids are black."""
        table = np.zeros((256, 3), np.uint8)
        table[: self.num_classes] = self.palette
        return table

    def colour(self, labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Colour ids, uint8 (H, W), as RGB, uint8 (H, W, 3); void is black."""
        return self.lookup()[labels]

    def to_json(self) -> dict[str, Any]:
        """Return names, palette and ignore index as the model file keeps them."""
        return {"names": list(self.names), "palette": [list(c) for c in self.palette], "ignore_index": IGNORE_INDEX}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> LabelSpec:
        """Read what `to_json` returned. Raises KeyError, TypeError or ValueError: it is something else."""
        names, palette = tuple(data["names"]), tuple((int(r), int(g), int(b)) for r, g, b in data["palette"])
        if not all(isinstance(name, str) and name for name in names):
            raise ValueError("class names that are no text")
        if not all(0 <= value <= 255 for colour in palette for value in colour):
            raise ValueError("colours outside of 0..255")
        return cls(names, palette)


# Colours: SegNet tutorial's CamVid palette (Kendall, Badrinarayanan, Cipolla).
CAMVID = LabelSpec(
    names=(
        "Sky",
        "Building",
        "Pole",
        "Road",
        "Pavement",
        "Tree",
        "SignSymbol",
        "Fence",
        "Car",
        "Pedestrian",
        "Bicyclist",
    ),
    palette=(
        (128, 128, 128),
        (128, 0, 0),
        (192, 192, 128),
        (128, 64, 128),
        (60, 40, 222),
        (128, 128, 0),
        (192, 128, 128),
        (64, 64, 128),
        (64, 0, 128),
        (64, 64, 0),
        (0, 128, 192),
    ),
)

KITTI_ROAD = LabelSpec(names=("background", "road"), palette=((70, 70, 70), (128, 64, 128)))
