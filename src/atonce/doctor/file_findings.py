"""Findings about images and masks one by one: interpolation, unknown values, 0 and 255, modes, EXIF."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from atonce.data.dataset import Dataset, Item
from atonce.data.masks import EXPORT_AGAIN, ClassMask, MaskValue
from atonce.data.soft_borders import BorderRule
from atonce.doctor.findings import AffectedFile, Finding, Severity, about_files
from atonce.doctor.observations import MaskObservation, Observations, all_items, all_masks
from atonce.errors import option
from atonce.labels import IGNORE_INDEX
from atonce.text import count_of, listing


def mask_findings(observations: Observations, dataset: Dataset) -> list[Finding]:
    """Find masks that were interpolated or compressed, of 0 and 255 only, or of another mode than the others."""
    # Masks with an error about their values, and those whose borders a rule has dealt with, need no warning about them.
    suspicious = [
        (path, mask)
        for path, mask in all_masks(observations)
        if mask.borders.suspicious and not (mask.unknown or mask.mixed or mask.snapped)
    ]
    blocky = [(path, mask) for path, mask in suspicious if mask.borders.blocky]
    smooth = [(path, mask) for path, mask in suspicious if not mask.borders.blocky]
    findings = [
        _only_0_and_255(observations, dataset),
        _ramps_along_borders("compressed", "JPEG compression", blocky),
        _ramps_along_borders("interpolated", "interpolation or of JPEG compression", smooth),
        _mixed_modes(observations),
        _snapped(observations, dataset),
    ]
    return [finding for finding in findings if finding.count]


def _only_0_and_255(observations: Observations, dataset: Dataset) -> Finding:
    """Find 255 read as void where somebody may have meant the foreground: 0/255 masks, or some among 0/1 masks."""
    reader = dataset.read_mask
    void_is_255 = isinstance(reader, ClassMask) and (IGNORE_INDEX, IGNORE_INDEX) in reader.values
    masks = all_masks(observations) if void_is_255 else []
    files = [AffectedFile(path, "holds 0 and 255 only") for path, mask in masks if mask.only_0_and_255]
    # Void that is in other masks, too, may well be void here; in a data set without any it is a mistake.
    void_elsewhere = any(mask.holds_255 and not mask.only_0_and_255 for _, mask in masks)
    severity: Severity = "error" if not void_elsewhere and dataset.labels.num_classes == 2 else "warning"
    masks_hold = f"{len(files)} mask{'s hold' if len(files) != 1 else ' holds'}"
    found = f"{masks_hold} 0 and 255 and nothing else: 255 counts as void, a foreground was meant, it seems"
    remedy = (
        "write these masks with the ids of the classes (0 and 1); if all are so, `value: 255` in classes.yaml will do"
    )
    return about_files(severity, "ends-only", found, remedy=remedy, files=files)


def _snapped(observations: Observations, dataset: Dataset) -> Finding:
    """Count the pixels that the rule for borders has given a class, or made void."""
    masks = [(path, mask.snapped) for path, mask in all_masks(observations) if mask.snapped]
    rule = dataset.read_mask.borders if isinstance(dataset.read_mask, ClassMask) else None
    becomes = "void" if rule is not None and rule.to == "void" else "the nearest class"
    found = f"{count_of(len(masks), 'mask')} with soft borders, whose pixels of no class count as {becomes}"
    files = [AffectedFile(path, f"{count_of(pixels, 'pixel')}") for path, pixels in masks]
    remedy = f"look at the overlays ({option('out')}); {option('fix_masks')} writes masks without soft borders"
    return about_files("note", "soft-borders", found, remedy=remedy, files=files)


def _mixed_modes(observations: Observations) -> Finding:
    """Find colours in some masks and numbers in others: each may be read rightly, but hardly mean the same classes."""
    masks = all_masks(observations)
    modes = Counter(mask.mode for _, mask in masks)
    coloured = [mask.mode.startswith("RGB") for _, mask in masks]
    fewer = min((True, False), key=coloured.count)
    files = [
        AffectedFile(path, f"is {mask.mode}") for (path, mask), rgb in zip(masks, coloured, strict=True) if rgb is fewer
    ]
    found = f"masks are of several modes: {', '.join(f'{n} {mode}' for mode, n in modes.most_common())}"
    remedy = "colours are looked up, numbers are taken as ids: look whether both mean the same classes"
    return about_files("warning", "mask-modes", found, remedy=remedy, files=files)


def _ramps_along_borders(kind: str, cause: str, masks: Sequence[tuple[Path, MaskObservation]]) -> Finding:
    masks_show = f"{len(masks)} mask{'s show' if len(masks) > 1 else ' shows'}"
    found = f"{masks_show} traces of {cause}: wrong values along the borders"
    files = [AffectedFile(path, mask.borders.describe()) for path, mask in masks]
    return about_files("warning", kind, found, remedy=EXPORT_AGAIN, files=files)


def unknown_value_findings(observations: Observations) -> list[Finding]:
    """Find all values and colours of no class over all masks: each once, where the check has a line for each mask.

    Values that are wrong for a reason that is seen are left out: they would bury what somebody meant.
    """
    pixels, masks, where = Counter[MaskValue](), Counter[MaskValue](), dict[MaskValue, Path]()
    for path, mask in all_masks(observations):
        pixels.update(mask.unknown)
        masks.update(mask.unknown.keys())
        for value in mask.unknown:
            where.setdefault(value, path)
    if not pixels:
        return []
    counted = [f"{v} ({count_of(n, 'pixel')} in {count_of(masks[v], 'mask')})" for v, n in pixels.most_common()]
    remedy = (
        f"name them in a classes.yaml, as classes or as void ({option('fix_classes')} writes one), or mend the masks"
    )
    files = [AffectedFile(where[value], f"holds {value}") for value, _ in pixels.most_common()]
    found = f"{count_of(len(counted), 'value')} of no class: {listing(counted)}"
    return [about_files("error", "unknown-values", found, remedy=remedy, files=files)]


def unnamed_values(observations: Observations) -> Counter[MaskValue]:
    """Count the pixels of the values and colours that somebody may have meant as a class."""
    unnamed = Counter[MaskValue]()
    for _, mask in all_masks(observations):
        unnamed.update(mask.unknown)
    return unnamed


def border_rule(observations: Observations, dataset: Dataset) -> BorderRule | None:
    """Return the rule for soft borders that the data set needs: its own, as wide as all masks need it, or the narrowest
    that covers them all."""
    widths = [mask.border_width for _, mask in all_masks(observations) if mask.border_width]
    own = dataset.read_mask.borders if isinstance(dataset.read_mask, ClassMask) else None
    if not widths:
        return own
    return BorderRule("nearest", max(widths)) if own is None else replace(own, width=max(own.width, *widths))


def image_findings(observations: Observations) -> list[Finding]:
    """Find images of several modes, or turned by EXIF; what is lost in reading them the check has found."""
    images = [
        (observation.item, observation.image)
        for observation in all_items(observations)
        if observation.image is not None
    ]
    turned = [(item, image.exif_rotation) for item, image in images if image.exif_rotation]
    modes = Counter(image.mode for _, image in images)
    findings = _turned_by_exif(turned)
    if len(modes) > 1:
        common = modes.most_common(1)[0][0]
        files = [AffectedFile(item.image, f"is {image.mode}") for item, image in images if image.mode != common]
        found = f"pictures are of several modes: {', '.join(f'{n} {mode}' for mode, n in modes.most_common())}"
        findings.append(about_files("note", "modes", found, remedy="all are read as 8-bit RGB", files=files))
    return findings


def _turned_by_exif(images: Sequence[tuple[Item, str]]) -> list[Finding]:
    """Find images that EXIF turns: a warning where the size cannot tell whether the mask was drawn on it upright."""
    findings = []
    uncertain = [item for item, rotation in images if rotation == "within its size" and item.mask is not None]
    certain = [item for item, _ in images if item not in uncertain]
    if uncertain:
        found = f"{count_of(len(uncertain), 'picture')} to be turned by EXIF, in a way that leaves the size as it is"
        remedy = "look whether the masks were drawn on the upright pictures, as is assumed here; save them upright"
        files = [AffectedFile(item.image, "is turned by its EXIF orientation") for item in uncertain]
        findings.append(about_files("warning", "turned", found, remedy=remedy, files=files))
    if certain:
        found = f"{count_of(len(certain), 'picture')} to be turned by EXIF: done here, but not by all tools"
        files = [AffectedFile(item.image, "is turned by its EXIF orientation") for item in certain]
        findings.append(about_files("note", "turned", found, remedy="save them upright to be sure", files=files))
    return findings
