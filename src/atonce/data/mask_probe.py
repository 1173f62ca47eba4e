"""A sample of a folder's masks is read to see which values they hold, and a classes file is proposed from them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from atonce.data.class_statistics import count_values
from atonce.data.classes_file import LARGEST_CLASS_VALUE, read_border_rule, read_classes
from atonce.data.masks import (
    MaskContent,
    MaskValue,
    code_colour,
    colour_code,
    colour_codes,
    index_values,
    is_colour,
    open_mask,
)
from atonce.data.sampling import evenly_spaced
from atonce.data.soft_borders import DEFAULT_WIDTH, THIN_SHARE, BorderRule, ValueUses, on_segments, value_uses
from atonce.errors import DataError
from atonce.labels import IGNORE_INDEX, Colour
from atonce.threads import at_most

PROBE_LIMIT = 64
"""Masks that are read when a folder is opened: enough to meet rare classes, a second for large street scenes."""

PROBE_LIMIT_NAMED = 16
"""The same where a classes file names what may occur, and only the kind of masks is in question."""

_SMALLEST_GREY = 32
"""A number from which on, if none is between it and 0, the numbers are grey levels rather than ids."""

_MOST_CLEAN = 64
"""The most values that all may be classes though none of them is seen to be a mixture; more were not drawn."""

_MOST_ENDS = 20
"""Colours, of those that fill most, between which mixtures are looked for."""

_REGIONS_SHARE = 0.5
"""Share of the pixels whose values fill regions, below which masks are taken for photographs."""

_RAMPS_SHARE = 0.25
"""Share of more than 64 numbers that are mixtures, from which on masks have ramps of all grey levels along borders.
Among so many, a number that is frequent but fills no region, or rare though nine of its pixels are neighbours, is a
step that ramps have often rather than a class."""

_RINGING = 0.1
"""Share of the numbers' range by which Lanczos and bicubic filters overshoot, on both sides of a border."""

_COLOUR_NOISE, _NUMBER_NOISE, _NUMBER_RARITY = 16, 4, 5
"""JPEG's noise: colours up to so many levels, in each channel, from a more frequent one; numbers up to so many from one
that is so many times as frequent."""


@dataclass
class MaskProbe:
    """The kinds, values and colours that were found in a sample of masks; unreadable files are left to the check.

    Attributes:
        total: masks there are.
        read: masks of the sample that could be read.
        read_files: the files of these.
        kinds: how many masks are "index", "palette", "rgb".
        values: number in index and palette masks -> pixels.
        colours: colour in RGB masks -> pixels.
        palette: index that occurs in a palette mask -> its colour in the first such mask.
        palette_pixels: colour in palette masks -> pixels.
        palettes_differ: two files that give one index different colours.
        where: number -> the first mask that holds it.
        value_uses, colour_uses: how index and palette masks use their numbers, and RGB masks their colours; only where
            the probe was asked for it.
    """

    total: int = 0
    read: int = 0
    read_files: list[Path] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)
    values: Counter[int] = field(default_factory=Counter)
    colours: Counter[Colour] = field(default_factory=Counter)
    palette: dict[int, tuple[Colour, Path]] = field(default_factory=dict)
    palette_pixels: Counter[Colour] = field(default_factory=Counter)
    palettes_differ: tuple[Path, Path, int] | None = None
    where: dict[int, Path] = field(default_factory=dict)
    value_uses: ValueUses = field(default_factory=ValueUses)
    colour_uses: ValueUses = field(default_factory=ValueUses)


@dataclass(frozen=True)
class _Probed:
    """One mask: kind, code of a colour or number -> pixels, the colours that its palette gives the numbers, uses."""

    kind: str
    counts: Counter[int]
    palette: dict[int, Colour] = field(default_factory=dict)
    uses: ValueUses = field(default_factory=ValueUses)


def probe_masks(masks: Sequence[Path], limit: int, *, uses: bool = False) -> MaskProbe:
    """Read up to `limit` masks, evenly spaced over the sorted list.

    Args:
        uses: also find out which values fill regions and which lie along borders.
    """
    chosen = evenly_spaced(sorted(masks), limit)
    probe = MaskProbe(total=len(masks))
    with ThreadPoolExecutor(at_most(4)) as pool:
        for path, content in zip(chosen, pool.map(partial(_read, with_uses=uses), chosen), strict=True):
            if content is not None:
                _add(probe, path, content)
    return probe


def _read(path: Path, *, with_uses: bool) -> _Probed | None:
    try:
        image = open_mask(path)
        coloured = is_colour(image)
        numbers = colour_codes(image) if coloured else index_values(path, image)
    except DataError:
        return None
    counts = count_values(numbers)
    uses = value_uses(numbers, MaskContent(numbers, coloured).levels()) if with_uses else ValueUses()
    if image.mode != "P":
        return _Probed("rgb" if coloured else "index", counts, uses=uses)
    flat = image.getpalette("RGB") or []
    triples = list(zip(flat[0::3], flat[1::3], flat[2::3], strict=False))
    palette = {value: triples[value] for value in counts if value < len(triples)}
    return _Probed("palette", counts, palette, uses)


def _add(probe: MaskProbe, path: Path, content: _Probed) -> None:
    probe.read += 1
    probe.read_files.append(path)
    probe.kinds[content.kind] += 1
    if content.kind == "rgb":
        probe.colours.update({code_colour(code): n for code, n in content.counts.items()})
        probe.colour_uses.add(content.uses)
        return
    probe.value_uses.add(content.uses)
    probe.values.update(content.counts)
    for value in content.counts:
        probe.where.setdefault(value, path)
    for value, colour in content.palette.items():
        probe.palette_pixels[colour] += content.counts[value]
        first, where = probe.palette.setdefault(value, (colour, path))
        if first != colour and probe.palettes_differ is None:
            probe.palettes_differ = (where, path, value)


@dataclass(frozen=True)
class ProposedClasses:
    """Classes that are proposed from what the masks of a sample hold.

    Attributes:
        meant: the values or colours that fill regions, or are too frequent to be mixtures -> pixels.
        mixed: how many others lie along borders alone.
        doubtful: those of these that may be thin classes all the same: frequent, and not seen to be mixtures.
    """

    meant: Counter[MaskValue]
    mixed: int = 0
    doubtful: tuple[MaskValue, ...] = ()

    @property
    def plausible(self) -> bool:
        """False where there are more of them than a data set can have classes, or fewer than two."""
        return 2 <= len(self.meant) <= IGNORE_INDEX


def propose_classes(counts: Mapping[MaskValue, int], uses: ValueUses) -> ProposedClasses:
    """Tell the values and colours that may be classes from those that are mixtures along borders, or JPEG's noise.

    Where there are no mixtures, and not too many values, all of them may be classes: nobody knows better.
    """
    total = sum(counts.values())
    mixed = {value for value in counts if uses.is_mixture(_number(value))}
    if not mixed and len(counts) <= _MOST_CLEAN:
        return ProposedClasses(Counter(counts))
    regions = set(uses.regions())
    mixed |= _lines_between(counts, regions)
    if sum(counts[value] for value in counts if _number(value) in regions) < _REGIONS_SHARE * total:
        return ProposedClasses(Counter(counts))
    ramps = len(counts) > _MOST_CLEAN and len(mixed) >= _RAMPS_SHARE * len(counts) and not any(map(_is_colour, counts))
    meant = Counter[MaskValue]()
    for value, pixels in sorted(counts.items(), key=lambda item: -item[1]):
        region, frequent = _number(value) in regions, pixels > THIN_SHARE * total
        fills = region and frequent if ramps else region or frequent
        if fills and value not in mixed and not any(_is_noise(value, pixels, other, meant[other]) for other in meant):
            meant[value] = pixels
        if len(meant) > IGNORE_INDEX:
            break
    doubtful = {v for v in counts if _number(v) in regions or counts[v] > THIN_SHARE * total} if ramps else set()
    left = sorted((v for v in doubtful - mixed - meant.keys() if not _is_ringing(v, counts, meant)), key=_number)
    return ProposedClasses(meant, len(counts) - len(meant), tuple(left))


def _is_ringing(value: MaskValue, counts: Mapping[MaskValue, int], meant: Counter[MaskValue]) -> bool:
    """Tell whether a number is so near to a class that is more frequent that a filter has made it of that."""
    near = _RINGING * (max(map(_number, counts)) - min(map(_number, counts)))
    return any(
        abs(_number(value) - _number(other)) <= near and counts[value] < pixels for other, pixels in meant.items()
    )


def _is_colour(value: MaskValue) -> bool:
    return isinstance(value, tuple)


def _number(value: MaskValue) -> int:
    return value if isinstance(value, int) else colour_code(value)


def _is_noise(value: MaskValue, pixels: int, other: MaskValue, others_pixels: int) -> bool:
    """Tell whether a value is so near to one that is so much more frequent that JPEG has made it of that one."""
    one, two = (v if isinstance(v, tuple) else (v,) for v in (value, other))
    noise, rarity = (_COLOUR_NOISE, 1) if isinstance(value, tuple) else (_NUMBER_NOISE, _NUMBER_RARITY)
    return pixels * rarity < others_pixels and all(abs(a - b) <= noise for a, b in zip(one, two, strict=True))


def _lines_between(counts: Mapping[MaskValue, int], regions: set[int]) -> set[MaskValue]:
    """Return the colours outside of regions that lie on a line between two of those that fill most."""
    largest = sorted((v for v in counts if isinstance(v, tuple) and _number(v) in regions), key=lambda v: -counts[v])
    others = [value for value in counts if isinstance(value, tuple) and _number(value) not in regions]
    if not others or not largest:
        return set()
    lie = on_segments(np.array(others, np.int64), np.array(largest[:_MOST_ENDS], np.int64))
    return {value for value, on_line in zip(others, lie.tolist(), strict=True) if on_line}


def propose_by_colour(colours: Counter[Colour], rule: BorderRule | None = None) -> str:
    """Write a classes.yaml for RGB masks: the colours found, the most frequent first, with names to be replaced.

    Args:
        rule: what is to become of the colours along borders.

    Returns:
        The file; empty where it could not be read again, since there are too many classes.
    """
    lines = [f"  - {{name: class {i}, colour: {list(c)}}}" for i, (c, _) in enumerate(colours.most_common())]
    return _checked("\n".join([*border_lines(rule), "classes:", *lines, ""]))


def propose_by_value(values: Iterable[int], rule: BorderRule | None = None) -> str:
    """Write a classes.yaml for index masks; two values of which one is 0 are background and foreground.

    Numbers that no class can have (below 0, above 65535) are marked as void: they stand for pixels without data. So is
    255 among ids, where it is void by custom; among grey levels (0, 128, 255) it is white, and a class.

    Args:
        rule: what is to become of the values along borders.

    Returns:
        The file; empty where it could not be read again, since there are too many classes.
    """
    found = sorted(values)
    if found in ([0, 255], [255]):
        names, classes = ["background", "foreground"], [0, 255]
    else:
        are_ids = any(0 < value < _SMALLEST_GREY for value in found)
        classes = [v for v in found if 0 <= v <= LARGEST_CLASS_VALUE and not (v == IGNORE_INDEX and are_ids)]
        names = [f"class {i}" for i in range(len(classes))]
    lines = [f"  - {{name: {name}, value: {value}}}" for name, value in zip(names, classes, strict=True)]
    if IGNORE_INDEX in found and IGNORE_INDEX not in classes:
        lines.append(f"  - {{name: void, value: {IGNORE_INDEX}, void: true}}")
    no_data = [value for value in found if not 0 <= value <= LARGEST_CLASS_VALUE]
    lines += [f"  - {{name: no data {value}, value: {value}, void: true}}" for value in no_data]
    return _checked("\n".join([*border_lines(rule), "classes:", *lines, ""]))


def border_lines(rule: BorderRule | None) -> list[str]:
    """Write the rule for borders as a classes.yaml has it."""
    if rule is None:
        return []
    about = "values of no class along borders count as the nearest class"
    lines = [f"borders: {rule.to}  # {about if rule.to == 'nearest' else 'values of no class along borders are void'}"]
    return lines if rule.width == DEFAULT_WIDTH else [*lines, f"border_width: {rule.width}"]


def _checked(text: str) -> str:
    return text if can_be_read(text) else ""


def can_be_read(text: str, *, labels: bool = False) -> bool:
    """Tell whether a classes.yaml is one that atonce itself reads: none other is ever proposed.

    Args:
        labels: it is for annotations, whose labels may stand for values.
    """
    with TemporaryDirectory() as folder:
        path = Path(folder) / "classes.yaml"
        path.write_text(text, "utf-8")
        try:
            read_classes(path, labels=labels)
            read_border_rule(path)
        except DataError:
            return False
    return True
