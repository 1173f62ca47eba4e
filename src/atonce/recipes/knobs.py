"""The knobs of a recipe as data: name, default, type and range in words, and meaning, taken from the schema.

Whoever shows a knob asks here: the comments in YAML files, `atonce recipes NAME --explain`, the page "Recipes".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types
import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from atonce.recipes.schema import Recipe

_TYPES = {bool: "true or false", str: "text", int: "an integer", float: "a number", NoneType: "null"}


@dataclass(frozen=True)
class Knob:
    """One key of a recipe.

    Attributes:
        name: the full name, as for an override ("optim.lr").
        default: its value where a recipe does not give it.
        kind: type and range, or the choices, in words ("a number above 0", "poly, cosine or constant").
        meaning: what it does and in which unit, on one line: the docstring in schema.py.
        choices: the values that it takes, as they stand in YAML, where there are but a few; empty where there are more.
    """

    name: str
    default: Any
    kind: str
    meaning: str
    choices: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """The name inside the section ("lr")."""
        return self.name.rpartition(".")[2]

    @property
    def facts(self) -> str:
        """Type, range and default: "a number above 0; default 0.0001"."""
        return f"{self.kind}; default {yaml_value(self.default)}"


@dataclass(frozen=True)
class KnobSection:
    """The knobs of a section.

    Attributes:
        name: its key in the recipe ("optim"); "" for the knobs that stand outside of sections.
        meaning: what the section is about, on one line.
    """

    name: str
    meaning: str
    knobs: tuple[Knob, ...]


def knob_sections() -> tuple[KnobSection, ...]:
    """All knobs, in the order of a recipe: those outside of sections first."""
    inner = {name: kind for name, field in Recipe.model_fields.items() if (kind := _section_class(field)) is not None}
    outer = KnobSection("", _one_line(Recipe.__doc__), tuple(_knobs(Recipe, "")))
    return (
        outer,
        *(KnobSection(name, _one_line(kind.__doc__), tuple(_knobs(kind, f"{name}."))) for name, kind in inner.items()),
    )


def yaml_value(value: object) -> str:
    """Write a value as it stands in YAML, on one line: "null", "true", "[352, 480]"."""
    plain = list(value) if isinstance(value, tuple) else value
    # In double quotes a line break is an escape; in other styles it is a line break.
    style = '"' if isinstance(value, str) and value.splitlines() != [value] else None
    text = yaml.safe_dump(plain, default_flow_style=True, default_style=style, width=float("inf"), allow_unicode=True)
    return str(text).removesuffix("\n...\n").rstrip("\n")


def _knobs(section: type[BaseModel], prefix: str) -> Iterator[Knob]:
    for key, field in section.model_fields.items():
        if _section_class(field) is None:
            kind = kind_in_words(field.annotation, field.metadata)
            choices = choices_of(field.annotation) or ()
            yield Knob(prefix + key, field.default, kind, _one_line(field.description), choices)


def _section_class(field: FieldInfo) -> type[BaseModel] | None:
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def _one_line(text: str | None) -> str:
    return " ".join((text or "").split())


def kind_in_words(annotation: Any, metadata: Iterable[object] = ()) -> str:
    """Say which values a field takes: "a number above 0", "poly, cosine or constant", "null or text".

    Args:
        annotation: the type, as in the schema.
        metadata: its bounds (`annotated_types.Gt` and so on); texts among them are added to the words.
    """
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return kind_in_words(parts[0], _without_field(parts[1:]))
    if origin is Literal:
        return _either([str(part) for part in parts])
    if origin in (Union, UnionType):
        words = {part: get_args(part) for part in parts if _is_literal(part)}  # what is written as it stands, first
        words |= {NoneType: ("null",)} if NoneType in parts else {}
        words |= {part: (kind_in_words(part),) for part in parts if part not in words}
        return _either([str(word) for choices in words.values() for word in choices])
    if origin is tuple:
        many = "a list" if parts[-1] is Ellipsis else f"a list of {len(parts)}"
        words_of_type = f"{many}, each {kind_in_words(parts[0])}"
    else:
        words_of_type = _TYPES[annotation] + _range_in_words(metadata)
    return ", ".join([words_of_type, *(text for text in metadata if isinstance(text, str))])


def choices_of(annotation: Any) -> tuple[str, ...] | None:
    """List the values of a field as they stand in YAML; None where there are more than its words and null."""
    if annotation is bool:
        return ("true", "false")
    if annotation is NoneType:
        return ("null",)
    if _is_literal(annotation):
        return tuple(map(str, get_args(annotation)))
    if get_origin(annotation) not in (Union, UnionType):
        return None
    parts = [choices_of(part) for part in get_args(annotation)]
    return None if None in parts else tuple(word for part in parts for word in part or ())


def _is_literal(annotation: Any) -> bool:
    origin: object = get_origin(annotation)
    return origin is Literal


def _range_in_words(metadata: Iterable[object]) -> str:
    low, high = "", ""
    for bound in metadata:
        match bound:
            case annotated_types.Ge(ge=end):
                low = f"{end}"
            case annotated_types.Gt(gt=end):
                low = f"above {end}"
            case annotated_types.Le(le=end):
                high = f"{end}"
            case annotated_types.Lt(lt=end):
                high = f"below {end}"
    if low and high:
        if not low.startswith("above"):
            return f" from {low} to {high}"
        return f" {low} and {high}" if high.startswith("below") else f" {low}, at most {high}"
    assert low or not high, "a range without a lower end has no words yet"
    return f" {low}" if low.startswith("above") else f" of {low} or more" if low else ""


def _without_field(metadata: Iterable[object]) -> list[object]:
    """Bounds and texts of an annotation that stands inside another one, where pydantic has not taken `Field` apart."""
    found: list[object] = []
    for part in metadata:
        found += part.metadata if isinstance(part, FieldInfo) else [part]
    return found


def _either(choices: list[str]) -> str:
    *first, last = choices
    comma = "," if ", " in last and len(first) > 1 else ""
    return f"{', '.join(first)}{comma} or {last}" if first else last
