"""The classes files: the classes that the values, colours or labels of a data set's masks stand for.

People write `classes.yaml` (or `classes.csv`), in which classes can be merged and dropped; annotation tools leave
tables of their own, which are read, too: `class_dict.csv`, Roboflow's `_classes.csv`, CVAT's `labelmap.txt`, labelme's
`class_names.txt` and CamVid's `label_colors.txt`.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from atonce.data.soft_borders import DEFAULT_WIDTH, MAX_WIDTH, BorderRule
from atonce.errors import DataError
from atonce.labels import IGNORE_INDEX, Colour, LabelSpec
from atonce.text import did_you_mean, listing, shortened
from atonce.yaml_loader import MOST_CHARACTERS, YamlProblem, parse_yaml

OWN_FILE_NAMES = ("classes.yaml", "classes.yml", "classes.csv")
"""The files that a person writes; there may be one of them, and it counts more than what a tool has left beside it."""

TOOL_FILE_NAMES = ("class_dict.csv", "_classes.csv", "labelmap.txt", "class_names.txt", "label_colors.txt")
"""The files that tools leave; the first that is there counts."""

_SPLIT_FOLDERS = ("train", "valid", "val", "test")
"""The folders into which Roboflow puts its `_classes.csv`, the same into each."""

VOID_NAMES = frozenset({
    "void", "ignore", "ignored", "ignore_label", "__ignore__", "_ignore_", "unlabelled", "unlabeled", "unlabel",
})  # fmt: skip
"""Names, in lower case, that tools give to what is not to be learned from; in a file that cannot say so otherwise."""

BACKGROUND_NAMES = frozenset({"background", "_background_", "__background__"})
"""Names, in lower case, of the class of all that nothing else covers."""

_EXAMPLE = "e.g. `classes: [{name: road, colour: [128, 64, 128]}, {name: void, colour: [0, 0, 0], void: true}]`"
_KEYS = {"name", "colour", "color", "value", "id", "void"}
_TOP_KEYS = {"classes", "ignore_index", "borders", "border_width"}
LARGEST_CLASS_VALUE = 65535
"""The largest number that can stand for a class in an index mask."""

_CLASS_RANGE = (0, LARGEST_CLASS_VALUE)

_VOID_RANGE = (-(2**31), 2**32 - 1)
"""Integer TIFFs mark pixels without data by such numbers (-9999, -32768, 2**32 - 1)."""


@dataclass(frozen=True)
class ClassTable:
    """The classes of a data set and how its masks write them.

    Attributes:
        labels: names and colours in the order of the class ids: by value where values are given, else as listed.
        values: (number in an index mask, class id or 255).
        colours: (colour in an RGB mask, class id or 255); empty where the file gives no colours.
        explicit_values: the file says which number is which class.
        names: (label in annotations, class id or 255): the entries' names, and the values that are texts.
        notes: what the file does beyond naming: classes that it merges, names that are taken as void.
    """

    labels: LabelSpec
    values: tuple[tuple[int, int], ...]
    colours: tuple[tuple[Colour, int], ...]
    explicit_values: bool
    names: tuple[tuple[str, int], ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Entry:
    name: str
    colours: tuple[Colour, ...] = ()
    values: tuple[int, ...] = ()
    labels: tuple[str, ...] = ()
    void: bool = False


def find_classes_file(root: Path) -> Path | None:
    """Return the classes file of a data set: the one that a person wrote, else the first that a tool left, or None.

    Raises:
        DataError: there are two written by people, or `_classes.csv` of two splits, that may disagree.
    """
    there = [root / name for name in OWN_FILE_NAMES if (root / name).is_file()]
    if len(there) > 1:
        names = " and ".join(path.name for path in there)
        raise DataError(f"{root} holds {names}", "one of them", "remove the other")
    there += [root / name for name in TOOL_FILE_NAMES if (root / name).is_file()]
    if there:
        return there[0]
    below = [path for split in _SPLIT_FOLDERS if (path := root / split / "_classes.csv").is_file()]
    if len({path.read_bytes() for path in below}) > 1:
        names = " and ".join(str(path.relative_to(root)) for path in below)
        raise DataError(f"{names} in {root} are not the same", "one table of classes", f"write {root / 'classes.yaml'}")
    return below[0] if below else None


def read_classes(path: Path, *, labels: bool = False) -> ClassTable:
    """Read a classes file; which kind it is, its name says.

    Args:
        labels: values may be texts: the labels that annotations use.

    Raises:
        DataError: not of the expected form; a colour or value for two classes; a name that is a class here and void
            there; some classes with colours or values and some without. The message names the file and the entry.
    """
    try:
        with path.open(encoding="utf-8-sig") as file:
            text = file.read(MOST_CHARACTERS + 1)
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read ({error})", "text in UTF-8") from None
    if len(text) > MOST_CHARACTERS:
        raise DataError(f"{path} holds more than {MOST_CHARACTERS:,} characters", "names of classes")
    reader = _TEXT_READERS.get(path.name)
    if reader is not None:
        return _table(path, *_void_by_name(path, reader(path, text)), (IGNORE_INDEX,))
    if path.suffix.lower() == ".csv":
        entries, says_void = _from_csv(path, text)
        by_name = not says_void and path.name in TOOL_FILE_NAMES
        return _table(path, *(_void_by_name(path, entries) if by_name else (entries, ())), (IGNORE_INDEX,))
    entries, ignored = _from_yaml(path, text)
    texts = [(entry.name, label) for entry in entries for label in entry.labels]
    if texts and not labels:
        name, label = texts[0]
        raise DataError(
            f"{path}: {name} has the value {shortened(label)}", f"a whole number from 0 to {LARGEST_CLASS_VALUE}"
        )
    return _table(path, entries, (), ignored)


def _void_by_name(path: Path, entries: list[_Entry]) -> tuple[list[_Entry], tuple[str, ...]]:
    """Mark as void what a tool called so, in a file that cannot mark it otherwise; and say it."""
    marked = [replace(entry, void=True) if entry.name.lower() in VOID_NAMES else entry for entry in entries]
    void = [entry.name for entry in marked if entry.void]
    said = f"'{', '.join(void)}' in {path.name} counts as void; a classes.yaml can make it a class"
    return marked, (said,) if void else ()


def load_yaml(path: Path, text: str, expected: str, example: str = "") -> object:
    """Read YAML in which no key is there twice. Raises DataError that names the file."""
    try:
        return parse_yaml(text, unique_keys=True)
    except YamlProblem as error:
        raise DataError(f"{path} is not YAML ({error})", expected, example) from None


def _from_yaml(path: Path, text: str) -> tuple[list[_Entry], tuple[int, ...]]:
    data = load_yaml(path, text, "names and colours", _EXAMPLE)
    ignored: tuple[int, ...] = (IGNORE_INDEX,)
    if isinstance(data, dict) and "classes" in data:
        for key in data.keys() - _TOP_KEYS:
            _refuse_key(path, "the file", str(key), _TOP_KEYS)
        if "ignore_index" in data:
            given = data["ignore_index"]
            values = given if isinstance(given, list) else [given]
            ignored = tuple(_number(path, "ignore_index", value, _VOID_RANGE) for value in values)
        data = data["classes"]
    if isinstance(data, dict) and data:
        return [_from_pair(path, key, value) for key, value in data.items()], ignored
    if isinstance(data, list) and data:
        return [_from_item(path, f"class {i}", item) for i, item in enumerate(data)], ignored
    raise DataError(f"{path} holds no classes", "a list of names, or of names and colours", _EXAMPLE)


def _from_pair(path: Path, key: object, value: object) -> _Entry:
    """Read `name: [r, g, b]`, `value: name` or `name: {colour: ..., value: ...}`."""
    if isinstance(key, int) and not isinstance(key, bool) and isinstance(value, str):
        return _Entry(value, values=(_number(path, value, key),))
    name = _name(path, str(key), key)
    if isinstance(value, dict):
        return _from_item(path, name, {"name": name, **value})
    return _Entry(name, colours=(_colour(path, name, value),))


def _from_item(path: Path, where: str, item: object) -> _Entry:
    if not isinstance(item, Mapping):
        return _Entry(_name(path, where, item))
    for key in item.keys() - _KEYS:
        _refuse_key(path, where, str(key), _KEYS)
    name = _name(path, where, item.get("name"))
    void = item.get("void", False)
    if not isinstance(void, bool):
        raise DataError(f"{path}: {name}: void is {shortened(void)}", "true or false")
    value = item.get("value", item.get("id"))
    texts, values = [], []
    for one in value if isinstance(value, list) and value else [value]:
        if isinstance(one, str) and not _is_number(one):
            texts.append(one.strip())
        elif one is not None:
            values.append(_number(path, name, one, _VOID_RANGE if void else _CLASS_RANGE))
    return _Entry(name, _colours(path, name, item.get("colour", item.get("color"))), tuple(values), tuple(texts), void)


def _is_number(text: str) -> bool:
    return re.fullmatch(r"\s*[-+]?[\d.]+\s*", text) is not None


def _colours(path: Path, name: str, given: object) -> tuple[Colour, ...]:
    """Read a colour, or a list of colours that all are one class."""
    if given is None:
        return ()
    if isinstance(given, list) and given and all(isinstance(one, list) or str(one).startswith("#") for one in given):
        return tuple(_colour(path, name, one) for one in given)
    return (_colour(path, name, given),)


def _from_csv(path: Path, text: str) -> tuple[list[_Entry], bool]:
    """Read columns name, r, g, b (or red, green, blue), and if there are any: value (or id), void.

    Returns:
        The entries, and whether there is a column that says what is void.
    """
    lines = [line for line in text.splitlines() if line.strip()]
    delimiter = ";" if lines and lines[0].count(";") > lines[0].count(",") else ","
    try:
        rows = list(csv.reader(lines, delimiter=delimiter, skipinitialspace=True))
    except csv.Error as error:
        raise DataError(f"{path} is no CSV ({error})", "name,r,g,b") from None
    header = [_COLUMN.get(cell.strip().lower(), cell.strip().lower()) for cell in rows[0]] if rows else []
    if "name" not in header or len(rows) < 2:
        raise DataError(f"{path} has the header '{', '.join(header)}' and {max(0, len(rows) - 1)} rows", "name,r,g,b")
    entries = []
    for number, row in enumerate(rows[1:], start=2):
        where = f"row {number}"
        if len(row) != len(header):
            raise DataError(f"{path}: {where} holds {len(row)} cells", f"{len(header)}: {', '.join(header)}")
        cells = {key: cell.strip() for key, cell in zip(header, row, strict=True)}
        item: dict[str, Any] = {"name": cells["name"]}
        if {"r", "g", "b"} <= cells.keys():
            item["colour"] = [cells["r"], cells["g"], cells["b"]]
        item["void"] = cells.get("void", "").lower() in ("1", "true", "yes")
        if cells.get("value"):
            item["value"] = _number(path, cells["name"], cells["value"], _VOID_RANGE if item["void"] else _CLASS_RANGE)
        entries.append(_from_item(path, where, item))
    return entries, "void" in header


_COLUMN = {
    "red": "r", "green": "g", "blue": "b", "id": "value", "pixel value": "value", "class": "name", "label": "name",
    "class name": "name",
}  # fmt: skip


def _from_labelmap(path: Path, text: str) -> list[_Entry]:
    """Read CVAT's `name:r,g,b:parts:actions`, or names alone, which number the values of index masks."""
    entries = []
    for number, line in _lines(text):
        name, _, rest = line.partition(":")
        numbers = rest.partition(":")[0].strip()
        colour = (_colour(path, name, numbers.split(",")),) if numbers else ()
        entries.append(_Entry(_name(path, f"line {number}", name.strip()), colour))
    return _some(path, entries, "lines such as road:128,64,128::")


def _from_class_names(path: Path, text: str) -> list[_Entry]:
    """Read one name a line. labelme's `__ignore__` stands before the first and is -1, which no mask can hold."""
    names = [_name(path, f"line {number}", line) for number, line in _lines(text)]
    if names and names[0] == "__ignore__":
        names = names[1:]
    return _some(path, [_Entry(_without_underscores(name)) for name in names], "a name in each line")


def _without_underscores(name: str) -> str:
    """labelme's `_background_` is the background."""
    return "background" if name.lower() in BACKGROUND_NAMES else name


_COLOUR_LINE = re.compile(
    r"(?P<rgb>\d+[\s,]+\d+[\s,]+\d+)[\s,:]+(?P<name>\S.*)|(?P<first>\S.*?)[\s,:]+(?P<last>\d+[\s,]+\d+[\s,]+\d+)"
)


_LONGEST_COLOUR_LINE = 1000
"""The time that the pattern takes grows with the square of the length."""


def _from_label_colors(path: Path, text: str) -> list[_Entry]:
    """Read `r g b name` (CamVid, CVAT) or `name r g b`."""
    entries = []
    for number, line in _lines(text):
        match = _COLOUR_LINE.fullmatch(line) if len(line) <= _LONGEST_COLOUR_LINE else None
        if match is None:
            raise DataError(f"{path}: line {number} is '{line}'", "red, green, blue and a name")
        name, rgb = match["name"] or match["first"], match["rgb"] or match["last"]
        entries.append(_Entry(name.strip(), (_colour(path, name, re.split(r"[\s,]+", rgb)),)))
    return _some(path, entries, "lines such as 128 64 128 Road")


def _lines(text: str) -> list[tuple[int, str]]:
    stripped = ((number, line.strip()) for number, line in enumerate(text.splitlines(), start=1))
    return [(number, line) for number, line in stripped if line and not line.startswith("#")]


def _some(path: Path, entries: list[_Entry], expected: str) -> list[_Entry]:
    if not entries:
        raise DataError(f"{path} holds no classes", expected)
    return entries


_TEXT_READERS: Mapping[str, Callable[[Path, str], list[_Entry]]] = {
    "labelmap.txt": _from_labelmap,
    "class_names.txt": _from_class_names,
    "label_colors.txt": _from_label_colors,
}


def _refuse_key(path: Path, where: str, key: str, known: set[str]) -> None:
    raise DataError(
        f"{path}: {where} has the key '{key}'",
        f"one of {', '.join(sorted(known))}",
        did_you_mean(key, known) or _EXAMPLE,
    )


def _name(path: Path, where: str, name: object) -> str:
    if isinstance(name, bool) or name is None or not str(name).strip() or isinstance(name, (list, dict)):
        hint = "put it in quotes" if isinstance(name, bool) else _EXAMPLE
        raise DataError(f"{path}: {where} has the name {shortened(name)}", "a text", hint)
    return str(name).strip()


def _number(path: Path, where: str, value: object, bounds: tuple[int, int] = _CLASS_RANGE) -> int:
    smallest, largest = bounds
    try:
        number = int(str(value))
    except ValueError:
        number = smallest - 1
    if isinstance(value, bool) or not smallest <= number <= largest:
        found = f"{path}: {where} has the value {shortened(value)}"
        raise DataError(found, f"a whole number from {smallest} to {largest}")
    return number


def _colour(path: Path, name: str, colour: object) -> Colour:
    """Read [r, g, b] of 0..255, or "#rrggbb"."""
    if isinstance(colour, str) and len(colour) == 7 and colour.startswith("#"):
        try:
            colour = list(bytes.fromhex(colour[1:]))
        except ValueError:
            colour = None
    if not isinstance(colour, (list, tuple)) or len(colour) != 3:
        raise DataError(f"{path}: {name} has the colour {shortened(colour)}", "[red, green, blue] of 0..255", _EXAMPLE)
    red, green, blue = (_number(path, f"the colour of {name}", part, (0, 255)) for part in colour)
    return red, green, blue


def _table(path: Path, entries: list[_Entry], notes: Sequence[str], ignored: tuple[int, ...]) -> ClassTable:
    """Check entries against each other, merge those of one name, and number the classes."""
    classes = [entry for entry in entries if not entry.void]
    explicit = _all_or_none(path, "value", [bool(entry.values or entry.labels) for entry in classes])
    coloured = _all_or_none(path, "colour", [bool(entry.colours) for entry in classes])
    void = {entry.name for entry in entries if entry.void}
    both = [entry.name for entry in classes if entry.name in void]
    if both:
        raise DataError(f"{path} lists '{both[0]}' as a class and as void", "one of the two")

    # An entry in a list of names stands for its position, void ones too (CamVid's 11), unless values are given.
    positioned = [
        (entry, entry.values if entry.values or explicit else (position,)) for position, entry in enumerate(entries)
    ]
    if explicit:
        classes.sort(key=lambda entry: min(entry.values, default=0))
    names = list(dict.fromkeys(entry.name for entry in classes))
    ids = {name: i for i, name in enumerate(names)}
    values = [(value, ids.get(entry.name, IGNORE_INDEX)) for entry, own in positioned for value in own]
    colours = [(colour, ids.get(entry.name, IGNORE_INDEX)) for entry in entries for colour in entry.colours]
    for what, numbers in (("value", [v for v, _ in values]), ("colour", [c for c, _ in colours])):
        if len(set(numbers)) != len(numbers):
            raise DataError(f"{path} gives the {what} {_first_duplicate(numbers)} to two entries", f"each {what} once")
    merged = _merged(path, positioned, coloured=coloured, explicit=explicit)
    taken = {value for value, _ in values}
    values += [(value, IGNORE_INDEX) for value in ignored if value not in taken]
    try:
        labels = LabelSpec.from_names(names)
        if coloured:
            first = {entry.name: entry.colours[0] for entry in reversed(classes)}
            labels = LabelSpec(labels.names, tuple(first[name] for name in names))
    except ValueError as error:
        raise DataError(f"{path}: {error}") from None
    called = [(name, ids.get(e.name, IGNORE_INDEX)) for e in entries for name in (e.labels or (e.name,))]
    return ClassTable(
        labels=labels,
        values=tuple(sorted(values)),
        colours=tuple(colours) if coloured else (),
        explicit_values=explicit,
        names=tuple(dict(called).items()),
        notes=(*notes, *merged),
    )


def _merged(
    path: Path, positioned: list[tuple[_Entry, tuple[int, ...]]], *, coloured: bool, explicit: bool
) -> list[str]:
    """Say which classes are put together from several values, colours or labels."""
    parts: dict[str, list[str]] = {}
    for entry, values in positioned:
        if not entry.void:
            own: Iterable[object] = entry.colours if coloured and not explicit else (*values, *entry.labels)
            parts.setdefault(entry.name, []).extend(str(one) for one in own)
    merged = [f"{name} ({listing(own)})" for name, own in parts.items() if len(own) > 1]
    return [f"{path.name} merges into one class each: {listing(merged, 8)}"] if merged else []


def _all_or_none(path: Path, what: str, given: list[bool]) -> bool:
    if any(given) and not all(given):
        found = f"{path} gives a {what} to {sum(given)} of {len(given)} classes"
        raise DataError(found, f"a {what} for each class, or for none")
    return all(given) and bool(given)


def _first_duplicate(things: list[Any]) -> Any:
    return next(thing for i, thing in enumerate(things) if thing in things[:i])


def read_border_rule(path: Path) -> BorderRule | None:
    """Read what a classes.yaml says of pixels of no class along borders: `borders: nearest`, `border_width: 3`.

    Returns:
        None where the file says nothing of it, or is of a kind that cannot.

    Raises:
        DataError: another word than nearest or void; a width that is no number from 1 to 32, or stands alone.
    """
    if path.suffix.lower() not in (".yaml", ".yml"):
        return None
    data = load_yaml(path, path.read_text(encoding="utf-8-sig"), "names and colours", _EXAMPLE)
    if not isinstance(data, dict) or "classes" not in data or not data.keys() & {"borders", "border_width"}:
        return None
    to = data.get("borders")
    if to not in ("nearest", "void"):
        found = (
            f"{path}: borders is {shortened(to)}" if "borders" in data else f"{path} holds border_width without borders"
        )
        raise DataError(found, "`borders: nearest` or `borders: void`")
    return BorderRule(to, _number(path, "border_width", data.get("border_width", DEFAULT_WIDTH), (1, MAX_WIDTH)))
