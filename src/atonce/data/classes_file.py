"""`classes.yaml` and `classes.csv`: the classes that the values or colours of a folder's masks stand for."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from atonce.errors import DataError
from atonce.labels import IGNORE_INDEX, Colour, LabelSpec
from atonce.text import did_you_mean, shortened
from atonce.yaml_loader import MOST_CHARACTERS, YamlProblem, parse_yaml

FILE_NAMES = ("classes.yaml", "classes.yml", "classes.csv", "class_dict.csv")

_EXAMPLE = "e.g. `classes: [{name: road, colour: [128, 64, 128]}, {name: void, colour: [0, 0, 0], void: true}]`"
_KEYS = {"name", "colour", "color", "value", "id", "void"}
_TOP_KEYS = {"classes", "ignore_index"}


@dataclass(frozen=True)
class ClassTable:
    """The classes of a data set and how its masks write them.

    Attributes:
        labels: names and colours in the order of the class ids: by value where values are given, else as listed.
        values: (number in an index mask, class id or 255).
        colours: (colour in an RGB mask, class id or 255); empty where the file gives no colours.
        explicit_values: the file says which number is which class.
    """

    labels: LabelSpec
    values: tuple[tuple[int, int], ...]
    colours: tuple[tuple[Colour, int], ...]
    explicit_values: bool


@dataclass(frozen=True)
class _Entry:
    name: str
    colour: Colour | None = None
    value: int | None = None
    void: bool = False


def find_classes_file(root: Path) -> Path | None:
    """Return the one of `FILE_NAMES` that is there, or None. Raises DataError: there are two, which may disagree."""
    there = [root / name for name in FILE_NAMES if (root / name).is_file()]
    if len(there) > 1:
        names = " and ".join(path.name for path in there)
        raise DataError(f"{root} holds {names}", "one of them", "remove the other")
    return there[0] if there else None


def read_classes(path: Path) -> ClassTable:
    """Read classes.yaml or classes.csv.

    Raises:
        DataError: not YAML or CSV of the expected form; a name, colour or value twice; some classes with
            colours or values and some without. The message names the file and the entry.
    """
    try:
        with path.open(encoding="utf-8-sig") as file:
            text = file.read(MOST_CHARACTERS + 1)
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read ({error})", "text in UTF-8") from None
    if path.suffix.lower() == ".csv":
        return _table(path, _from_csv(path, text), (IGNORE_INDEX,))
    return _table(path, *_from_yaml(path, text))


def _from_yaml(path: Path, text: str) -> tuple[list[_Entry], tuple[int, ...]]:
    try:
        data = parse_yaml(text)
    except YamlProblem as error:
        raise DataError(f"{path} is not YAML ({error})", "names and colours", _EXAMPLE) from None
    ignored: tuple[int, ...] = (IGNORE_INDEX,)
    if isinstance(data, dict) and "classes" in data:
        for key in data.keys() - _TOP_KEYS:
            _refuse_key(path, "the file", str(key), _TOP_KEYS)
        if "ignore_index" in data:
            given = data["ignore_index"]
            ignored = tuple(_number(path, "ignore_index", v) for v in (given if isinstance(given, list) else [given]))
        data = data["classes"]
    if isinstance(data, dict) and data:
        return [_from_pair(path, key, value) for key, value in data.items()], ignored
    if isinstance(data, list) and data:
        return [_from_item(path, f"class {i}", item) for i, item in enumerate(data)], ignored
    raise DataError(f"{path} holds no classes", "a list of names, or of names and colours", _EXAMPLE)


def _from_pair(path: Path, key: object, value: object) -> _Entry:
    """Read `name: [r, g, b]`, `value: name` or `name: {colour: ..., value: ...}`."""
    if isinstance(key, int) and not isinstance(key, bool) and isinstance(value, str):
        return _Entry(value, value=_number(path, value, key))
    name = _name(path, str(key), key)
    if isinstance(value, dict):
        return _from_item(path, name, {"name": name, **value})
    return _Entry(name, colour=_colour(path, name, value))


def _from_item(path: Path, where: str, item: object) -> _Entry:
    if not isinstance(item, Mapping):
        return _Entry(_name(path, where, item))
    for key in item.keys() - _KEYS:
        _refuse_key(path, where, str(key), _KEYS)
    name = _name(path, where, item.get("name"))
    colour = item.get("colour", item.get("color"))
    value = item.get("value", item.get("id"))
    void = item.get("void", False)
    if not isinstance(void, bool):
        raise DataError(f"{path}: {name}: void is {void!r}", "true or false")
    return _Entry(
        name,
        None if colour is None else _colour(path, name, colour),
        None if value is None else _number(path, name, value),
        void,
    )


def _from_csv(path: Path, text: str) -> list[_Entry]:
    """Read columns name, r, g, b (or red, green, blue), and if there are any: value (or id), void."""
    lines = [line for line in text.splitlines() if line.strip()]
    delimiter = ";" if lines and lines[0].count(";") > lines[0].count(",") else ","
    rows = list(csv.reader(lines, delimiter=delimiter, skipinitialspace=True))
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
        if cells.get("value"):
            item["value"] = cells["value"]
        item["void"] = cells.get("void", "").lower() in ("1", "true", "yes")
        entries.append(_from_item(path, where, item))
    return entries


_COLUMN = {"red": "r", "green": "g", "blue": "b", "id": "value", "class": "name", "label": "name"}


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


def _number(path: Path, where: str, value: object, largest: int = 65535) -> int:
    try:
        number = int(str(value))
    except ValueError:
        number = -1
    if isinstance(value, bool) or not 0 <= number <= largest:
        raise DataError(f"{path}: {where} has the value {shortened(value)}", f"a whole number from 0 to {largest}")
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
    red, green, blue = (_number(path, f"the colour of {name}", part, 255) for part in colour)
    return red, green, blue


def _table(path: Path, entries: list[_Entry], ignored: tuple[int, ...]) -> ClassTable:
    """Check entries against each other and number the classes."""
    classes = [entry for entry in entries if not entry.void]
    explicit = _all_or_none(path, "value", [entry.value is not None for entry in classes])
    coloured = _all_or_none(path, "colour", [entry.colour is not None for entry in classes])
    positions = {entry.name: i for i, entry in enumerate(entries)}
    if len(positions) != len(entries):
        raise DataError(f"{path} lists '{_first_duplicate([e.name for e in entries])}' twice", "each name once")

    def value_of(entry: _Entry) -> int | None:
        """The number of an entry in index masks; None where only its colour is known."""
        # A void entry in a list of names counts, too (CamVid's 11), unless values are given.
        return entry.value if entry.value is not None or explicit else positions[entry.name]

    if explicit:
        classes.sort(key=lambda entry: entry.value or 0)
    ids = {entry.name: i for i, entry in enumerate(classes)}
    values = [(value, ids.get(entry.name, IGNORE_INDEX)) for entry in entries if (value := value_of(entry)) is not None]
    colours = [(entry.colour, ids.get(entry.name, IGNORE_INDEX)) for entry in entries if entry.colour is not None]
    for what, numbers in (("value", [v for v, _ in values]), ("colour", [c for c, _ in colours])):
        if len(set(numbers)) != len(numbers):
            raise DataError(f"{path} gives the {what} {_first_duplicate(numbers)} to two entries", f"each {what} once")
    taken = {value for value, _ in values}
    values += [(value, IGNORE_INDEX) for value in ignored if value not in taken]
    names = [entry.name for entry in classes]
    try:
        labels = LabelSpec.from_names(names)
        if coloured:
            labels = LabelSpec(labels.names, tuple(entry.colour for entry in classes if entry.colour is not None))
    except ValueError as error:
        raise DataError(f"{path}: {error}") from None
    return ClassTable(labels, tuple(sorted(values)), tuple(colours) if coloured else (), explicit)


def _all_or_none(path: Path, what: str, given: list[bool]) -> bool:
    if any(given) and not all(given):
        found = f"{path} gives a {what} to {sum(given)} of {len(given)} classes"
        raise DataError(found, f"a {what} for each class, or for none")
    return all(given) and bool(given)


def _first_duplicate(things: list[Any]) -> Any:
    return next(thing for i, thing in enumerate(things) if thing in things[:i])
