"""Reading mask files as class ids: index, palette and RGB masks, exactly and quickly, or an error that says what is
there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from atonce.data.images import FileError, Problem, open_image, upright
from atonce.data.pairing import lossy_mask
from atonce.labels import IGNORE_INDEX, Colour
from atonce.text import count_of, listing

Codes = NDArray[np.uint32]
"""Colours (H, W) packed into one number each, see `colour_code`."""

_LARGEST_VALUE = 65535


def colour_code(colour: Colour) -> int:
    """Pack RGB into one number, red lowest: as the bytes of a pixel lie in memory."""
    return colour[0] | colour[1] << 8 | colour[2] << 16


def code_colour(code: int) -> Colour:
    """Unpack a `colour_code`."""
    return code & 255, code >> 8 & 255, code >> 16 & 255


def colour_codes(image: Image.Image) -> Codes:
    """Convert any picture that converts to RGBA to `colour_code`s, uint32 (H, W); transparency is dropped."""
    # Pillow keeps RGB in four bytes a pixel: taking them as they lie is three times as fast as three channels.
    four_bytes = image.tobytes("raw", "RGBX") if image.mode == "RGB" else image.convert("RGBA").tobytes()
    codes: Codes = np.frombuffer(four_bytes, "<u4").reshape(image.height, image.width) & np.uint32(0xFFFFFF)
    return codes


def open_mask(path: Path) -> Image.Image:
    """Open a mask as `open_image` does, turned by the mask's own EXIF orientation, if it has one; never that of its
    picture.

    Raises:
        FileError: also for a JPEG, whatever its suffix: lossy compression invents values.
    """
    image = open_image(path)
    if image.format in ("JPEG", "MPO") or image.info.get("compression") == "jpeg":
        raise FileError(lossy_mask(path))
    return upright(image)


def is_colour(image: Image.Image) -> bool:
    """Tell whether a mask holds colours (RGB) rather than numbers."""
    return image.mode in ("RGB", "RGBA", "RGBX", "RGBa")


def index_values(path: Path, image: Image.Image) -> NDArray[np.integer]:
    """The numbers in an index or palette mask (H, W), as uint8, uint16 or int32. Raises FileError: other modes."""
    if image.mode in ("LA", "PA"):
        image = image.getchannel(0)
    if image.mode == "1":
        return np.asarray(image).astype(np.uint8)
    if image.mode in ("L", "P") or image.mode.startswith("I"):
        values: NDArray[np.integer] = np.asarray(image)
        return values
    found = f"is a mask of mode {image.mode}"
    raise FileError(Problem("mode", path, found, "8- or 16-bit index, palette or RGB", remedy="export it as PNG"))


@lru_cache(maxsize=8)
def _value_table(values: tuple[tuple[int, int], ...]) -> NDArray[np.uint8]:
    table = np.full(_LARGEST_VALUE + 1, IGNORE_INDEX, np.uint8)
    for value, class_id in values:
        table[value] = class_id
    return table


@lru_cache(maxsize=4)
def _colour_table(colours: tuple[tuple[Colour, int], ...]) -> NDArray[np.uint8]:
    # 16 MiB, and five times as fast as a search over sorted colours; shared by all masks of a data set.
    table = np.full(1 << 24, IGNORE_INDEX, np.uint8)
    for colour, class_id in colours:
        table[colour_code(colour)] = class_id
    return table


@dataclass(frozen=True)
class ClassMask:
    """A mask reader with a table from the numbers or colours in a file to class ids.

    Attributes:
        values: (number in the file, class id or 255) for index and palette masks; numbers up to 65535.
        colours: (RGB, class id or 255) for RGB masks; empty: there is no table of colours. An RGB mask whose
            three channels are equal is then read as an index mask, which it is.
        palette_by_colour: look palette masks up by their colour, not by their index.
        remedy: what to do about unknown values or colours.
    """

    values: tuple[tuple[int, int], ...]
    colours: tuple[tuple[Colour, int], ...] = ()
    palette_by_colour: bool = False
    remedy: str = "mend the mask"

    def __call__(self, path: Path) -> NDArray[np.uint8]:
        """Read a mask file as ids, uint8 (H, W), void 255. Raises FileError: unreadable, unknown values, wrong mode."""
        image = open_mask(path)
        if is_colour(image) and not self.colours:
            return self._from_values(path, self._equal_channels(path, image))
        if is_colour(image) or (self.palette_by_colour and image.mode in ("P", "PA")):
            return self._from_colours(path, colour_codes(image))
        return self._from_values(path, index_values(path, image))

    def _equal_channels(self, path: Path, image: Image.Image) -> NDArray[np.uint8]:
        pixels = np.asarray(image)
        red: NDArray[np.uint8] = pixels[..., 0]
        if np.array_equal(red, pixels[..., 1]) and np.array_equal(red, pixels[..., 2]):
            return red
        found = f"is an RGB mask, with the colours {colours_found(colour_codes(image))}"
        remedy = "give the classes their colours in classes.yaml, or export the masks as indices"
        raise FileError(Problem("mode", path, found, "class ids, or known colours", remedy=remedy))

    def _from_values(self, path: Path, raw: NDArray[np.integer]) -> NDArray[np.uint8]:
        table = _value_table(self.values)
        if raw.dtype == np.uint8:
            ids: NDArray[np.uint8] = table[:256][raw]
        else:
            inside = (raw >= 0) & (raw <= _LARGEST_VALUE)
            ids = np.where(inside, table[np.where(inside, raw, 0)], np.uint8(IGNORE_INDEX))
        known = [value for value, class_id in self.values if class_id == IGNORE_INDEX]
        unknown = _unknown_values(raw, ids, known)
        if unknown.size:
            found = f"holds {values_found(unknown, raw.size)}"
            raise FileError(Problem("values", path, found, self._expected(known), remedy=self.remedy))
        return ids

    def _expected(self, void: list[int]) -> str:
        if len(void) > 3:  # Cityscapes: a list of what is void would hide what is not known at all
            return ranges(value for value, _ in self.values)
        classes = ranges(value for value, class_id in self.values if class_id != IGNORE_INDEX)
        return f"{classes}, or {ranges(void)} for void" if void else classes

    def _from_colours(self, path: Path, codes: Codes) -> NDArray[np.uint8]:
        ids: NDArray[np.uint8] = _colour_table(self.colours)[codes]
        known = [colour_code(colour) for colour, class_id in self.colours if class_id == IGNORE_INDEX]
        unknown = _unknown_values(codes, ids, known)
        if unknown.size:
            found = f"holds {colours_found(unknown, codes.size)}"
            expected = f"the {len(self.colours)} known colours"
            raise FileError(Problem("values", path, found, expected, remedy=self.remedy))
        return ids


def _unknown_values(raw: NDArray[np.integer], ids: NDArray[np.uint8], void: list[int]) -> NDArray[np.integer]:
    """The values that became 255 without being void, 1-D: in the tables, which are uint8, 255 stands for both."""
    candidates: NDArray[np.integer] = raw[ids == IGNORE_INDEX]
    for value in void:
        candidates = candidates[candidates != value]
    return candidates


def percent(part: int, whole: int) -> str:
    """Write a share with as many digits as a person needs: "25 %", "2.5 %", "0.3 %", "under 0.01 %"."""
    share = 100 * part / whole
    if share < 0.01:
        return "under 0.01 %"
    return f"{share:.0f} %" if share >= 9.5 else f"{share:.2g} %"


def _shares(counts: Iterable[tuple[str, int]], total: int, limit: int) -> str:
    return listing((f"{name} ({count_of(n, 'pixel')}, {percent(n, total)})" for name, n in counts), limit)


def count_values(values: NDArray[np.integer]) -> Counter[int]:
    """Count how often each number occurs. Masks are long runs of one value, and to sort the runs is fast."""
    flat = values.ravel()
    starts = np.flatnonzero(np.concatenate([[flat.size > 0], flat[1:] != flat[:-1]]))
    numbers, run_of = np.unique(flat[starts], return_inverse=True)
    counts = np.bincount(run_of, weights=np.diff(np.append(starts, flat.size)), minlength=numbers.size)
    return Counter(dict(zip(numbers.tolist(), counts.astype(int).tolist(), strict=True)))


def values_found(values: NDArray[np.integer], total: int | None = None, limit: int = 8) -> str:
    """List numbers with their pixels and their share, the most frequent first: "200 (12 pixels, 0.1 %)"."""
    counts = count_values(values).most_common()
    return _shares(((str(value), n) for value, n in counts), total or values.size, limit)


def colours_found(codes: NDArray[np.integer], total: int | None = None, limit: int = 8) -> str:
    """List `colour_code`s as `values_found` lists numbers: "(128, 64, 128) (12 pixels, 0.1 %)"."""
    counts = count_values(codes).most_common()
    return _shares(((str(code_colour(code)), n) for code, n in counts), total or codes.size, limit)


def ranges(values: Iterable[int]) -> str:
    """List numbers in short: 0, 1, 2, 3, 7 -> "0..3, 7"."""
    runs: list[list[int]] = []
    for value in sorted(set(values)):
        if runs and value == runs[-1][1] + 1:
            runs[-1][1] = value
        else:
            runs.append([value, value])
    return ", ".join(str(a) if a == b else f"{a}..{b}" for a, b in runs)
