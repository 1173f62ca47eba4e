"""The classes of a folder's masks: as its classes file says, or as the masks themselves leave no doubt."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from atonce.data.classes_file import (
    LARGEST_CLASS_VALUE,
    ClassTable,
    find_classes_file,
    read_border_rule,
    read_classes,
)
from atonce.data.images import FileError
from atonce.data.mask_probe import (
    PROBE_LIMIT,
    PROBE_LIMIT_NAMED,
    MaskProbe,
    probe_masks,
    propose_by_colour,
    propose_by_value,
    propose_classes,
)
from atonce.data.masks import EXPORT_AGAIN, ClassMask, MaskValue, percent
from atonce.data.sampling import evenly_spaced
from atonce.data.soft_borders import DEFAULT_WIDTH, BorderRule
from atonce.errors import DataError, command, option
from atonce.labels import IGNORE_INDEX, Colour, LabelSpec
from atonce.text import count_of, listing

# More different values than a person would leave without names: such masks were interpolated, or are no masks.
_MOST_UNNAMED = 64

_SOFT = "interpolated, anti-aliased or compressed masks"

_FEW_MIXED = 3
"""Values along borders from which on, if they are also most values, ids 0, 1, 2, ... are taken for grey levels."""

_MASKS_FOR_WIDTH = 8
"""Masks that are read once more to see how wide their soft borders are."""

# Ids of which at least every second does not occur are taken for grey levels, from this one on.
_LARGEST_SPARSE_ID = 32

# Cityscapes' labelIds: road is 7, and of the ids beyond the 19 for training some are everywhere (sky 23, car 26).
_LABEL_IDS_ROAD, _LABEL_IDS_FIRST, _LABEL_IDS_LAST = 7, 19, 33
_LABEL_IDS = "if they are Cityscapes' labelIds, keep its folders (leftImg8bit/ gtFine/), or make trainIds of them"


class ClassesNeeded(DataError):
    """An error where the masks do not say which class their values stand for.

    Args:
        target: where a classes.yaml is to be written, in the folder of the data.

    Attributes:
        proposal: a classes.yaml to begin with; empty where the masks are to be mended, not named.
    """

    def __init__(
        self, found: str, expected: str, remedy: str, *, proposal: str = "", target: Path | None = None
    ) -> None:
        if proposal and target is not None:
            doctor = command("atonce", "doctor", target.parent)
            remedy = f"{remedy}; {doctor}{option('fix_classes', target)} writes it"
        super().__init__(found, expected, remedy)
        self.proposal = proposal

    def __reduce__(self) -> tuple[type[ClassesNeeded], tuple[str, str, str], dict[str, object]]:
        # The remedy is whole already; without a proposal it is left alone.
        return type(self), self.parts, {"proposal": self.proposal}


def resolve_classes(
    root: Path, masks: list[Path], classes: Path | None = None
) -> tuple[LabelSpec, ClassMask, list[str]]:
    """Find out which classes the masks of a folder hold: labels, mask reader, and notes for the user.

    Args:
        classes: a classes file elsewhere than in the root.

    Raises:
        ClassesNeeded: RGB masks without a classes file, and index masks without one whose values are no ids.
        DataError: a classes file that cannot be understood; masks that hold nothing but one class.
    """
    path = classes or find_classes_file(root)
    if path is None:
        return _classes_from_values(root, probe_masks(masks, PROBE_LIMIT, uses=True))
    probe = probe_masks(masks, PROBE_LIMIT_NAMED)
    table, rule = read_classes(path), read_border_rule(path)
    _require_colours(root, path, table, probe, masks=masks)
    by_colour = _palette_holds_colours(table, probe, soft=rule is not None)
    notes = [f"classes from {path.name}", *table.notes]
    notes += ["palette masks are read by their colours, which are those of the classes"] if by_colour else []
    if rule is not None:
        becomes = "the nearest class" if rule.to == "nearest" else "void"
        within = count_of(rule.width, "pixel")
        notes.append(f"pixels of no class within {within} of one count as {becomes} (`borders` in {path.name})")
    reader = ClassMask(
        table.values,
        table.colours,
        palette_by_colour=by_colour,
        remedy=f"add it to {path.name}, if it is void as `{{name: void, value: N, void: true}}` "
        "(RGB: colour: [r, g, b])",
        borders=rule,
        classes_file=path.name if path.suffix in (".yaml", ".yml") else "",
    )
    return table.labels, reader, notes


def _require_colours(root: Path, path: Path, table: ClassTable, probe: MaskProbe, *, masks: list[Path]) -> None:
    grey = all(r == g == b for r, g, b in probe.colours)
    if probe.kinds["rgb"] and not table.colours and not grey:
        raise ClassesNeeded(
            f"{path} gives no colours, and {probe.kinds['rgb']} of {count_of(probe.read, 'mask')} looked at are RGB "
            f"({_colours(probe.colours)})",
            "a colour for each class",
            "add `colour: [r, g, b]` to the classes",
            proposal=propose_by_colour(_meant_colours(probe_masks(masks, PROBE_LIMIT, uses=True))),
            # Beside the file that lacks them, which keeps its names.
            target=root / "classes-with-colours.yaml",
        )


def _palette_holds_colours(table: ClassTable, probe: MaskProbe, *, soft: bool) -> bool:
    """Tell whether palette masks are to be read by colour: masks that were RGB and then reduced to a palette have
    arbitrary indices, and their colours are the classes.

    So where all colours found (two at least) are those of the classes, they decide; where the file gives values,
    or a colour found is none of the classes', the index does. With a rule for borders half of the pixels are enough.

    Args:
        soft: there is such a rule.
    """
    if table.explicit_values or len(probe.palette_pixels) < 2:
        return False
    known = {colour for colour, _ in table.colours}
    if soft:
        pixels = sum(n for colour, n in probe.palette_pixels.items() if colour in known)
        return 2 * pixels > probe.palette_pixels.total()
    return probe.palette_pixels.keys() <= known


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
    found = f"the values found in {probe.read} of {count_of(probe.total, 'mask')}"
    notes = [f"no classes.yaml: {count_of(largest + 1, 'class', 'classes')}, from {found}"]
    if not probe.read:
        notes = [f"no classes.yaml, and none of {count_of(probe.total, 'mask')} can be read: the classes are not known"]
    if largest == _LABEL_IDS_LAST and _LABEL_IDS_ROAD in ids:
        notes.append(f"the values run up to {largest}, void among them perhaps: {_LABEL_IDS}")
    values = (*((i, i) for i in range(largest + 1)), (IGNORE_INDEX, IGNORE_INDEX))
    return labels, ClassMask(values, remedy=f"mend the mask, or write {target} with the names of all classes"), notes


def _refuse_colours(root: Path, target: Path, probe: MaskProbe) -> None:
    """Refuse RGB masks, and palettes that contradict each other: they need the colours of the classes."""
    if probe.kinds["rgb"]:
        _refuse_rgb(root, target, probe)
    if probe.palettes_differ:
        one, other, index = probe.palettes_differ
        raise ClassesNeeded(
            f"palette masks disagree: index {index} has one colour in {one} and another in {other}",
            "one palette for all masks, or a classes.yaml with the colours of the classes",
            f"write {target} with names and colours",
            proposal=propose_by_colour(probe.palette_pixels),
            target=target,
        )


def _refuse_rgb(root: Path, target: Path, probe: MaskProbe) -> None:
    masks_are = f"{probe.kinds['rgb']} of {count_of(probe.read, 'mask')} looked at in {root} are RGB"
    found = propose_classes(_values(probe.colours), probe.colour_uses)
    colours = _meant_colours(probe)
    if not found.plausible and len(probe.colours) >= IGNORE_INDEX:
        raise ClassesNeeded(
            f"{masks_are}, with {len(probe.colours)} different colours: pictures in the place of masks, or "
            "interpolated or compressed masks whose classes cannot be made out",
            "one colour for each class",
            f"look whether pictures and masks were swapped, or {EXPORT_AGAIN}",
        )
    if found.mixed:
        proposal = propose_by_colour(colours, _border_rule(probe, lambda rule: propose_by_colour(colours, rule)))
        raise ClassesNeeded(
            f"{masks_are}, with {len(colours)} colours that fill regions ({_colours(colours)}) and {found.mixed} that "
            f"lie along borders only: {_SOFT}",
            "a classes.yaml that says which colour is which class, and what becomes of the others",
            f"write {target}: {_snippet(proposal)}",
            proposal=proposal,
            target=target,
        )
    proposal = propose_by_colour(colours)
    raise ClassesNeeded(
        f"{masks_are}, with the colours {_colours(colours)}",
        "a classes.yaml (or classes.csv) that says which colour is which class",
        f"write {target}: {_snippet(proposal)}",
        proposal=proposal,
        target=target,
    )


def _meant_colours(probe: MaskProbe) -> Counter[Colour]:
    found = propose_classes(_values(probe.colours), probe.colour_uses)
    return Counter({colour: n for colour, n in found.meant.items() if isinstance(colour, tuple)})


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
            proposal=proposal,
            target=target,
        )
    if len(ids) == 1:
        found = f"the masks in {root} hold nothing but {ids[0]}"
        raise DataError(found, "two classes at least", "look at how they were exported")
    _refuse_soft_values(root, target, probe, doubtful=len(ids) > _MOST_UNNAMED or bool(ids and _sparse(ids)))
    if len(ids) > _MOST_UNNAMED:
        raise ClassesNeeded(
            f"the masks in {root} hold {len(ids)} different values: interpolated or compressed masks, or no masks",
            f"class ids, or a classes.yaml for more than {_MOST_UNNAMED} classes",
            EXPORT_AGAIN,
        )
    outside = [value for value in ids if not 0 <= value <= LARGEST_CLASS_VALUE]
    if outside:
        raise ClassesNeeded(
            f"the masks in {root} hold {listing(outside)} ({outside[0]} for one in {probe.where[outside[0]]}): pixels "
            "without data, it seems",
            f"class ids of 0..{LARGEST_CLASS_VALUE}, or a classes.yaml that marks such values as void",
            f"write {target}: {_snippet(proposal, _MOST_UNNAMED)}",
            proposal=proposal,
            target=target,
        )
    if ids and _sparse(ids):
        shown = ", ".join(map(str, ids if len(ids) < 12 else [*ids[:10], "...", ids[-1]]))
        city = _LABEL_IDS_ROAD in ids and _LABEL_IDS_FIRST <= ids[-1] <= _LABEL_IDS_LAST
        remedy = _LABEL_IDS if city else "mend that mask"
        raise ClassesNeeded(
            f"the masks in {root} hold the values {shown} ({ids[-1]} for one in {probe.where[ids[-1]]}): "
            "a stray value, or grey levels instead of class ids",
            "ids 0, 1, 2, ..., or a classes.yaml that says what the values mean",
            f"{remedy}, or write {target}: {_snippet(proposal)}",
            proposal=proposal,
            target=target,
        )


def _sparse(ids: list[int]) -> bool:
    """Tell whether ids, sorted, are rather grey levels: every second of them, at least, does not occur."""
    return ids[-1] >= max(_LARGEST_SPARSE_ID, 2 * len(ids))


def _refuse_soft_values(root: Path, target: Path, probe: MaskProbe, *, doubtful: bool) -> None:
    """Refuse index masks of which some values lie along borders only, with the classes that can be made out.

    Args:
        doubtful: the values can hardly be ids, however they are used; else most of them must lie along borders.
    """
    found = propose_classes(_values(probe.values), probe.value_uses)
    values = sorted(value for value in found.meant if isinstance(value, int))
    if not found.plausible or found.mixed < (1 if doubtful else max(_FEW_MIXED, len(values))):
        return
    proposal = propose_by_value(values, _border_rule(probe, lambda rule: propose_by_value(values, rule)))
    raise ClassesNeeded(
        f"the masks in {root} hold {len(probe.values)} different values: {_SOFT}, it seems, with "
        f"{len(values)} values that fill regions ({listing(values, 12)}) and {found.mixed} that lie along borders only",
        "class ids, or a classes.yaml that says what the values mean, and what becomes of the others",
        f"write {target}: {_snippet(proposal)}, or {EXPORT_AGAIN}",
        proposal=proposal,
        target=target,
    )


def _border_rule(probe: MaskProbe, propose: Callable[[BorderRule], str]) -> BorderRule:
    """Return the rule that covers the borders of the masks looked at: as narrow as it can be."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "classes.yaml"
        path.write_text(propose(BorderRule()) or "classes: [unknown]", "utf-8")
        table = read_classes(path)
    reader = ClassMask(table.values, table.colours)
    widths = [DEFAULT_WIDTH]
    for mask in evenly_spaced(sorted(probe.read_files), _MASKS_FOR_WIDTH):
        try:
            widths.append(reader.unknown_values(mask).width)
        except FileError:
            continue  # the check will say why
    return BorderRule("nearest", max(widths))


def _values(counts: Mapping[int, int] | Mapping[Colour, int]) -> dict[MaskValue, int]:
    return dict(counts.items())


def _snippet(proposal: str, limit: int = 3) -> str:
    """The proposal on one line, as far as it helps to see the form."""
    entries = [line.removeprefix("  - ") for line in proposal.splitlines() if line.startswith("  - ")]
    rules = [f", {line.partition('  #')[0]}" for line in proposal.splitlines() if line.startswith("border")]
    return f"`classes: [{', '.join(entries[:limit])}{', ...' if len(entries) > limit else ''}]`{''.join(rules)}"


def _colours(colours: Counter[Colour], limit: int = 6) -> str:
    total = sum(colours.values())
    texts = [f"{colour} {percent(n, total)}" for colour, n in colours.most_common()]
    return listing(texts, limit)
