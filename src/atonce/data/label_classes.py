"""The classes of annotations: as the classes file says, or one for each label that the annotation tool knows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from atonce.data.annotation_shapes import ShapeMask, covered_share
from atonce.data.classes_file import BACKGROUND_NAMES, VOID_NAMES, ClassTable, find_classes_file, read_classes
from atonce.data.images import FileError
from atonce.data.mask_sources import Annotation
from atonce.data.masks import percent
from atonce.data.sampling import evenly_spaced
from atonce.errors import DataError
from atonce.labels import IGNORE_INDEX, LabelSpec
from atonce.text import listing

_SAMPLE = 32
"""Annotations that are painted when a data set is opened, to see whether the shapes leave a background."""

_WHOLE = 0.97
"""The share of the pixels from which on shapes are taken to cover all but the gaps between them, as outlines leave them
that were drawn by hand or simplified."""

BACKGROUND = "background"
"""The name of the class of what no shape covers, where the annotations have none."""


@dataclass(frozen=True)
class Label:
    """A label that an annotation tool knows.

    Attributes:
        name: as annotations use it.
        number: the tool's number of it (COCO's category id, YOLO's class index); None where it has names only.
    """

    name: str
    number: int | None = None


@dataclass(frozen=True)
class LayoutWords:
    """What a layout has in the place of labels and shapes: folders and masks."""

    labels: str = "the labels"
    shape: str = "shape"


def resolve_labels(
    root: Path,
    labels: Sequence[Label],
    annotations: Sequence[Annotation],
    *,
    classes: Path | None = None,
    numbers: str = "its number",
    words: LayoutWords | None = None,
) -> tuple[LabelSpec, ShapeMask, list[str]]:
    """Find out the classes of annotations: names and colours, mask reader, and notes for the user.

    Args:
        root: the data set's, where a classes file may lie.
        labels: all that the tool knows, in the order of the classes.
        annotations: those of all splits.
        classes: a classes file elsewhere than in the root.
        numbers: what the tool calls a label's number, for messages.
        words: what the layout calls labels and shapes, for notes; None where it calls them so.

    Raises:
        DataError: a classes file that cannot be understood; no labels at all.
    """
    path = classes or find_classes_file(root)
    if path is not None:
        return _from_file(path, read_classes(path, labels=True), labels, numbers=numbers, words=words or LayoutWords())
    if not labels:
        raise DataError(f"the annotations in {root} hold no shapes", "shapes with labels", "annotate some pictures")
    return _from_labels(root, labels, annotations, words or LayoutWords())


def _from_file(
    path: Path, table: ClassTable, labels: Sequence[Label], *, numbers: str, words: LayoutWords
) -> tuple[LabelSpec, ShapeMask, list[str]]:
    by_name, by_number = dict(table.names), dict(table.values) if table.explicit_values else {}
    ids: dict[str, int] = {}
    for label in labels:
        if label.number is not None and label.number in by_number:
            ids[label.name] = by_number[label.number]
        elif label.name.strip() in by_name:
            ids[label.name] = by_name[label.name.strip()]
    unlisted = tuple(label.name for label in labels if label.name not in ids)
    taken = {label.number for label in labels}
    background = next((i for name, i in table.names if name.lower() in BACKGROUND_NAMES), None)
    if background is None and 0 not in taken:
        background = by_number.get(0)
    notes = [f"classes from {path.name}", *table.notes]
    renamed = [
        f"{label.name} ({label.number}) is {table.labels.names[class_id]}"
        for label in labels
        if (class_id := ids.get(label.name, IGNORE_INDEX)) != IGNORE_INDEX
        and label.number in by_number
        and label.name != table.labels.names[class_id]
    ]
    notes += [f"by number: {listing(renamed, 8)}"] if renamed else []
    if background is None:
        notes.append(f"what no {words.shape} covers is void: {path.name} lists no background")
    remedy = f"add it to {path.name}: as a class, with {numbers} or name as `value`, or with `void: true`"
    reader = ShapeMask(tuple(ids.items()), IGNORE_INDEX if background is None else background, remedy, unlisted)
    return table.labels, reader, notes


def _from_labels(
    root: Path, labels: Sequence[Label], annotations: Sequence[Annotation], words: LayoutWords
) -> tuple[LabelSpec, ShapeMask, list[str]]:
    # Nobody sees the space at the end of a label; "road " is no class beside "road".
    void = [label.name for label in labels if label.name.strip().lower() in VOID_NAMES]
    backgrounds = [label.name for label in labels if label.name.strip().lower() in BACKGROUND_NAMES]
    named = [label.name for label in labels if label.name not in (*void, *backgrounds)]
    names = list(dict.fromkeys(name.strip() for name in named))
    notes = [f"classes from {words.labels}; a classes.yaml beside them can rename, merge and drop them"]
    spaced = [f"'{label.name}'" for label in labels if label.name != label.name.strip()]
    notes += [f"spaces around labels are not looked at: {listing(spaced)}"] if spaced else []
    notes += [f"the label '{listing(void)}' counts as void"] if void else []
    background = IGNORE_INDEX
    if backgrounds:
        # In the tool's own order: it has given the background a number, too.
        own = backgrounds[0].strip().strip("_")
        names = [own if label.name in backgrounds else label.name.strip() for label in labels if label.name not in void]
        names = list(dict.fromkeys(names))
        background = names.index(own)
    else:
        share = _covered(annotations)
        rest = "" if share is None else f" ({percent(round(1e6 * (1 - share)), 1_000_000)} of the pixels)"
        if share is not None and share >= _WHOLE:
            notes.append(f"what no {words.shape} covers{rest} is void: {words.shape}s cover nearly all")
        else:
            names = [BACKGROUND, *names]
            background = 0
            notes.append(f"what no {words.shape} covers{rest} is class 0, background")
    try:
        spec = LabelSpec.from_names(names)
    except ValueError as error:
        raise DataError(f"{root}: {error}") from None
    ids = {name: names.index(name.strip()) for name in named}
    ids |= dict.fromkeys(backgrounds, background) | dict.fromkeys(void, IGNORE_INDEX)
    reader = ShapeMask(tuple(ids.items()), background, f"correct the label, or list it in {root / 'classes.yaml'}")
    return spec, reader, notes


def _covered(annotations: Sequence[Annotation]) -> float | None:
    """The share of the pixels that shapes cover, over a sample; None where none of it can be read."""
    shares = []
    for annotation in evenly_spaced(annotations, _SAMPLE):
        try:
            shares.append(covered_share(annotation))
        except FileError:
            continue  # the check will say why
    return sum(shares) / len(shares) if shares else None
