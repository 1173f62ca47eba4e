"""Findings about pictures and masks one by one: rims, unknown values, 0 and 255, modes, blanks, EXIF."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from atonce.data.dataset import Dataset, Item
from atonce.data.images import Problem
from atonce.data.masks import ClassMask
from atonce.doctor.findings import File, Finding, about_files
from atonce.doctor.observations import Look, MaskLook, Record, Value
from atonce.errors import option
from atonce.labels import IGNORE_INDEX, LabelSpec
from atonce.text import count_of, listing

_EXPORT = "export the masks again as PNG, scaled by nearest neighbour only"

_FEW = 3
"""Values of no class that interpolation does not explain: fewer were meant by somebody."""


def odd_masks(records: Mapping[str, Record], dataset: Dataset) -> list[Finding]:
    """Masks that were scaled smoothly or compressed, of 0 and 255 only, or of another mode than the others."""
    masks = [(path, look) for path, look in _masks(records) if look.rims.suspicious]
    blocky = [pair for pair in masks if pair[1].rims.blocky]
    smooth = [pair for pair in masks if not pair[1].rims.blocky]
    findings = [
        _ends_only(records, dataset),
        _rimmed("compressed", "JPEG compression", blocky),
        _rimmed("interpolated", "interpolation or of JPEG compression", smooth),
        _mixed(records),
    ]
    return [finding for finding in findings if finding.count]


def _ends_only(records: Mapping[str, Record], dataset: Dataset) -> Finding:
    """255 read as void, where somebody may have meant the foreground: 0/255 masks, or some among 0/1 masks."""
    reader = dataset.read_mask
    void = isinstance(reader, ClassMask) and (IGNORE_INDEX, IGNORE_INDEX) in reader.values
    masks = [(path, look) for path, look in _masks(records) if void]
    ends = [File(path, "holds 0 and 255 only") for path, look in masks if look.ends]
    others = any(look.highest and not look.ends for _, look in masks)
    # Void that is in other masks, too, may well be void here; in a data set without any it is a mistake.
    sure = not others and dataset.labels.num_classes == 2
    found = f"{_masks_hold(len(ends))} 0 and 255 and nothing else: 255 counts as void, a foreground was meant, it seems"
    remedy = (
        "write these masks with the ids of the classes (0 and 1); if all are so, `value: 255` in classes.yaml will do"
    )
    return about_files("error" if sure else "warning", "ends-only", found, remedy, ends)


def _mixed(records: Mapping[str, Record]) -> Finding:
    """Colours in some masks and numbers in others: each may be read rightly, but hardly by the same meaning."""
    masks = _masks(records)
    modes = Counter(look.mode for _, look in masks)
    coloured = [look.mode.startswith("RGB") for _, look in masks]
    fewer = min((True, False), key=coloured.count)
    files = [File(path, f"is {look.mode}") for (path, look), rgb in zip(masks, coloured, strict=True) if rgb is fewer]
    found = f"masks are of several modes: {', '.join(f'{n} {mode}' for mode, n in modes.most_common())}"
    remedy = "colours are looked up, numbers are taken as ids: look whether both mean the same classes"
    return about_files("warning", "mask-modes", found, remedy, files)


def _masks_hold(count: int) -> str:
    return f"{count} mask{'s hold' if count != 1 else ' holds'}"


def _rimmed(kind: str, how: str, masks: Sequence[tuple[Path, MaskLook]]) -> Finding:
    found = f"{len(masks)} mask{'s show' if len(masks) > 1 else ' shows'} traces of {how}: rims of wrong values"
    return about_files("warning", kind, found, _EXPORT, [File(path, look.rims.describe()) for path, look in masks])


def unknown_values(records: Mapping[str, Record], labels: LabelSpec) -> list[Finding]:
    """All values and colours of no class over all masks: one line each, where the check has one for each mask.

    Masks whose values are wrong for a reason that is seen are left out: they would bury what somebody meant.
    """
    pixels, masks, where = Counter[Value](), Counter[Value](), dict[Value, Path]()
    for path, look in _masks(records):
        if not _cause(look, labels):
            pixels.update(look.unknown)
            masks.update(look.unknown.keys())
            for value in look.unknown:
                where.setdefault(value, path)
    if not pixels:
        return []
    told = [f"{v} ({_many(n, 'pixel')} in {_many(masks[v], 'mask')})" for v, n in pixels.most_common()]
    remedy = (
        f"name them in a classes.yaml, as classes or as void ({option('fix_classes')} writes one), or mend the masks"
    )
    files = [File(where[value], f"holds {value}") for value, _ in pixels.most_common()]
    found = f"{_many(len(told), 'value')} of no class: {listing(told)}"
    return [about_files("error", "unknown-values", found, remedy, files)]


def _greys(labels: LabelSpec) -> list[int]:
    """What a picture of the classes' colours becomes when it is saved as grey (Pillow's rounding, and others')."""
    lumas = [(299 * r + 587 * g + 114 * b) / 1000 for r, g, b in labels.palette]
    return [int(luma) + step for luma in lumas for step in (0, 1)]


def _cause(look: MaskLook, labels: LabelSpec) -> str:
    """Why a mask holds wrong values, and what to do, where it can be seen."""
    if len(look.unknown) >= _FEW and (look.rims.suspicious or look.noisy):
        return f"they come of interpolation or JPEG: {_EXPORT}"
    if len(look.unknown) > 1 and look.unknown.keys() <= set(_greys(labels)):
        return "they are the classes' colours turned to grey: export the masks as indices, or in colour"
    return ""


def with_causes(problems: Iterable[Problem], records: Mapping[str, Record], labels: LabelSpec) -> list[Problem]:
    """The check's problems; where it can be seen why a mask's values are wrong, the remedy says so."""
    causes = {path: _cause(look, labels) for path, look in _masks(records) if look.unknown}
    return [replace(p, remedy=causes[p.path]) if p.kind == "values" and causes.get(p.path) else p for p in problems]


def all_unknown(records: Mapping[str, Record], labels: LabelSpec) -> Counter[Value]:
    """Values and colours that somebody may have meant as a class -> pixels."""
    unknown = Counter[Value]()
    for _, look in _masks(records):
        unknown.update(look.unknown if not _cause(look, labels) else ())
    return unknown


def odd_pictures(records: Mapping[str, Record]) -> list[Finding]:
    """Blank pictures, several modes, turned by EXIF."""
    looks = [(item, look.picture) for item, look in _all(records) if look.picture is not None]
    blank = [File(item.image, picture.blank) for item, picture in looks if picture.blank]
    turned = [(item, picture.turned) for item, picture in looks if picture.turned]
    modes = Counter(picture.mode for _, picture in looks)
    findings = []
    if blank:
        found = f"{_many(len(blank), 'picture')} with nothing to be seen"
        remedy = "look at them; 16-bit pictures are scaled from 0..65535, so those of a 12-bit camera come out black"
        findings.append(about_files("warning", "blank", found, remedy, blank))
    findings += _turned(turned)
    if len(modes) > 1:
        common = modes.most_common(1)[0][0]
        files = [File(item.image, f"is {picture.mode}") for item, picture in looks if picture.mode != common]
        found = f"pictures are of several modes: {', '.join(f'{n} {mode}' for mode, n in modes.most_common())}"
        findings.append(about_files("note", "modes", found, "all are read as 8-bit RGB", files))
    return findings


def _turned(pictures: Sequence[tuple[Item, str]]) -> list[Finding]:
    """Where the picture keeps its size, nothing tells whether its mask was drawn on it upright."""
    findings = []
    blind = [item for item, how in pictures if how == "within its size" and item.mask is not None]
    seen = [item for item, _ in pictures if item not in blind]
    if blind:
        found = f"{_many(len(blind), 'picture')} to be turned by EXIF, in a way that leaves the size as it is"
        remedy = "look whether the masks were drawn on the upright pictures, as is assumed here; save them upright"
        files = [File(item.image, "is turned by its EXIF orientation") for item in blind]
        findings.append(about_files("warning", "turned", found, remedy, files))
    if seen:
        found = f"{_many(len(seen), 'picture')} to be turned by EXIF: done here, but not by all tools"
        files = [File(item.image, "is turned by its EXIF orientation") for item in seen]
        findings.append(about_files("note", "turned", found, "save them upright to be sure", files))
    return findings


def _all(records: Mapping[str, Record]) -> list[tuple[Item, Look]]:
    return [pair for record in records.values() for pair in zip(record.items, record.looks, strict=True)]


def _masks(records: Mapping[str, Record]) -> list[tuple[Path, MaskLook]]:
    return [(item.mask, look.mask) for item, look in _all(records) if item.mask is not None and look.mask is not None]


def _many(count: int, what: str) -> str:
    return count_of(count, what)
