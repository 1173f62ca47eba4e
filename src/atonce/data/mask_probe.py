"""A sample of a folder's masks is read to see which values they hold, and a classes file is proposed from them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from atonce.data.masks import code_colour, colour_codes, count_values, index_values, is_colour, open_mask
from atonce.data.sampling import evenly_spaced
from atonce.errors import DataError
from atonce.labels import Colour

PROBE_LIMIT = 64
"""Masks that are read when a folder is opened: enough to meet rare classes, a second for large street scenes."""

PROBE_LIMIT_NAMED = 16
"""The same where a classes file names what may occur, and only the kind of masks is in question."""


@dataclass
class MaskProbe:
    """The kinds, values and colours that were found in a sample of masks; unreadable files are left to the check.

    Attributes:
        total: masks there are.
        read: masks of the sample that could be read.
        kinds: how many masks are "index", "palette", "rgb".
        values: number in index and palette masks -> pixels.
        colours: colour in RGB masks -> pixels.
        palette: index that occurs in a palette mask -> its colour in the first such mask.
        palette_pixels: colour in palette masks -> pixels.
        palettes_differ: two files that give one index different colours.
        where: number -> the first mask that holds it.
    """

    total: int = 0
    read: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    values: Counter[int] = field(default_factory=Counter)
    colours: Counter[Colour] = field(default_factory=Counter)
    palette: dict[int, tuple[Colour, Path]] = field(default_factory=dict)
    palette_pixels: Counter[Colour] = field(default_factory=Counter)
    palettes_differ: tuple[Path, Path, int] | None = None
    where: dict[int, Path] = field(default_factory=dict)


@dataclass(frozen=True)
class _MaskContent:
    """One mask: kind, code of a colour or number -> pixels, and the colours that its palette gives the numbers."""

    kind: str
    counts: Counter[int]
    palette: dict[int, Colour] = field(default_factory=dict)


def probe_masks(masks: Sequence[Path], limit: int) -> MaskProbe:
    """Read up to `limit` masks, evenly spaced over the sorted list."""
    chosen = evenly_spaced(sorted(masks), limit)
    probe = MaskProbe(total=len(masks))
    with ThreadPoolExecutor(4) as pool:
        for path, content in zip(chosen, pool.map(_read, chosen), strict=True):
            if content is not None:
                _add(probe, path, content)
    return probe


def _read(path: Path) -> _MaskContent | None:
    try:
        image = open_mask(path)
        if is_colour(image):
            return _MaskContent("rgb", count_values(colour_codes(image)))
        counts = count_values(index_values(path, image))
    except DataError:
        return None
    if image.mode != "P":
        return _MaskContent("index", counts)
    flat = image.getpalette("RGB") or []
    triples = list(zip(flat[0::3], flat[1::3], flat[2::3], strict=False))
    return _MaskContent("palette", counts, {value: triples[value] for value in counts if value < len(triples)})


def _add(probe: MaskProbe, path: Path, content: _MaskContent) -> None:
    probe.read += 1
    probe.kinds[content.kind] += 1
    if content.kind == "rgb":
        probe.colours.update({code_colour(code): n for code, n in content.counts.items()})
        return
    probe.values.update(content.counts)
    for value in content.counts:
        probe.where.setdefault(value, path)
    for value, colour in content.palette.items():
        probe.palette_pixels[colour] += content.counts[value]
        first, where = probe.palette.setdefault(value, (colour, path))
        if first != colour and probe.palettes_differ is None:
            probe.palettes_differ = (where, path, value)


def propose_by_colour(colours: Counter[Colour], limit: int = 40) -> str:
    """Write a classes.yaml for RGB masks: the colours found, the most frequent first, with names to be replaced."""
    lines = [f"  - {{name: class {i}, colour: {list(c)}}}" for i, (c, _) in enumerate(colours.most_common(limit))]
    return "\n".join(["classes:", *lines, ""])


def propose_by_value(values: Counter[int], void: frozenset[int] = frozenset({255})) -> str:
    """Write a classes.yaml for index masks; two values of which one is 0 are background and foreground."""
    found = sorted(values)
    if found in ([0, 255], [255]):
        names, classes = ["background", "foreground"], [0, 255]
    else:
        classes = [value for value in found if value not in void]
        names = [f"class {i}" for i in range(len(classes))]
    lines = [f"  - {{name: {name}, value: {value}}}" for name, value in zip(names, classes, strict=True)]
    return "\n".join(["classes:", *lines, ""])
