"""Observations of each image and mask, made while everything is read: hashes and a few words, no pixels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from atonce.data.dataset import Item
from atonce.data.image_checks import blank_reason, mode_in_words, read_header
from atonce.data.images import FileError, is_turned
from atonce.data.mask_sources import Annotation
from atonce.data.masks import ClassMask, MaskValue, UnknownValues, open_mask
from atonce.doctor.image_hashes import content_digest, contrast_bits, difference_hash, thumbnail
from atonce.doctor.interpolation import BorderStatistics, border_statistics
from atonce.labels import IGNORE_INDEX


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageObservation:
    """An observation of an image.

    Attributes:
        digest: a hash of its pixels, the same for images that are equal to the pixel.
        hash: its perceptual hash of 256 bits; similar images differ in few of them.
        contrast: 256 bits, which of these say something.
        mode: its colour mode in words ("RGB", "8-bit grey").
        exif_rotation: how its EXIF orientation turns it, "to another size" or "within its size"; "" where it does not.
        blank: why it shows nothing, in words; "" where it shows something.
    """

    digest: bytes
    hash: bytes
    contrast: bytes
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
        unknown: value or colour of no class that somebody may have meant -> pixels.
        mixed: value or colour of no class that comes of mixing along borders, of JPEG or of a conversion -> pixels.
        border_width: the width of a rule for borders that would cover the mixed ones; 0 where none would.
        snapped: pixels that such a rule has given a class, or made void.
        only_0_and_255: it is an index mask of 0 and 255 and nothing else.
        holds_255: it is an index mask that holds 255.
        classes: the ids of the classes that it shows; none where it could not be read.
    """

    digest: bytes
    mode: str
    constant: bool
    borders: BorderStatistics
    unknown: Counter[MaskValue]
    mixed: Counter[MaskValue]
    border_width: int
    snapped: int
    only_0_and_255: bool
    holds_255: bool
    classes: frozenset[int]


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
            self._observe_mask(item.mask, mask)
            if isinstance(item.mask, Path)
            else None
            if mask is None
            else _observe_annotation(mask, "one for each class" if _is_of_files(item) else "shapes"),
        )

    def collect(self, split: str, item: Item, inspected: ItemObservation) -> None:
        """Keep the observation of an item."""
        self.splits.setdefault(split, SplitObservations()).items.append(inspected)

    def _observe_mask(self, path: Path, ids: NDArray[np.uint8] | None) -> MaskObservation | None:
        """Observe a mask's file; ids (H, W) are None where the check could not read it."""
        try:
            image = open_mask(path)
        except FileError:
            return None  # the check has said why
        pixels = np.asarray(image)
        constant = bool((pixels == pixels[:1, :1]).all())
        unknown, snapped = UnknownValues(), 0
        if self._reader is not None:
            if ids is None:
                unknown = self._unknown_values(path)
            elif self._reader.borders is not None:
                snapped = self._reader.unknown_pixels(path)
        void = None if ids is None else ids == IGNORE_INDEX
        return MaskObservation(
            digest=content_digest(pixels),
            mode=mode_in_words(image.mode),
            constant=constant,
            borders=BorderStatistics() if constant else border_statistics(path, image, void),
            unknown=unknown.meant,
            mixed=unknown.mixed,
            border_width=unknown.width,
            snapped=snapped,
            only_0_and_255=_only_0_and_255(pixels),
            holds_255=_is_8_bit_index(pixels) and bool((pixels == 255).any()),
            classes=frozenset() if ids is None else _classes_in(ids),
        )

    def _unknown_values(self, path: Path) -> UnknownValues:
        assert self._reader is not None
        try:
            return self._reader.unknown_values(path)
        except FileError:
            return UnknownValues()  # the check has said why


def _is_of_files(item: Item) -> bool:
    """Tell whether the mask of an item is put together from mask files of single classes."""
    return isinstance(item.mask, Annotation) and bool(item.mask.files)


def _observe_annotation(mask: NDArray[np.uint8], mode: str) -> MaskObservation:
    """Observe the mask that was painted from shapes: it has the classes' own values, and borders that were drawn."""
    return MaskObservation(
        digest=content_digest(mask),
        mode=mode,
        constant=bool((mask == mask[:1, :1]).all()),
        borders=BorderStatistics(),
        unknown=Counter[MaskValue](),
        mixed=Counter[MaskValue](),
        border_width=0,
        snapped=0,
        only_0_and_255=False,
        holds_255=bool((mask == 255).any()),
        classes=_classes_in(mask),
    )


def _classes_in(ids: NDArray[np.uint8]) -> frozenset[int]:
    """The ids in a mask (H, W), void left out."""
    return frozenset(np.bincount(ids.reshape(-1), minlength=256).nonzero()[0].tolist()) - {IGNORE_INDEX}


def _is_8_bit_index(pixels: NDArray[np.generic]) -> bool:
    return pixels.ndim == 2 and pixels.dtype == np.uint8


def _only_0_and_255(pixels: NDArray[np.generic]) -> bool:
    """True for an 8-bit index mask that holds both 0 and 255, and nothing else."""
    if not _is_8_bit_index(pixels):
        return False
    zero, full = pixels == 0, pixels == 255
    return bool(zero.any()) and bool(full.any()) and bool((zero | full).all())


def _observe_image(path: Path, image: NDArray[np.uint8]) -> ImageObservation:
    small, rotation = thumbnail(image), ""
    try:
        with Image.open(path) as file:  # the header alone; that it can be decoded is known
            if is_turned(file):
                rotation = "within its size" if file.size == (image.shape[1], image.shape[0]) else "to another size"
    except UnidentifiedImageError:
        pass  # bands that Pillow does not know
    return ImageObservation(
        digest=content_digest(image),
        hash=difference_hash(small),
        contrast=contrast_bits(small),
        mode=read_header(path).mode,
        exif_rotation=rotation,
        blank=blank_reason(small),
    )
