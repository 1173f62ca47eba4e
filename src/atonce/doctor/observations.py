"""Observations of each image and mask, made while everything is read: hashes and a few words, no pixels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
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
from atonce.doctor.interpolation import BorderStatistics, border_statistics
from atonce.labels import Colour

MaskValue = int | Colour
"""The value of a mask at a pixel: a number, or a colour."""

_MAX_UNKNOWN = 256
"""The most values kept of a mask that holds unknown ones: more of them are no classes anyway."""

# A picture whose mean thumbnail spans fewer grey levels shows nothing that could be learned from.
_BLANK_RANGE = 6
_DARK = 20

# Compression noise: more values of no class than this, most of their pixels so close to a class's own. Ids that nobody
# named are fewer (of Cityscapes' labelIds 15 are no trainIds), or not close.
_MIN_NOISE_VALUES = 16
_MAX_NOISE_DISTANCE = 4

_MODES = {
    "1": "1-bit", "L": "8-bit grey", "P": "palette", "RGB": "RGB", "RGBA": "RGB with alpha", "RGBX": "RGB",
    "LA": "grey with alpha", "PA": "palette with alpha", "CMYK": "CMYK", "YCbCr": "YCbCr", "LAB": "LAB", "F": "float",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageObservation:
    """An observation of an image.

    Attributes:
        digest: a hash of its pixels, the same for images that are equal to the pixel.
        hash: its perceptual hash of 256 bits; similar images differ in few of them.
        mode: its colour mode in words ("RGB", "8-bit grey").
        exif_rotation: how its EXIF orientation turns it, "to another size" or "within its size"; "" where it does not.
        blank: why it shows nothing, in words; "" where it shows something.
    """

    digest: bytes
    hash: bytes
    mode: str
    exif_rotation: str
    blank: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskObservation:
    """An observation of a mask, as it is in its file.

    Attributes:
        digest: a hash of its pixels, the same for masks that are equal to the pixel.
        mode: its colour mode in words.
        constant: it holds one value everywhere, as many masks may rightly do.
        borders: the borders of its regions, which tell whether it was interpolated or compressed.
        unknown: value or colour of no class -> pixels.
        only_0_and_255: it is an index mask of 0 and 255 and nothing else.
        holds_255: it is an index mask that holds 255.
        compression_noise: its unknown values are such as JPEG leaves.
    """

    digest: bytes
    mode: str
    constant: bool
    borders: BorderStatistics
    unknown: Counter[MaskValue]
    only_0_and_255: bool
    holds_255: bool
    compression_noise: bool


@dataclass(frozen=True, slots=True)
class ItemObservation:
    """The observations of an item; image and mask are None where they cannot be read or are not there."""

    item: Item
    image: ImageObservation | None
    mask: MaskObservation | None


@dataclass
class SplitObservations:
    """The observations of a split, in the order of its items."""

    items: list[ItemObservation] = field(default_factory=list)

    def modes(self) -> dict[str, dict[str, int]]:
        """Count the colour modes of images ("picture_modes") and masks ("mask_modes"), the most frequent first."""
        images = Counter(observation.image.mode for observation in self.items if observation.image is not None)
        masks = Counter(observation.mask.mode for observation in self.items if observation.mask is not None)
        return {"picture_modes": dict(images.most_common()), "mask_modes": dict(masks.most_common())}


Observations = Mapping[str, SplitObservations]
"""Split -> what was observed of it."""


def all_items(observations: Observations) -> Iterator[ItemObservation]:
    """Yield the items of all splits."""
    for split in observations.values():
        yield from split.items


def all_masks(observations: Observations) -> list[tuple[Path, MaskObservation]]:
    """List the masks of all splits that can be read, with their files."""
    return [
        (observation.item.mask_file, observation.mask)
        for observation in all_items(observations)
        if observation.item.mask_file is not None and observation.mask is not None
    ]


class ObservationRecorder:
    """An `ItemInspector` of `check`: it observes each item in the threads that decode, and collects them by split.

    Args:
        read_mask: the data set's mask reader. Unknown values are kept where it is a `ClassMask` alone: other
            readers know what they accept, but not what they would know.

    Attributes:
        splits: split -> what was observed.
    """

    def __init__(self, read_mask: object) -> None:
        self.splits: dict[str, SplitObservations] = {}
        self._reader = read_mask if isinstance(read_mask, ClassMask) else None

    def inspect(self, item: Item, image: NDArray[np.uint8] | None, mask: NDArray[np.uint8] | None) -> ItemObservation:
        """Observe an item; image (H, W, 3) and mask (H, W) are None where the check could not read them."""
        return ItemObservation(
            item,
            None if image is None else _observe_image(item.image, image),
            self._observe_mask(item.mask, readable=mask is not None)
            if isinstance(item.mask, Path)
            else None if mask is None else _observe_annotation(mask),
        )

    def collect(self, split: str, item: Item, inspected: ItemObservation) -> None:
        """Keep the observation of an item."""
        self.splits.setdefault(split, SplitObservations()).items.append(inspected)

    def _observe_mask(self, path: Path, *, readable: bool) -> MaskObservation | None:
        try:
            image = open_mask(path)
        except FileError:
            return None  # the check has said why
        pixels = np.asarray(image)
        constant = bool((pixels == pixels[:1, :1]).all())
        if readable or self._reader is None:
            unknown = Counter[MaskValue]()
        else:
            unknown = _unknown_values(path, image, self._reader)
        return MaskObservation(
            digest=content_digest(pixels),
            mode=mode_in_words(image.mode),
            constant=constant,
            borders=BorderStatistics() if constant else border_statistics(path, image),
            unknown=unknown,
            only_0_and_255=_only_0_and_255(pixels),
            holds_255=_is_8_bit_index(pixels) and bool((pixels == 255).any()),
            compression_noise=self._reader is not None and _is_compression_noise(unknown, self._reader),
        )


def _observe_annotation(mask: NDArray[np.uint8]) -> MaskObservation:
    """Observe the mask that was painted from shapes: it has the classes' own values, and borders that were drawn."""
    return MaskObservation(
        digest=content_digest(mask),
        mode="shapes",
        constant=bool((mask == mask[:1, :1]).all()),
        borders=BorderStatistics(),
        unknown=Counter[MaskValue](),
        only_0_and_255=False,
        holds_255=bool((mask == 255).any()),
        compression_noise=False,
    )


def _is_8_bit_index(pixels: NDArray[np.generic]) -> bool:
    return pixels.ndim == 2 and pixels.dtype == np.uint8


def _only_0_and_255(pixels: NDArray[np.generic]) -> bool:
    """True for an 8-bit index mask that holds both 0 and 255, and nothing else."""
    if not _is_8_bit_index(pixels):
        return False
    zero, full = pixels == 0, pixels == 255
    return bool(zero.any()) and bool(full.any()) and bool((zero | full).all())


def mode_in_words(mode: str) -> str:
    """Write a mode of Pillow in words: "L" is "8-bit grey"."""
    if mode.startswith("I;16"):
        return "16-bit grey"
    return "32-bit grey" if mode.startswith("I") else _MODES.get(mode, mode)


def _observe_image(path: Path, image: NDArray[np.uint8]) -> ImageObservation:
    small = thumbnail(image)
    with Image.open(path) as file:  # the header alone; that it can be decoded is known
        mode, rotation = mode_in_words(file.mode), ""
        if is_turned(file):
            rotation = "within its size" if file.size == (image.shape[1], image.shape[0]) else "to another size"
    return ImageObservation(
        digest=content_digest(image),
        hash=difference_hash(small),
        mode=mode,
        exif_rotation=rotation,
        blank=_blank(small),
    )


def _blank(small: NDArray[np.uint8]) -> str:
    low, high = int(small.min()), int(small.max())
    if high <= _DARK:
        return f"is nearly black (grey levels {low} to {high} of 255)"
    return f"shows nothing (grey levels {low} to {high})" if high - low < _BLANK_RANGE else ""


def _unknown_values(path: Path, image: Image.Image, reader: ClassMask) -> Counter[MaskValue]:
    """Count the values or colours of a mask that its reader refuses."""
    by_colour = bool(reader.colours) and (is_colour(image) or (reader.palette_by_colour and image.mode in ("P", "PA")))
    if by_colour:
        known = {colour_code(colour) for colour, _ in reader.colours}
        counts = count_values(colour_codes(image)).most_common(_MAX_UNKNOWN)
        return Counter[MaskValue]({code_colour(code): n for code, n in counts if code not in known})
    if is_colour(image):
        counts = count_values(colour_codes(image)).most_common(_MAX_UNKNOWN)
        return Counter[MaskValue]({code_colour(code): n for code, n in counts})
    try:
        values = count_values(index_values(path, image)).most_common(_MAX_UNKNOWN)
    except FileError:
        return Counter[MaskValue]()
    numbers = {value for value, _ in reader.values}
    return Counter[MaskValue]({value: n for value, n in values if value not in numbers})


def _is_compression_noise(unknown: Counter[MaskValue], reader: ClassMask) -> bool:
    """True where values of no class (numbers, or colours) are many and close to those of classes."""
    if len(unknown) <= _MIN_NOISE_VALUES:
        return False
    coloured = isinstance(next(iter(unknown)), tuple)
    known = np.array([colour for colour, _ in reader.colours] if coloured else [[v] for v, _ in reader.values])
    found = np.array([value if isinstance(value, tuple) else (value,) for value in unknown])
    if known.ndim != 2 or known.shape[1] != found.shape[1]:
        return False
    close = np.abs(found[:, None] - known[None]).max(axis=2).min(axis=1) <= _MAX_NOISE_DISTANCE
    pixels = np.array(list(unknown.values()))
    return bool(2 * pixels[close].sum() > pixels.sum())
