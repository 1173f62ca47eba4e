"""Whatever a stranger writes as YAML is plain data in bounded memory, or one line."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest

from atonce.data.classes_file import read_classes
from atonce.errors import DataError, RecipeError, UserError
from atonce.recipes import load_recipe
from atonce.studies.shipped_studies import load_study
from atonce.yaml_loader import MOST_DEPTH, YamlProblem, parse_yaml
from tests.commands import Command

BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n" for before, name in zip("abcdefg", "bcdefgh", strict=True)
)
MERGE_BOMB = "a: &a {x: 1, y: 2}\n" + "".join(
    f"{name}: &{name} {{<<: [{', '.join([f'*{before}'] * 20)}]}}\n"
    for before, name in zip("abcdef", "bcdefg", strict=True)
)
HOSTILE = {
    "no number": "!!int x",
    "no truth value": "!!bool x",
    "no day": "!!timestamp x",
    "no such day": "!!timestamp 2024-02-30",
    "no fraction": "!!float x",
    "not base 64": "!!binary é",
    "too many digits": "9" * 4_400,
    "too deep": "[" * 3_000,
    "too deep, closed": "{a: " * 3_000 + "1" + "}" * 3_000,
    "bomb": BOMB,
    "merge bomb": MERGE_BOMB,
    "in itself": "&a [*a]",
    "unknown alias": "*a",
    "code": "!!python/object/apply:os.system [true]",
    "keys that cannot be keys": "{[a]: b}",
    "no end": '"abc',
    "control character": "a\x01b",
    "two documents": "--- a\n--- b",
    "too long": "x" * 1_000_001,
}
hostile = pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)


@hostile
def test_what_is_no_plain_data_is_one_line_in_bounded_memory(text: str) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(YamlProblem) as caught:
            parse_yaml(text)
        assert tracemalloc.get_traced_memory()[1] < 60e6
    finally:
        tracemalloc.stop()
    assert len(str(caught.value).splitlines()) == 1
    assert len(str(caught.value)) < 600


@hostile
@pytest.mark.parametrize("reader", ["recipe", "override", "classes", "study", "study's override"])
def test_every_reader_says_so_in_one_line(tmp_path: Path, text: str, reader: str) -> None:
    path = tmp_path / ("classes.yaml" if reader == "classes" else "x.yaml")
    path.write_text(text, "utf-8")
    if reader == "study's override":
        quoted = text.replace("'", "''").replace("\n", "\n\n    ")
        path.write_text(f"variants:\n  a:\n  - 'optim.lr={quoted}'\n  b: {{}}\n", "utf-8")
    kinds: tuple[type[UserError], ...] = (RecipeError, DataError)
    with pytest.raises(kinds) as caught:
        if reader == "recipe":
            load_recipe(path)
        elif reader == "override":
            load_recipe("folder", [f"weights={text}"])
        elif reader == "classes":
            read_classes(path)
        else:
            load_study(str(path))
    message = caught.value.for_command_line()
    assert len(message.splitlines()) == 1
    assert len(message) < 2_000


def test_dates_are_names() -> None:
    assert parse_yaml("2024-02-30") == "2024-02-30"
    assert parse_yaml("{2024-02-20: 2024-02-20T12:00:00}") == {"2024-02-20": "2024-02-20T12:00:00"}
    assert load_recipe("folder", ["weights=2024-02-20"]).weights == "2024-02-20"


def test_what_people_write_is_read_as_before() -> None:
    assert parse_yaml("") is None
    assert parse_yaml("a: &x [1, 2.5, true, null, 'x']\nb: *x") == {
        "a": [1, 2.5, True, None, "x"],
        "b": [1, 2.5, True, None, "x"],
    }
    assert parse_yaml("base: &b {x: 1}\nc: {<<: *b, y: 2}")["c"] == {"x": 1, "y": 2}
    assert parse_yaml("[" * (MOST_DEPTH - 1) + "1" + "]" * (MOST_DEPTH - 1))
    assert parse_yaml(repr({f"class {i}": [i, i, i] for i in range(255)}))["class 7"] == [7, 7, 7]


def test_the_command_line_says_it_in_one_line(atonce: Command, street_data: Path, tmp_path: Path) -> None:
    for words in (["weights=!!int x"], ["model.width=" + "[" * 3_000], [f"weights={BOMB}"]):
        told = atonce("train", street_data, "--out", tmp_path / "run", "--set", *words).mistake
        assert len(told) < 1_000


def test_values_of_a_wrong_kind_are_shown_shortened(tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe("folder", [f"optim.lr={'x' * 100_000}"])
    assert len(str(caught.value)) < 1_000
    path = tmp_path / "classes.yaml"
    path.write_text(f"road: {'x' * 100_000}\n")
    with pytest.raises(DataError) as caught_too:
        read_classes(path)
    assert len(str(caught_too.value)) < 1_000
