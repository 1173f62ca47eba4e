"""The classes of a folder's masks: as its classes file says, or as the masks themselves leave no doubt."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from atonce.data.classes_file import ClassTable, find_classes_file, read_classes
from atonce.data.mask_probe import (
    PROBE_LIMIT,
    PROBE_LIMIT_NAMED,
    MaskProbe,
    probe_masks,
    propose_by_colour,
    propose_by_value,
)
from atonce.data.masks import ClassMask, percent
from atonce.errors import DataError
from atonce.labels import IGNORE_INDEX, Colour, LabelSpec
from atonce.text import listing

# More different values than a person would leave without names: such masks were interpolated, or are no masks.
_MOST_UNNAMED = 64

# More different colours than that: photographs instead of masks, or masks through JPEG.
_MOST_COLOURS = 256

# Ids of which at least every second does not occur are taken for grey levels, from this one on.
_LARGEST_SPARSE_ID = 32

# Cityscapes' labelIds: road is 7, and of the ids beyond the 19 for training some are everywhere (sky 23, car 26).
_LABEL_IDS_ROAD, _LABEL_IDS_FIRST, _LABEL_IDS_LAST = 7, 19, 33
_LABEL_IDS = "if they are Cityscapes' labelIds, keep its folders (leftImg8bit/ gtFine/), or make trainIds of them"


class ClassesNeeded(DataError):
    """An error where the masks do not say which class their values stand for.

    Attributes:
        proposal: a classes.yaml to begin with; empty where the masks are to be mended, not named.
    """

    def __init__(self, found: str, expected: str, remedy: str, proposal: str) -> None:
        super().__init__(found, expected, remedy)
        self.proposal = proposal

    def __reduce__(self) -> tuple[type[ClassesNeeded], tuple[str, str, str, str]]:
        return type(self), (self.found, self.expected, self.remedy, self.proposal)


def resolve_classes(root: Path, masks: list[Path]) -> tuple[LabelSpec, ClassMask, list[str]]:
    """Find out which classes the masks of a folder hold: labels, mask reader, and notes for the user.

    Raises:
        ClassesNeeded: RGB masks without a classes file, and index masks without one whose values are no ids.
        DataError: a classes file that cannot be understood; masks that hold nothing but one class.
    """
    path = find_classes_file(root)
    if path is None:
        return _classes_from_values(root, probe_masks(masks, PROBE_LIMIT))
    probe = probe_masks(masks, PROBE_LIMIT_NAMED)
    table = read_classes(path)
    _require_colours(path, table, probe)
    by_colour = _palette_holds_colours(table, probe)
    notes = [f"classes from {path.name}"]
    notes += ["palette masks are read by their colours, which are those of the classes"] if by_colour else []
    remedy = f"add it to {path.name}, if it is void as `{{name: void, value: N, void: true}}` (RGB: colour: [r, g, b])"
    return table.labels, ClassMask(table.values, table.colours, by_colour, remedy), notes


def _require_colours(path: Path, table: ClassTable, probe: MaskProbe) -> None:
    grey = all(r == g == b for r, g, b in probe.colours)
    if probe.kinds["rgb"] and not table.colours and not grey:
        raise ClassesNeeded(
            f"{path} gives no colours, and {probe.kinds['rgb']} of {probe.read} masks looked at are RGB "
            f"({_colours(probe.colours)})",
            "a colour for each class",
            "add `colour: [r, g, b]` to the classes",
            propose_by_colour(probe.colours),
        )


def _palette_holds_colours(table: ClassTable, probe: MaskProbe) -> bool:
    """Tell whether palette masks are to be read by colour: masks that were RGB and then reduced to a palette have
    arbitrary indices, and their colours are the classes.

    So where all colours found (two at least) are those of the classes, they decide; where the file gives values,
    or a colour found is none of the classes', the index does.
    """
    known = {colour for colour, _ in table.colours}
    return not table.explicit_values and len(probe.palette_pixels) > 1 and probe.palette_pixels.keys() <= known


def _classes_from_values(root: Path, probe: MaskProbe) -> tuple[LabelSpec, ClassMask, list[str]]:
    """Name the classes "class 0" up to the largest value found, without a classes file; palette masks lend their
    colours."""
    target = root / "classes.yaml"
    _refuse_colours(root, target, probe)
    _refuse_values(root, target, probe)
    ids = [value for value in probe.values if value != IGNORE_INDEX]
    largest = max(ids, default=0)
    generated = LabelSpec.from_names([f"class {i}" for i in range(largest + 1)])
    colours = [probe.palette[i][0] if i in probe.palette else c for i, c in enumerate(generated.palette)]
    labels = LabelSpec(generated.names, tuple(colours))
    notes = [f"no classes.yaml: {largest + 1} classes, from the values found in {probe.read} of {probe.total} masks"]
    if not probe.read:
        notes = [f"no classes.yaml, and none of {probe.total} masks can be read: the classes are not known"]
    if largest == _LABEL_IDS_LAST and _LABEL_IDS_ROAD in ids:
        notes.append(f"the values run up to {largest}, void among them perhaps: {_LABEL_IDS}")
    values = (*((i, i) for i in range(largest + 1)), (IGNORE_INDEX, IGNORE_INDEX))
    return labels, ClassMask(values, remedy=f"mend the mask, or write {target} with the names of all classes"), notes


def _refuse_colours(root: Path, target: Path, probe: MaskProbe) -> None:
    """Refuse RGB masks, and palettes that contradict each other: they need the colours of the classes."""
    if len(probe.colours) > _MOST_COLOURS:
        raise ClassesNeeded(
            f"{probe.kinds['rgb']} of {probe.read} masks looked at in {root} are RGB, with {len(probe.colours)} "
            f"different colours: pictures in the place of masks, or interpolated or compressed masks",
            "one colour for each class",
            "look whether pictures and masks were swapped, or export the masks again as PNG, scaled by nearest "
            "neighbour only",
            "",
        )
    if probe.kinds["rgb"]:
        proposal = propose_by_colour(probe.colours)
        raise ClassesNeeded(
            f"{probe.kinds['rgb']} of {probe.read} masks looked at in {root} are RGB, "
            f"with the colours {_colours(probe.colours)}",
            "a classes.yaml (or classes.csv) that says which colour is which class",
            f"write {target}: {_snippet(proposal)}",
            proposal,
        )
    if probe.palettes_differ:
        one, other, index = probe.palettes_differ
        raise ClassesNeeded(
            f"palette masks disagree: index {index} has one colour in {one} and another in {other}",
            "one palette for all masks, or a classes.yaml with the colours of the classes",
            f"write {target} with names and colours",
            propose_by_colour(probe.palette_pixels),
        )


def _refuse_values(root: Path, target: Path, probe: MaskProbe) -> None:
    """Refuse values that can hardly be ids: only what leaves no doubt goes without a classes file."""
    ids = sorted(value for value in probe.values if value != IGNORE_INDEX)
    proposal = propose_by_value(probe.values)
    if ids in ([], [0]) and probe.values[IGNORE_INDEX]:
        both = "0 and 255" if ids else "255"
        raise ClassesNeeded(
            f"the masks in {root} hold {both} only: a background and a foreground, it seems, but 255 means void",
            "a classes.yaml that says what the values mean",
            f"write {target}: {_snippet(proposal)}",
            proposal,
        )
    if len(ids) == 1:
        found = f"the masks in {root} hold nothing but {ids[0]}"
        raise DataError(found, "two classes at least", "look at how they were exported")
    if len(ids) > _MOST_UNNAMED:
        raise ClassesNeeded(
            f"the masks in {root} hold {len(ids)} different values: interpolated or compressed masks, or no masks",
            f"class ids, or a classes.yaml for more than {_MOST_UNNAMED} classes",
            "export the masks again as PNG, scaled by nearest neighbour only",
            "",
        )
    if ids and ids[-1] >= max(_LARGEST_SPARSE_ID, 2 * len(ids)):
        shown = ", ".join(map(str, ids if len(ids) < 12 else [*ids[:10], "...", ids[-1]]))
        city = _LABEL_IDS_ROAD in ids and _LABEL_IDS_FIRST <= ids[-1] <= _LABEL_IDS_LAST
        remedy = _LABEL_IDS if city else "mend that mask"
        raise ClassesNeeded(
            f"the masks in {root} hold the values {shown} ({ids[-1]} for one in {probe.where[ids[-1]]}): "
            "a stray value, or grey levels instead of class ids",
            "ids 0, 1, 2, ..., or a classes.yaml that says what the values mean",
            f"{remedy}, or write {target}: {_snippet(proposal)}",
            proposal,
        )


def _snippet(proposal: str, limit: int = 3) -> str:
    """The proposal on one line, as far as it helps to see the form."""
    entries = [line.removeprefix("  - ") for line in proposal.splitlines()[1:]]
    return f"`classes: [{', '.join(entries[:limit])}{', ...' if len(entries) > limit else ''}]`"


def _colours(colours: Counter[Colour], limit: int = 6) -> str:
    total = sum(colours.values())
    texts = [f"{colour} {percent(n, total)}" for colour, n in colours.most_common()]
    return listing(texts, limit)
