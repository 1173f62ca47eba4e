"""What the doctor keeps of each picture and mask while everything is read: hashes and a few words, no pixels."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from atonce.data.dataset import Item
from atonce.data.images import FileError, is_turned
from atonce.data.masks import (
    ClassMask,
    code_colour,
    colour_code,
    colour_codes,
    count_values,
    index_values,
    is_colour,
    open_mask,
)
from atonce.doctor.image_hashes import content_digest, difference_hash, thumbnail
from atonce.doctor.interpolation import BorderStatistics, rims
from atonce.labels import Colour

Value = int | Colour
"""What a mask holds at a pixel: a number, or a colour."""

_MOST_UNKNOWN = 256
"""Values kept of a mask that holds unknown ones: more of them are no classes anyway."""

# A picture whose mean thumbnail spans fewer grey levels shows nothing that could be learned from.
_BLANK_RANGE = 6
_DARK = 20

# JPEG's noise: so many values of no class, most of their pixels so close to a class's own. Ids that nobody named are
# fewer (of Cityscapes' labelIds 15 are no trainIds), or not close.
_NOISY = 16
_CLOSE = 4

_MODES = {
    "1": "1-bit", "L": "8-bit grey", "P": "palette", "RGB": "RGB", "RGBA": "RGB with alpha", "RGBX": "RGB",
    "LA": "grey with alpha", "PA": "palette with alpha", "CMYK": "CMYK", "YCbCr": "YCbCr", "LAB": "LAB", "F": "float",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class PictureLook:
    """A picture: digest of its pixels, its 256-bit hash, its mode in words, and what is odd about it.

    `turned`: "" or how its EXIF orientation turns it, "to another size" or "within its size".
    """

    digest: bytes
    hash: bytes
    mode: str
    turned: str
    blank: str


@dataclass(frozen=True, slots=True)
class MaskLook:
    """A mask as it is in its file; `unknown`: value or colour that means nothing -> pixels.

    `plain`: one value everywhere, as many masks may rightly be. `ends`: 0 and 255 and nothing else, as numbers.
    `highest`: 255 is among its numbers. `noisy`: unknown values such as JPEG leaves.
    """

    digest: bytes
    mode: str
    plain: bool
    rims: BorderStatistics
    unknown: Counter[Value]
    ends: bool
    highest: bool
    noisy: bool


@dataclass(frozen=True, slots=True)
class Look:
    picture: PictureLook | None
    mask: MaskLook | None


@dataclass
class Record:
    """The looks of a split, in the order of its items."""

    items: list[Item] = field(default_factory=list)
    looks: list[Look] = field(default_factory=list)

    def modes(self) -> dict[str, dict[str, int]]:
        """How many pictures and masks are of which mode, the most frequent first."""
        pictures = Counter(look.picture.mode for look in self.looks if look.picture is not None)
        masks = Counter(look.mask.mode for look in self.looks if look.mask is not None)
        return {"picture_modes": dict(pictures.most_common()), "mask_modes": dict(masks.most_common())}


class Looker:
    """An `ItemInspector` of the check: measures in its threads, collects per split."""

    def __init__(self, read_mask: object) -> None:
        self.records: dict[str, Record] = {}
        # Other readers know what they accept, but not what they would know.
        self._reader = read_mask if isinstance(read_mask, ClassMask) else None
        self._words: dict[str, str] = {}

    def inspect(self, item: Item, image: NDArray[np.uint8] | None, mask: NDArray[np.uint8] | None) -> Look:
        picture = None if image is None else _picture(item.image, image)
        return Look(picture, None if item.mask is None else self._mask(item.mask, readable=mask is not None))

    def collect(self, split: str, item: Item, inspected: Look) -> None:
        record = self.records.setdefault(split, Record())
        record.items.append(item)
        record.looks.append(inspected)

    def _mask(self, path: Path, readable: bool) -> MaskLook | None:
        try:
            image = open_mask(path)
        except FileError:
            return None  # the check has said why
        pixels = np.asarray(image)
        plain = bool((pixels == pixels[:1, :1]).all())
        unknown = Counter[Value]() if readable or self._reader is None else _unknown(path, image, self._reader)
        look = BorderStatistics() if plain else rims(path, image)
        noisy = self._reader is not None and _noisy(unknown, self._reader)
        return MaskLook(
            content_digest(pixels), mode_in_words(image.mode), plain, look, unknown, *_ends(pixels), noisy=noisy
        )


def _ends(pixels: NDArray[np.generic]) -> tuple[bool, bool]:
    """Whether an 8-bit index mask holds 0 and 255 and nothing else, and whether it holds 255."""
    if pixels.ndim != 2 or pixels.dtype != np.uint8:
        return False, False
    lowest, highest = bool((pixels == 0).any()), bool((pixels == 255).any())
    return lowest and highest and bool(((pixels == 0) | (pixels == 255)).all()), highest


def mode_in_words(mode: str) -> str:
    if mode.startswith("I;16"):
        return "16-bit grey"
    return "32-bit grey" if mode.startswith("I") else _MODES.get(mode, mode)


def _picture(path: Path, image: NDArray[np.uint8]) -> PictureLook:
    small = thumbnail(image)
    with Image.open(path) as file:  # the header alone; that it can be decoded is known
        mode, turned = mode_in_words(file.mode), ""
        if is_turned(file):
            turned = "within its size" if file.size == (image.shape[1], image.shape[0]) else "to another size"
    return PictureLook(content_digest(image), difference_hash(small), mode, turned, _blank(small))


def _blank(small: NDArray[np.uint8]) -> str:
    low, high = int(small.min()), int(small.max())
    if high <= _DARK:
        return f"is nearly black (grey levels {low} to {high} of 255)"
    return f"shows nothing (grey levels {low} to {high})" if high - low < _BLANK_RANGE else ""


def _unknown(path: Path, image: Image.Image, reader: ClassMask) -> Counter[Value]:
    """Values or colours of a mask that its reader refuses -> pixels."""
    by_colour = bool(reader.colours) and (is_colour(image) or (reader.palette_by_colour and image.mode in ("P", "PA")))
    if by_colour:
        known = {colour_code(colour) for colour, _ in reader.colours}
        counts = count_values(colour_codes(image)).most_common(_MOST_UNKNOWN)
        return Counter[Value]({code_colour(code): n for code, n in counts if code not in known})
    if is_colour(image):
        counts = count_values(colour_codes(image)).most_common(_MOST_UNKNOWN)
        return Counter[Value]({code_colour(code): n for code, n in counts})
    try:
        values = count_values(index_values(path, image)).most_common(_MOST_UNKNOWN)
    except FileError:
        return Counter[Value]()
    numbers = {value for value, _ in reader.values}
    return Counter[Value]({value: n for value, n in values if value not in numbers})


def _noisy(unknown: Counter[Value], reader: ClassMask) -> bool:
    """Whether values of no class (numbers, or colours) look as compression leaves them."""
    if len(unknown) <= _NOISY:
        return False
    coloured = isinstance(next(iter(unknown)), tuple)
    known = np.array([colour for colour, _ in reader.colours] if coloured else [[v] for v, _ in reader.values])
    found = np.array([value if isinstance(value, tuple) else (value,) for value in unknown])
    if known.ndim != 2 or known.shape[1] != found.shape[1]:
        return False
    close = np.abs(found[:, None] - known[None]).max(axis=2).min(axis=1) <= _CLOSE
    pixels = np.array(list(unknown.values()))
    return bool(2 * pixels[close].sum() > pixels.sum())
