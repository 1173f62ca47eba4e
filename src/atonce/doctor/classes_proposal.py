"""The classes.yaml that the doctor proposes: all names, values and colours found, to be named or marked as void."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

import yaml

from atonce.data.annotation_shapes import ShapeMask
from atonce.data.classes_file import LARGEST_CLASS_VALUE
from atonce.data.dataset import Dataset
from atonce.data.mask_probe import border_lines, can_be_read
from atonce.data.masks import ClassMask, MaskValue
from atonce.data.soft_borders import BorderRule
from atonce.labels import IGNORE_INDEX, Colour, LabelSpec

_HEAD = "# Found by `atonce doctor`. Give what is unknown its name, or mark it with `void: true`.\n"


def classes_proposal(
    dataset: Dataset, unnamed: Counter[MaskValue], *, by_colour: bool, rule: BorderRule | None = None
) -> str:
    """Write a classes.yaml: the data set's classes as they are read now, and whatever was found beyond them.

    Empty where the layout has a reader of its own (KITTI road, Cityscapes), which no such file could replace, and where
    there would be more classes than there can be.

    Args:
        unnamed: values or colours of no class -> pixels.
        by_colour: the masks are RGB, so that colours decide and values would mean nothing.
        rule: what becomes of pixels of no class along borders.
    """
    reader = dataset.read_mask
    if isinstance(reader, ShapeMask):
        return _dump(_shape_entries(dataset.labels, reader), rule, labels=True)
    if not isinstance(reader, ClassMask):
        return ""
    new = [value for value, _ in unnamed.most_common() if isinstance(value, tuple) == by_colour]
    entries = [_entry(name, colour) for name, colour in zip(dataset.labels.names, dataset.labels.palette, strict=True)]
    if by_colour:
        for class_id, entry in enumerate(entries):
            merged = [list(colour) for colour, of in reader.colours if of == class_id]
            entry["colour"] = merged if len(merged) > 1 else entry["colour"]
        entries += [_entry(f"unknown {i}", colour) for i, colour in enumerate(new, 1) if isinstance(colour, tuple)]
        void = [colour for colour, class_id in reader.colours if class_id == IGNORE_INDEX]
        entries += [_entry(_void_name(i), colour, void=True) for i, colour in enumerate(void)]
        return _dump(entries, rule)
    for class_id, entry in enumerate(entries):
        values = [value for value, of in reader.values if of == class_id]
        entry["value"] = values if len(values) > 1 else values[0] if values else class_id
    named = [value for value in new if isinstance(value, int) and 0 <= value <= LARGEST_CLASS_VALUE]
    for value, colour in zip(named, _spare_colours(dataset.labels, len(named)), strict=False):
        entries.append({**_entry(f"unknown {value}", colour), "value": value})
    numbers = [value for value, class_id in reader.values if class_id == IGNORE_INDEX]
    # 255 is void without being told so.
    numbers = [number for number in numbers if number != IGNORE_INDEX]
    entries += [{"name": _void_name(i), "value": number, "void": True} for i, number in enumerate(numbers)]
    # Numbers that no class can have stand for pixels without data.
    no_data = [value for value in new if value not in named]
    entries += [{"name": f"no data {value}", "value": value, "void": True} for value in no_data]
    return _dump(entries, rule)


def _shape_entries(labels: LabelSpec, reader: ShapeMask) -> list[dict[str, object]]:
    """The entries of annotations: classes with the labels that they stand for, void labels, and those of no class."""
    entries = [_entry(name, colour) for name, colour in zip(labels.names, labels.palette, strict=True)]
    of_class = {i: [label for label, of in reader.ids if of == i] for i in range(labels.num_classes)}
    if any(own and own != [labels.names[i]] for i, own in of_class.items()):
        for i, entry in enumerate(entries):
            entry["value"] = of_class[i] or [labels.names[i]]
    entries += [{"name": label, "void": True} for label, of in reader.ids if of == IGNORE_INDEX]
    spare = _spare_colours(labels, len(reader.unlisted))
    for label, colour in zip(reader.unlisted, spare, strict=False):
        entries.append({**_entry(label, colour), **({"value": label} if "value" in entries[0] else {})})
    return entries


def _entry(name: str, colour: Colour, *, void: bool = False) -> dict[str, object]:
    return {"name": name, "colour": list(colour), **({"void": True} if void else {})}


def _void_name(number: int) -> str:
    return "void" if number == 0 else f"void {number + 1}"


def _spare_colours(labels: LabelSpec, count: int) -> list[Colour]:
    """Return colours that no class has."""
    generated = LabelSpec.from_names([str(i) for i in range(min(IGNORE_INDEX, count + labels.num_classes))]).palette
    spare = [colour for colour in dict.fromkeys(generated) if colour not in labels.palette]
    greys = ((level, level, level) for level in range(256))
    return [*spare, *(grey for grey in greys if grey not in spare and grey not in labels.palette)][:count]


def _dump(entries: Iterable[Mapping[str, object]], rule: BorderRule | None, *, labels: bool = False) -> str:
    lines = [yaml.safe_dump(dict(entry), default_flow_style=True, sort_keys=False, width=1000) for entry in entries]
    rules = "".join(f"{line}\n" for line in border_lines(rule))
    text = _HEAD + rules + "classes:\n" + "".join(f"  - {line}" for line in lines)
    return text if can_be_read(text, labels=labels) else ""
