"""Reading mask files as class ids: index, palette and RGB masks, exactly and quickly, or an error that says what is
there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from atonce.data.class_statistics import count_values
from atonce.data.images import FileError, Problem, open_image, upright
from atonce.data.pairing import lossy_mask
from atonce.data.soft_borders import (
    DEFAULT_WIDTH,
    MAX_WIDTH,
    MOST_MIXTURE,
    THIN_SHARE,
    BorderRule,
    Levels,
    ValueUses,
    in_regions,
    mixed_into_a_class,
    nearest_known,
    on_segments,
    value_uses,
)
from atonce.errors import option
from atonce.labels import IGNORE_INDEX, Colour
from atonce.text import count_of, listing

Codes = NDArray[np.uint32]
"""Colours (H, W) packed into one number each, see `colour_code`."""

MaskValue = int | Colour
"""The value of a mask at a pixel: a number, or a colour."""

_LARGEST_VALUE = 65535
"""Numbers up to it are looked up in a table; others, of 32-bit masks, one by one."""

_MOST_UNKNOWN = 256
"""The most values kept of a mask that holds unknown ones: more of them are no classes anyway."""

_COLOUR_NOISE, _NUMBER_NOISE = 16, 6
"""Levels up to which a colour (in each channel), or a number, is the noise of JPEG around a class's own, where the
classes' own are twice as far apart."""

_CLOSE = 4
"""Levels within which most pixels of a mask with compression noise are to a class."""

_FEW_MIXTURES = 3
"""Mixtures in a mask from which on what else lies outside of its regions is likely to be one, too."""

_MIN_NOISE_VALUES = 16
"""Compression noise is of more unknown values than this."""

_WIDTHS = (DEFAULT_WIDTH, 6, 12, 24, MAX_WIDTH)
"""Widths of soft borders that are advised: few, so that masks of one kind get one advice."""

EXPORT_AGAIN = "export the masks again as PNG, scaled by nearest neighbour only"

_MIXED = "they come of interpolation or JPEG along borders (anti-aliased painting, smooth scaling)"
_TURNED_TO_GREY = "they are the classes' colours turned to grey: export the masks as indices, or in colour"


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
        if 0 <= value <= _LARGEST_VALUE:
            table[value] = class_id
    return table


@lru_cache(maxsize=4)
def _colour_table(colours: tuple[tuple[Colour, int], ...]) -> NDArray[np.uint8]:
    # 16 MiB, and five times as fast as a search over sorted colours; shared by all masks of a data set.
    table = np.full(1 << 24, IGNORE_INDEX, np.uint8)
    for colour, class_id in colours:
        table[colour_code(colour)] = class_id
    return table


@dataclass(frozen=True, eq=False)
class MaskContent:
    """A mask as it is in its file.

    Attributes:
        numbers: (H, W), the numbers of an index mask, or the `colour_code` of each pixel.
        coloured: the numbers are colours.
        palette: colour of each index, (N, 3), where the file has a palette and is read by its indices.
    """

    numbers: NDArray[np.integer]
    coloured: bool
    palette: NDArray[np.int32] | None = None

    def levels(self) -> Levels:
        """Return what the mask shows, int32 (H, W, K), as colours and numbers mix along soft borders."""
        if self.coloured:
            return np.stack([(self.numbers >> shift & 255).astype(np.int32) for shift in (0, 8, 16)], axis=2)
        levels: Levels
        if self.palette is not None and int(self.numbers.max(initial=0)) < len(self.palette):
            levels = self.palette[self.numbers]
        else:
            levels = np.clip(self.numbers, -(2**30), 2**30).astype(np.int32)[..., None]
        return levels

    def value(self, number: int) -> MaskValue:
        """Return one of `numbers` as a person writes it: a number, or a colour."""
        return code_colour(number) if self.coloured else number


@dataclass(frozen=True)
class UnknownValues:
    """The values of a mask that are no class's.

    Attributes:
        meant: value or colour that somebody may have meant as a class -> pixels.
        mixed: value or colour that comes of soft borders, of JPEG or of a conversion -> pixels.
        remedy: what to do about the mixed ones; empty where there are none.
        width: the `border_width` with which all mixed ones would be read; 0 where none would do.
    """

    meant: Counter[MaskValue] = field(default_factory=Counter)
    mixed: Counter[MaskValue] = field(default_factory=Counter)
    remedy: str = ""
    width: int = 0


@dataclass(frozen=True)
class ClassMask:
    """A mask reader with a table from the numbers or colours in a file to class ids.

    Attributes:
        values: (number in the file, class id or 255) for index and palette masks.
        colours: (RGB, class id or 255) for RGB masks; empty: there is no table of colours. An RGB mask whose
            three channels are equal is then read as an index mask, which it is.
        palette_by_colour: look palette masks up by their colour, not by their index.
        remedy: what to do about unknown values or colours.
        borders: what becomes of unknown values along the borders of regions; None: they are an error.
        classes_file: name of the file into which a rule for borders can be written; empty where there is none.
    """

    values: tuple[tuple[int, int], ...]
    colours: tuple[tuple[Colour, int], ...] = ()
    palette_by_colour: bool = field(default=False, kw_only=True)
    remedy: str = field(default="mend the mask", kw_only=True)
    borders: BorderRule | None = field(default=None, kw_only=True)
    classes_file: str = field(default="", kw_only=True)

    def __call__(self, path: Path) -> NDArray[np.uint8]:
        """Read a mask file as ids, uint8 (H, W), void 255. Raises FileError: unreadable, unknown values, wrong mode."""
        content = self.content(path)
        ids = self._ids(content)
        unknown = self._unknown(content, ids)
        if unknown.size and self.borders is not None:
            unknown = self._snap(content, ids, self.borders)
        if unknown.size:
            raise FileError(self._problem(path, content, unknown))
        return ids

    def content(self, path: Path) -> MaskContent:
        """Read a mask as it is in its file. Raises FileError: unreadable, a mode that is no mask's."""
        image = open_mask(path)
        if is_colour(image) and not self.colours:
            return MaskContent(self._equal_channels(path, image), coloured=False)
        if is_colour(image) or (self.palette_by_colour and image.mode in ("P", "PA")):
            return MaskContent(colour_codes(image), coloured=True)
        flat = (image.getpalette("RGB") or []) if image.mode == "P" else []
        palette = np.array(flat, np.int32).reshape(-1, 3) if flat else None
        return MaskContent(index_values(path, image), coloured=False, palette=palette)

    def corrected(self, path: Path, rule: BorderRule) -> tuple[MaskContent, int]:
        """Read a mask and correct it: pixels of no class along borders get a class's value, or that of void.

        Returns:
            The mask, in whose `numbers` every value is known; and how many pixels were changed.

        Raises:
            FileError: as when it is read; unknown values that the rule does not cover; pixels that are to be void
                where no value or colour means void.
        """
        content = self.content(path)
        ids = self._ids(content)
        changed = self._unknown_pixels(content, ids)
        if not changed.any():
            return content, 0
        before = ids.copy()
        left = self._snap(content, ids, rule)
        if left.size:
            raise FileError(replace(self, borders=rule)._problem(path, content, left))
        changed |= ids != before
        number_of = {class_id: number for number, class_id in reversed(self._known(content))}
        if IGNORE_INDEX not in number_of and (ids[changed] == IGNORE_INDEX).any():
            found = "has pixels along borders that are to be void, but no value or colour means void"
            remedy = "add `{name: void, colour: [0, 0, 0], void: true}` to the classes, with a colour that is free"
            raise FileError(Problem("values", path, found, "a void class", remedy=remedy))
        numbers = content.numbers.copy()
        for class_id in np.unique(ids[changed]).tolist():
            numbers[changed & (ids == class_id)] = number_of[class_id]
        return replace(content, numbers=numbers), int(np.count_nonzero(changed))

    def unknown_pixels(self, path: Path) -> int:
        """Count the pixels of a mask that are of no class, whatever a rule for borders makes of them.

        Raises:
            FileError: unreadable, a mode that is no mask's.
        """
        content = self.content(path)
        return self._unknown(content, self._ids(content)).size

    def unknown_values(self, path: Path) -> UnknownValues:
        """Find the values of a mask that are no class's, and what they come of.

        Raises:
            FileError: unreadable, a mode that is no mask's.
        """
        content = self.content(path)
        return self._explain(content, self._unknown(content, self._ids(content)))

    def _equal_channels(self, path: Path, image: Image.Image) -> NDArray[np.uint8]:
        pixels = np.asarray(image)
        red: NDArray[np.uint8] = pixels[..., 0]
        if np.array_equal(red, pixels[..., 1]) and np.array_equal(red, pixels[..., 2]):
            return red
        found = f"is an RGB mask, with the colours {colours_found(colour_codes(image))}"
        remedy = "give the classes their colours in classes.yaml, or export the masks as indices"
        raise FileError(Problem("mode", path, found, "class ids, or known colours", remedy=remedy))

    def _known(self, content: MaskContent) -> list[tuple[int, int]]:
        """Return what is known of a mask of this kind: (number, class id or 255)."""
        if content.coloured:
            return [(colour_code(colour), class_id) for colour, class_id in self.colours]
        return list(self.values)

    def _ids(self, content: MaskContent) -> NDArray[np.uint8]:
        """Look up the ids of a mask, uint8 (H, W), as a new array; unknown numbers become 255, as void does."""
        raw = content.numbers
        if content.coloured:
            coloured: NDArray[np.uint8] = _colour_table(self.colours)[raw]
            return coloured
        table = _value_table(self.values)
        if raw.dtype == np.uint8:
            ids: NDArray[np.uint8] = table[:256][raw]
            return ids
        inside = (raw >= 0) & (raw <= _LARGEST_VALUE)
        ids = np.where(inside, table[np.where(inside, raw, 0)], np.uint8(IGNORE_INDEX))
        for value, class_id in self.values:
            if not 0 <= value <= _LARGEST_VALUE:
                ids[raw == value] = class_id
        return ids

    def _unknown(self, content: MaskContent, ids: NDArray[np.uint8]) -> NDArray[np.integer]:
        """Return the numbers that became 255 without being void, 1-D: in the tables, which are uint8, 255 stands for
        both."""
        candidates: NDArray[np.integer] = content.numbers[ids == IGNORE_INDEX]
        for number, class_id in self._known(content):
            if class_id == IGNORE_INDEX and candidates.size:
                candidates = candidates[candidates != number]
        return candidates

    def _unknown_pixels(self, content: MaskContent, ids: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Tell for each pixel, bool (H, W), whether its number is unknown."""
        unknown: NDArray[np.bool_] = ids == IGNORE_INDEX
        for number, class_id in self._known(content):
            if class_id == IGNORE_INDEX:
                unknown &= content.numbers != number
        return unknown

    def _snap(self, content: MaskContent, ids: NDArray[np.uint8], rule: BorderRule) -> NDArray[np.integer]:
        """Give unknown pixels a class, or void, as the rule says, in `ids`; return the numbers that are left, 1-D."""
        unknown, levels = self._unknown_pixels(content, ids), content.levels()
        flat, numbers = ids.reshape(-1), content.numbers.reshape(-1)
        at = np.flatnonzero(unknown)
        values, index = np.unique(numbers[at], return_inverse=True)
        class_of = self._noise_of(content, values)[index.ravel()]
        flat[at[class_of >= 0]] = class_of[class_of >= 0]
        unknown.reshape(-1)[at[class_of >= 0]] = False
        # What has the value of a class by chance is as wrong as what has none.
        member = in_regions(content.numbers) & ~unknown
        at = np.flatnonzero(~member & ~unknown)
        by_chance = unknown.copy()
        by_chance.reshape(-1)[at[mixed_into_a_class(levels, member, at)]] = True
        source, _ = nearest_known(levels, by_chance, rule.width)
        at, near = np.flatnonzero(by_chance), source >= 0
        flat[at[near]] = flat[source[near]] if rule.to == "nearest" else IGNORE_INDEX
        return numbers[at[~near & unknown.reshape(-1)[at]]]

    def _noise_of(self, content: MaskContent, values: NDArray[np.integer]) -> NDArray[np.int16]:
        """Return the class ids of numbers (N,) that differ from a class's as little as JPEG's noise does, int16; -1 for
        all other numbers, and where the classes' own numbers lie that close together."""
        none = np.full(values.size, -1, np.int16)
        known = self._known(content)
        if content.palette is not None or not known or not values.size:
            return none
        limit = _COLOUR_NOISE if content.coloured else _NUMBER_NOISE
        own = _levels_of([number for number, _ in known], coloured=content.coloured)
        apart = np.abs(own[:, None] - own[None]).max(2) + np.where(np.eye(len(own), dtype=bool), 1 << 20, 0)
        limit = min(limit, (int(apart.min()) - 1) // 2)
        if limit < 1:
            return none
        distance = np.abs(_levels_of(values.tolist(), coloured=content.coloured)[:, None] - own[None]).max(2)
        ids = np.array([class_id for _, class_id in known], np.int16)
        return np.where(distance.min(1) <= limit, ids[distance.argmin(1)], none)

    def _explain(self, content: MaskContent, unknown: NDArray[np.integer]) -> UnknownValues:
        """Part the unknown numbers (1-D) into those that may be meant and those that come of mixing or conversion."""
        if not unknown.size:
            return UnknownValues()
        counts = count_values(unknown)
        named = Counter({content.value(number): count for number, count in counts.most_common(_MOST_UNKNOWN)})
        if not content.coloured and len(counts) > 1 and counts.keys() <= _grey_levels(self.colours):
            return UnknownValues(mixed=named, remedy=_TURNED_TO_GREY)
        mixed = self._is_noise(content, counts)
        if not mixed:
            known = dict(self._known(content))
            uses = value_uses(content.numbers, content.levels(), known)
            mixed = frozenset(number for number in counts if uses.is_mixture(number))
            if len(mixed) >= _FEW_MIXTURES:
                mixed |= self._likely_mixtures(content, uses, sorted(counts.keys() - mixed))
        if not mixed:
            return UnknownValues(meant=named)
        width = self._border_width(content, mixed)
        mixed_names = {content.value(number) for number in mixed}
        return UnknownValues(
            meant=Counter({value: count for value, count in named.items() if value not in mixed_names}),
            mixed=Counter({value: count for value, count in named.items() if value in mixed_names}),
            remedy=self._border_remedy(width),
            width=width,
        )

    def _likely_mixtures(self, content: MaskContent, uses: ValueUses, numbers: Sequence[int]) -> frozenset[int]:
        """Return those numbers of a mask with soft borders that fill no region and are likely to be mixtures, too.

        They are of three regions, or of one that is too thin to be seen. Colours must be very rare, or lie between
        those of two classes.
        """
        rare = [
            number
            for number in numbers
            if number in uses.by_value
            and not uses.by_value[number].inside
            and uses.by_value[number].pixels <= MOST_MIXTURE * uses.pixels
        ]
        if not content.coloured or not rare:
            return frozenset(rare)
        ends = _levels_of([number for number, _ in self._known(content)], coloured=True)
        lie = on_segments(_levels_of(rare, coloured=True), ends).tolist()
        few = max(1.0, THIN_SHARE * uses.pixels)
        return frozenset(n for n, on_line in zip(rare, lie, strict=True) if on_line or uses.by_value[n].pixels <= few)

    def _is_noise(self, content: MaskContent, counts: Counter[int]) -> frozenset[int]:
        """Return all unknown numbers where they are so many, and most pixels so close to a class, as JPEG leaves them;
        else none. Ids that nobody named are fewer (of Cityscapes' labelIds 15 are no trainIds), or not close."""
        known = [number for number, _ in self._known(content)]
        if len(counts) <= _MIN_NOISE_VALUES or not known:
            return frozenset()
        found = _levels_of(list(counts), coloured=content.coloured)
        own = _levels_of(known, coloured=content.coloured)
        close = np.abs(found[:, None] - own[None]).max(axis=2).min(axis=1) <= _CLOSE
        pixels = np.array(list(counts.values()))
        return frozenset(counts) if 2 * pixels[close].sum() > pixels.sum() else frozenset()

    def _border_width(self, content: MaskContent, mixed: frozenset[int]) -> int:
        """Return the smallest of `_WIDTHS` within which all mixed numbers have a class; 0 where none is wide enough."""
        own = self._noise_of(content, np.array(sorted(mixed), np.int64))
        noise = {number for number, class_id in zip(sorted(mixed), own.tolist(), strict=True) if class_id >= 0}
        pixels = np.isin(content.numbers, np.array(sorted(mixed - noise), np.int64))
        _, distance = nearest_known(content.levels(), pixels, MAX_WIDTH)
        if (distance == 0).any():
            return 0
        return next(width for width in _WIDTHS if width >= distance.max(initial=0))

    def _border_remedy(self, width: int) -> str:
        """Say what to do about mixed numbers: the same to whoever trains and to whoever asks the doctor."""
        if not width:
            return f"{_MIXED}: {EXPORT_AGAIN}"
        fix = f"{option('fix_masks')} of `atonce doctor` writes corrected masks"
        if not self.classes_file:
            return f"{_MIXED}: {fix}; or {EXPORT_AGAIN}"
        rule = "`borders: nearest`" + (f" and `border_width: {width}`" if width > DEFAULT_WIDTH else "")
        return f"{_MIXED}: {rule} in {self.classes_file} reads them as the nearest class, or {fix}"

    def _problem(self, path: Path, content: MaskContent, unknown: NDArray[np.integer]) -> Problem:
        """Describe a mask that holds unknown numbers (1-D)."""
        remedy = self.remedy
        if self.borders is not None:
            away = f", more than {count_of(self.borders.width, 'pixel')} away from every class"
            wider = "raise border_width" + (f" in {self.classes_file}" if self.classes_file else "")
            return self._values_problem(path, content, unknown, about=away, remedy=f"{wider}, or {remedy}")
        explained = self._explain(content, unknown)
        if explained.mixed and explained.meant:
            meant = np.isin(unknown, np.array([_number_of(value) for value in explained.meant], np.int64))
            remedy = f"{remedy}; as to the other values, {explained.remedy}"
            return self._values_problem(path, content, unknown[meant], remedy=remedy)
        # Mixtures are nobody's to name: two of them show what they are.
        limit = 2 if explained.mixed else 8
        return self._values_problem(path, content, unknown, remedy=explained.remedy or remedy, limit=limit)

    def _values_problem(
        self,
        path: Path,
        content: MaskContent,
        unknown: NDArray[np.integer],
        *,
        remedy: str,
        about: str = "",
        limit: int = 8,
    ) -> Problem:
        found = (colours_found if content.coloured else values_found)(unknown, content.numbers.size, limit)
        expected = f"the {len(self.colours)} known colours" if content.coloured else self._expected_values()
        return Problem("values", path, f"holds {found}{about}", expected, remedy=remedy)

    def _expected_values(self) -> str:
        void = [value for value, class_id in self.values if class_id == IGNORE_INDEX]
        if len(void) > 3:  # Cityscapes: a list of what is void would hide what is not known at all
            return ranges(value for value, _ in self.values)
        classes = ranges(value for value, class_id in self.values if class_id != IGNORE_INDEX)
        return f"{classes}, or {ranges(void)} for void" if void else classes


def _number_of(value: MaskValue) -> int:
    return value if isinstance(value, int) else colour_code(value)


def _levels_of(numbers: Sequence[int], *, coloured: bool) -> NDArray[np.int64]:
    """Return numbers, or the channels of `colour_code`s, as (N, K)."""
    rows = [code_colour(number) for number in numbers] if coloured else [(number,) for number in numbers]
    return np.array(rows, np.int64)


def _grey_levels(colours: Iterable[tuple[Colour, int]]) -> set[int]:
    """Return the grey levels that the classes' colours are saved as (rounded by Pillow, and by others)."""
    lumas = [(299 * r + 587 * g + 114 * b) / 1000 for (r, g, b), class_id in colours if class_id != IGNORE_INDEX]
    return {int(luma) + step for luma in lumas for step in (0, 1)}


def percent(part: int, whole: int) -> str:
    """Write a share with as many digits as a person needs: "25 %", "2.5 %", "0.3 %", "under 0.01 %"."""
    share = 100 * part / whole
    if share < 0.01:
        return "under 0.01 %"
    return f"{share:.0f} %" if share >= 9.5 else f"{share:.2g} %"


def _shares(counts: Iterable[tuple[str, int]], total: int, limit: int) -> str:
    return listing((f"{name} ({count_of(n, 'pixel')}, {percent(n, total)})" for name, n in counts), limit)


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
