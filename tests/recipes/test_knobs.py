"""Every knob is explained: no field of the schema without a meaning, types and ranges in words as they are checked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, get_args, get_origin

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from atonce.recipes.knobs import Knob, knob_sections, yaml_value
from atonce.recipes.recipe_files import build
from atonce.recipes.schema import Recipe

KNOBS = {knob.name: knob for section in knob_sections() for knob in section.knobs}


def fields(section: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, field in section.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from fields(field.annotation, f"{prefix}{name}.")
        else:
            yield prefix + name


def test_every_field_of_the_schema_is_a_knob_in_the_order_of_its_section() -> None:
    assert sorted(KNOBS) == sorted(fields(Recipe))
    for section in knob_sections():
        prefix = f"{section.name}." if section.name else ""
        own = [name for name in fields(Recipe) if name.startswith(prefix) and "." not in name.removeprefix(prefix)]
        assert [knob.name for knob in section.knobs] == own


@pytest.mark.parametrize("knob", KNOBS.values(), ids=KNOBS)
def test_a_knob_says_what_it_does_and_which_values_it_takes(knob: Knob) -> None:
    assert len(knob.meaning) > 20
    assert knob.meaning.endswith(".")
    assert "\n" not in knob.meaning
    assert knob.kind


def choices(annotation: object) -> list[str]:
    """The words that a type lets one choose from."""
    if get_origin(annotation) is Literal:
        return [choice for choice in get_args(annotation) if isinstance(choice, str)]
    return [choice for part in get_args(annotation) for choice in choices(part)]


@pytest.mark.parametrize("knob", KNOBS.values(), ids=KNOBS)
def test_every_choice_is_explained_in_the_meaning(knob: Knob) -> None:
    section = Recipe()
    for part in knob.name.split(".")[:-1]:
        section = getattr(section, part)
    words = choices(type(section).model_fields[knob.key].annotation)
    assert [word for word in words if word not in knob.meaning] == []


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("weights", "null or text"),
        ("stages.shares", "a list of 3, each a number above 0"),
        ("model.stride", "8, 16 or 32"),
        ("model.skip_scales", "at-once, unit, calibrate, or a list of 2, each a number above 0"),
        ("model.head_scale", "calibrate or a number above 0"),
        ("model.dropout", "a number from 0 to below 1"),
        ("model.freeze_trunk", "true or false"),
        ("data.ground_truth", "road, lane or null"),
        ("data.val_fraction", "a number above 0 and below 1"),
        ("data.max_side", "null or an integer of 1 or more"),
        ("augment.scale", "a list of 2, each a number above 0, the first not larger than the second"),
        ("augment.hue", "a number from 0 to 0.5"),
        ("train.seed", "an integer of 0 or more"),
    ],
)
def test_types_and_ranges_are_told_in_words(name: str, kind: str) -> None:
    assert KNOBS[name].kind == kind


def test_facts_are_kind_and_default() -> None:
    assert KNOBS["optim.lr"].facts == "a number above 0; default 0.0001"
    assert KNOBS["data.crop"].facts == "a list of 2, each an integer of 1 or more; default [360, 480]"
    assert KNOBS["optim.clip_norm"].facts == "null or a number above 0; default null"
    assert (KNOBS["optim.lr"].key, KNOBS["weights"].key) == ("lr", "weights")


def test_defaults_are_those_of_the_schema() -> None:
    given_in_full: dict[str, object] = {}
    for knob in KNOBS.values():
        section, _, key = knob.name.rpartition(".")
        place = given_in_full if not section else given_in_full.setdefault(section, {})
        assert isinstance(place, dict)
        place[key] = yaml.safe_load(yaml_value(knob.default))
    assert build(given_in_full, "test") == Recipe()


@given(
    st.one_of(
        st.text(),
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(allow_nan=False, allow_infinity=False),
        st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=4),
    )
)
def test_a_value_in_yaml_is_one_line_and_reads_back(value: object) -> None:
    text = yaml_value(value)
    assert text.splitlines() == [text]
    assert yaml.safe_load(f"section:\n  key: {text}\n") == {"section": {"key": value}}
