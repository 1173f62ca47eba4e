"""Findings about the classes of soft masks: values that a classes file takes for classes, or not, against their use."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from atonce.data.dataset import Dataset
from atonce.data.mask_probe import PROBE_LIMIT, ProposedClasses, probe_masks, propose_classes
from atonce.data.masks import ClassMask, MaskValue
from atonce.doctor.findings import Finding
from atonce.text import listing


def soft_mask_findings(dataset: Dataset) -> list[Finding]:
    """Compare the classes of masks that a rule for borders reads with what a sample of them shows: which values fill
    regions, and which lie along borders only.

    Nothing of it is an error: the rule gives each pixel a class, and only who made the masks knows which are meant.
    """
    reader = dataset.read_mask
    if not isinstance(reader, ClassMask) or reader.borders is None:
        return []
    items = (item for split in dataset.splits.values() for item in split)
    probe = probe_masks([item.mask for item in items if isinstance(item.mask, Path)], PROBE_LIMIT, uses=True)
    counts: Mapping[MaskValue, int] = dict((probe.colours or probe.values).items())
    named: set[MaskValue] = {colour for colour, _ in reader.colours} if probe.colours else {v for v, _ in reader.values}
    if not counts or (probe.colours and probe.values) or probe.palette:
        return []
    found = propose_classes(counts, probe.colour_uses if probe.colours else probe.value_uses)
    return [*_unnamed(found, named), *_mixtures(found, named & counts.keys())] if found.plausible else []


def _unnamed(found: ProposedClasses, named: set[MaskValue]) -> list[Finding]:
    """Find values of no class that may be meant: the rule makes them the class that is nearest."""
    left = [value for value in (*found.meant, *found.doubtful) if value not in named]
    if not left:
        return []
    text = f"{_values(left)} of no class may be meant: frequent or filling regions, but read as what lies beside"
    return [Finding("warning", "soft-values", text, "look at the masks; give such a value a class, if it is one")]


def _mixtures(found: ProposedClasses, named: set[MaskValue]) -> list[Finding]:
    """Find classes whose value lies along the borders of others only."""
    left = [value for value in named if value not in found.meant]
    if not found.mixed or not left:
        return []
    text = f"{_values(left)} of a class hardly fill a region: mixtures along the borders of others, it seems"
    return [Finding("warning", "soft-classes", text, "look at the masks; remove such a class from the classes file")]


def _values(values: list[MaskValue]) -> str:
    word = "values" if isinstance(values[0], int) else "colours"
    return f"{word} {listing(map(str, sorted(values)), 8)}"
