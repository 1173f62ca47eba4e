"""Findings about pictures and masks one by one: rims, unknown values, modes, blanks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from atonce.data.adapters.listing import some
from atonce.data.doctor.findings import File, Finding, about_files
from atonce.data.doctor.looks import Look, MaskLook, Record, Value
from atonce.data.pictures import Problem
from atonce.data.samples import Item
from atonce.labels import LabelSpec

_EXPORT = "export the masks again as PNG, scaled by nearest neighbour only"


def odd_masks(records: Mapping[str, Record]) -> list[Finding]:
    """Masks that were scaled smoothly or compressed, though all their values may be classes."""
    masks = [(path, look) for path, look in _masks(records) if look.rims.suspicious]
    blocky = [pair for pair in masks if pair[1].rims.blocky]
    smooth = [pair for pair in masks if not pair[1].rims.blocky]
    findings = [
        _rimmed("compressed", "JPEG compression", blocky),
        _rimmed("interpolated", "interpolation or of JPEG compression", smooth),
    ]
    return [finding for finding in findings if finding.count]


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
    remedy = "name them in a classes.yaml, as classes or as void (--fix-classes writes one), or mend the masks"
    files = [File(where[value], f"holds {value}") for value, _ in pixels.most_common()]
    found = f"{_many(len(told), 'value')} of no class: {some(told)}"
    return [about_files("error", "unknown-values", found, remedy, files)]


def _greys(labels: LabelSpec) -> list[int]:
    """What a picture of the classes' colours becomes when it is saved as grey (Pillow's rounding, and others')."""
    lumas = [(299 * r + 587 * g + 114 * b) / 1000 for r, g, b in labels.palette]
    return [int(luma) + step for luma in lumas for step in (0, 1)]


def _cause(look: MaskLook, labels: LabelSpec) -> str:
    """Why a mask holds wrong values, and what to do, where it can be seen."""
    if look.rims.suspicious:
        return f"they come of interpolation or JPEG: {_EXPORT}"
    if len(look.unknown) > 1 and look.unknown.keys() <= set(_greys(labels)):
        return "they are the classes' colours turned to grey: export the masks as indices, or in colour"
    return ""


def with_causes(problems: Iterable[Problem], records: Mapping[str, Record], labels: LabelSpec) -> list[Problem]:
    """The check's problems; where it can be seen why a mask's values are wrong, the remedy says so."""
    causes = {path: _cause(look, labels) for path, look in _masks(records) if look.unknown or look.rims.suspicious}
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
    turned = [File(item.image, "is turned by its EXIF orientation") for item, picture in looks if picture.turned]
    modes = Counter(picture.mode for _, picture in looks)
    findings = []
    if blank:
        found = f"{_many(len(blank), 'picture')} with nothing to be seen"
        remedy = "look at them; 16-bit pictures are scaled from 0..65535, so those of a 12-bit camera come out black"
        findings.append(about_files("warning", "blank", found, remedy, blank))
    if turned:
        found = f"{_many(len(turned), 'picture')} to be turned by EXIF: done here, but not by all tools"
        findings.append(about_files("note", "turned", found, "save them upright to be sure", turned))
    if len(modes) > 1:
        common = modes.most_common(1)[0][0]
        files = [File(item.image, f"is {picture.mode}") for item, picture in looks if picture.mode != common]
        found = f"pictures are of several modes: {', '.join(f'{n} {mode}' for mode, n in modes.most_common())}"
        findings.append(about_files("note", "modes", found, "all are read as 8-bit RGB", files))
    return findings


def _all(records: Mapping[str, Record]) -> list[tuple[Item, Look]]:
    return [pair for record in records.values() for pair in zip(record.items, record.looks, strict=True)]


def _masks(records: Mapping[str, Record]) -> list[tuple[Path, MaskLook]]:
    return [(item.mask, look.mask) for item, look in _all(records) if item.mask is not None and look.mask is not None]


def _many(count: int, what: str) -> str:
    return f"{count} {what}{'s'[: count != 1]}"
