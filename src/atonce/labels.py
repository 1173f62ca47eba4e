"""Names and colours of the classes, the values that stand for them in the user's masks, and void inside atonce."""

from __future__ import annotations

import colorsys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atonce.errors import UserError
from atonce.text import did_you_mean, listing

IGNORE_INDEX = 255
"""The id of void inside atonce, always: left out of the loss and of every score."""

Colour = tuple[int, int, int]

ColourName = Colour | str
"""A colour as a caller may give it: (r, g, b), "#00ff00", "#0f0", "0,255,0", or a name of CSS ("lime")."""

_LARGEST_VALUE = 65535
"""The largest value of a 16-bit mask."""


def parse_colour(colour: ColourName | Sequence[int]) -> Colour:
    """Read a colour in any of the forms of `ColourName`. Raises UserError: it is none."""
    from PIL import ImageColor

    found: Sequence[Any] = ()
    if isinstance(colour, str):
        text = f"rgb({colour})" if colour.count(",") == 2 and "(" not in colour else colour
        try:
            found = ImageColor.getrgb(text.strip())[:3]
        except ValueError:
            found = ()
    elif isinstance(colour, (tuple, list)):
        found = colour
    if len(found) != 3 or not all(isinstance(part, int) and 0 <= part <= 255 for part in found):
        raise UserError(f"the colour {colour!r}", "'#00ff00', '0,255,0' or a name such as 'lime'")
    return found[0], found[1], found[2]


@dataclass(frozen=True)
class LabelSpec:
    """Class names and colours in the order of the ids 0..C-1.

    Attributes:
        names: one per class, unique, at most 255 of them.
        palette: one RGB colour (0..255) per class.
        mask_values: the value of each class in the user's masks, 0..65535 (0 and 255 for a binary one); empty where
            masks hold colours, or where nobody has written it down.
        void_value: the value of void in these masks; None where they have none.

    Raises:
        ValueError: no class, more than 255, a name or a value twice, or names, palette and values of different length.
    """

    names: tuple[str, ...]
    palette: tuple[Colour, ...]
    mask_values: tuple[int, ...] = ()
    void_value: int | None = None

    def __post_init__(self) -> None:
        if not 1 <= len(self.names) <= IGNORE_INDEX:
            raise ValueError(f"{len(self.names)} classes; expected 1 to {IGNORE_INDEX}")
        if len(set(self.names)) != len(self.names):
            raise ValueError(f"class names are not unique: {', '.join(self.names)}")
        if len(self.palette) != len(self.names):
            raise ValueError(f"{len(self.palette)} colours for {len(self.names)} class names")
        if self.mask_values and len(self.mask_values) != len(self.names):
            raise ValueError(f"{len(self.mask_values)} mask values for {len(self.names)} class names")
        values = [*self.mask_values, *([] if self.void_value is None else [self.void_value])]
        if len(set(values)) != len(values) or not all(0 <= value <= _LARGEST_VALUE for value in values):
            raise ValueError(
                f"mask values {', '.join(map(str, values))}; expected different ones of 0..{_LARGEST_VALUE}"
            )

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

    def id_of(self, name: str) -> int:
        """Find the id of a class by its name, in any case where that is unambiguous.

        Raises:
            UserError: there is no class of this name.
        """
        if name in self.names:
            return self.names.index(name)
        found = [index for index, known in enumerate(self.names) if known.casefold() == str(name).casefold()]
        if len(found) == 1:
            return found[0]
        remedy = did_you_mean(str(name).casefold(), [known.casefold() for known in self.names])
        raise UserError(f"there is no class '{name}'", f"one of {listing(self.names, 25)}", remedy)

    def ids_of(self, names: Iterable[str]) -> tuple[int, ...]:
        """Find the ids of classes, in order and each once. Raises UserError: there is no class of one of the names."""
        return tuple(sorted({self.id_of(name) for name in names}))

    @property
    def background(self) -> int | None:
        """The id of the class that is named background, in any case: what is nothing else; None where there is none."""
        found = [index for index, name in enumerate(self.names) if name.casefold() == "background"]
        return found[0] if found else None

    def remainder_of(self, ids: Iterable[int]) -> int:
        """Return what a pixel is that is none of these classes: background, the other one of two classes, or void."""
        chosen = set(ids)
        if self.background is not None and self.background not in chosen:
            return self.background
        others = [index for index in range(self.num_classes) if index not in chosen]
        return others[0] if self.num_classes == 2 and len(others) == 1 else IGNORE_INDEX

    def with_colours(self, colours: Mapping[str, ColourName]) -> LabelSpec:
        """Return the same classes in other colours. Raises UserError: there is no such class, or no such colour."""
        palette = list(self.palette)
        for name, colour in colours.items():
            palette[self.id_of(name)] = parse_colour(colour)
        return replace(self, palette=tuple(palette))

    def value_lookup(self) -> NDArray[np.uint16]:
        """Return the table from ids to the values of the user's masks, uint16 (256,).

        Void is the void value, or where the masks have none 255, or the next smaller one that stands for no class.

        Raises:
            UserError: the values are not known.
        """
        if not self.mask_values:
            raise UserError(
                "the model does not say which values its masks had: they held colours, or it was trained before "
                "this was written down",
                "a model trained on masks of values",
                "take the class ids instead ('grey'), or the colours ('colours')",
            )
        void = IGNORE_INDEX if self.void_value is None else self.void_value
        while self.void_value is None and void in self.mask_values:
            void -= 1
        table = np.full(256, void, np.uint16)
        table[: self.num_classes] = self.mask_values
        return table

    def lookup(self) -> NDArray[np.uint8]:
        """Return the colour table, uint8 (256, 3) RGB by id; void and unknown ids are black."""
        table = np.zeros((256, 3), np.uint8)
        table[: self.num_classes] = self.palette
        return table

    def colour(self, labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Colour ids, uint8 (H, W), as RGB, uint8 (H, W, 3); void is black."""
        return self.lookup()[labels]

    def to_json(self) -> dict[str, Any]:
        """Return names, palette, ignore index and, where they are known, the masks' values as the model file keeps
        them."""
        data = {"names": list(self.names), "palette": [list(c) for c in self.palette], "ignore_index": IGNORE_INDEX}
        if self.mask_values:
            data |= {"mask_values": list(self.mask_values), "void_value": self.void_value}
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> LabelSpec:
        """Read what `to_json` returned. Raises KeyError, TypeError or ValueError: it is something else."""
        if not isinstance(data["names"], list):
            raise ValueError("class names that are no list")
        names, palette = tuple(data["names"]), tuple((int(r), int(g), int(b)) for r, g, b in data["palette"])
        if not all(isinstance(name, str) and name for name in names):
            raise ValueError("class names that are no text")
        if not all(0 <= value <= 255 for colour in palette for value in colour):
            raise ValueError("colours outside of 0..255")
        void = data.get("void_value")
        # Files of the first edition have no values.
        values = tuple(int(value) for value in data.get("mask_values", ()))
        return cls(names, palette, values, None if void is None else int(void))


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
