"""The reference of all knobs: on a page, in a terminal, for editors."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
import yaml

from atonce.recipes import Recipe, load_recipe, shipped_recipes
from atonce.recipes.knobs import knob_sections, yaml_value
from atonce.recipes.reference import explain, json_schema, main, markdown

PAGE = Path(__file__).parents[2] / "docs" / "recipes.md"


def mistakes(value: Any, schema: dict[str, Any], root: dict[str, Any], where: str = "") -> list[str]:
    """What is wrong with a value by the keywords of JSON schema that the recipe's uses; others are a mistake, too."""
    known = {
        "$schema", "$defs", "$ref", "title", "description", "default", "type", "properties", "additionalProperties",
        "enum", "const", "anyOf", "items", "prefixItems", "minItems", "maxItems",
        "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum",
    }  # fmt: skip
    found = [f"{where}: the schema has the keyword {key}" for key in schema.keys() - known]
    if "$ref" in schema:
        found += mistakes(value, root["$defs"][schema["$ref"].rpartition("/")[2]], root, where)
    if "anyOf" in schema and all(mistakes(value, choice, root, where) for choice in schema["anyOf"]):
        found.append(f"{where}: {value!r} is none of the alternatives")
    if "enum" in schema and value not in schema["enum"]:
        found.append(f"{where}: {value!r} is not one of {schema['enum']}")
    if "const" in schema and value != schema["const"]:
        found.append(f"{where}: {value!r} is not {schema['const']}")
    types: dict[str, Any] = {
        "object": dict, "array": list, "string": str, "integer": int, "number": (int, float), "boolean": bool,
        "null": type(None),
    }  # fmt: skip
    kind = schema.get("type")
    if kind is not None and (not isinstance(value, types[kind]) or (isinstance(value, bool) and kind != "boolean")):
        return [*found, f"{where}: {value!r} is no {kind}"]
    if kind in ("integer", "number"):
        low, high = schema.get("minimum", -math.inf), schema.get("maximum", math.inf)
        above, below = schema.get("exclusiveMinimum", -math.inf), schema.get("exclusiveMaximum", math.inf)
        found += [] if low <= value <= high and above < value < below else [f"{where}: {value!r} is out of range"]
    if kind == "object":
        for key, item in value.items():
            if key in schema["properties"]:
                found += mistakes(item, schema["properties"][key], root, f"{where}.{key}")
            elif schema.get("additionalProperties") is False:
                found.append(f"{where}: the key {key} is not known")
    if kind == "array":
        if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", math.inf):
            found.append(f"{where}: {len(value)} items")
        kinds = schema.get("prefixItems") or [schema["items"]] * len(value)
        for item, expected in zip(value, kinds, strict=False):
            found += mistakes(item, expected, root, f"{where}[]")
    return found


class Yaml12(yaml.SafeLoader):
    """YAML as editors read it: 1e-4 is a number, which PyYAML takes for a word."""


def number_or_text(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> object:
    try:
        return float(node.value) if node.style is None else node.value
    except ValueError:
        return node.value


Yaml12.add_constructor("tag:yaml.org,2002:str", number_or_text)


def test_the_page_is_that_of_the_schema() -> None:
    assert PAGE.read_text("utf-8") == markdown(), "run `make docs-recipes`"


def test_the_page_has_every_knob_with_default_values_and_meaning() -> None:
    page = markdown()
    for section in knob_sections():
        for knob in section.knobs:
            row = next(line for line in page.splitlines() if line.startswith(f"| `{knob.name}` | "))
            assert f"| {knob.kind} | `{yaml_value(knob.default)}` |" in row
            assert knob.meaning.replace("*", "\\*") in row
            assert row.count(" | ") == 3
    for name, about in shipped_recipes().items():
        assert f"- `{name}`: {about}" in page
    assert "# yaml-language-server: $schema=" in page


def test_the_page_is_made_by_the_module(capsys: pytest.CaptureFixture[str]) -> None:
    main([])
    assert capsys.readouterr().out == markdown()


def test_the_command_that_makes_the_page_says_nothing_else() -> None:
    made = subprocess.run([sys.executable, "-m", "atonce.recipes.reference"], capture_output=True, text=True)
    assert (made.returncode, made.stderr) == (0, "")
    assert made.stdout == markdown()


def test_the_module_writes_comments_into_recipes(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("# Mine\noptim:\n  lr: 1e-3\n")
    main(["--annotate", str(path)])
    assert "# Peak learning rate" in path.read_text()
    assert load_recipe(path).optim.lr == 1e-3


@pytest.mark.parametrize("width", [40, 80, 120])
def test_an_explanation_keeps_to_the_width(width: int) -> None:
    lines = explain(load_recipe("camvid"), "camvid: about", width).splitlines()
    assert lines[0] == "camvid: about"
    # A name, a value and its default stay on one line, however narrow the terminal is.
    assert all(len(line) <= width for line in lines if " = " not in line)


def test_an_explanation_fits_an_ordinary_terminal() -> None:
    assert max(map(len, explain(load_recipe("camvid"), "camvid: about", 80).splitlines())) <= 80


def test_an_explanation_has_every_knob_with_value_default_values_and_meaning() -> None:
    text = explain(load_recipe("camvid", ["optim.lr=0.5"]), "mine", 80)
    flat = " ".join(text.split())
    for section in knob_sections():
        assert section.meaning in flat or not section.name
        for knob in section.knobs:
            assert f"\n  {knob.name} = " in text
            assert f"{knob.meaning} Values: {knob.kind}." in flat
    assert "\n  optim.lr = 0.5 (default 0.0001)\n" in text
    assert "\n  optim.poly_power = 0.9\n" in text


def test_every_knob_has_a_description_in_the_json_schema() -> None:
    schema = json_schema()
    for name, definition in {"Recipe": schema, **schema["$defs"]}.items():
        assert "\n" not in definition["description"]
        for key, field in definition["properties"].items():
            assert "$ref" in field or len(field["description"]) > 20, f"{name}.{key}"
    assert schema["$defs"]["OptimConfig"]["properties"]["lr"]["description"].startswith("Peak learning rate")
    assert json.loads(json.dumps(schema)) == schema


@pytest.mark.parametrize("name", shipped_recipes())
def test_shipped_recipes_are_valid_by_the_json_schema(name: str) -> None:
    text = (resources.files("atonce.recipes") / "shipped" / f"{name}.yaml").read_text("utf-8")
    schema = json_schema()
    assert mistakes(yaml.load(text, Yaml12), schema, schema) == []
    assert mistakes(load_recipe(name).model_dump(mode="json"), schema, schema) == []


@pytest.mark.parametrize(
    ("recipe", "mistake"),
    [
        ({"optim": {"lrr": 1}}, ".optim: the key lrr is not known"),
        ({"optim": {"lr": 0}}, ".optim.lr: 0 is out of range"),
        ({"optim": {"lr": "fast"}}, ".optim.lr: 'fast' is no number"),
        ({"model": {"stride": 7}}, ".model.stride: 7 is not one of [8, 16, 32]"),
        ({"model": {"skip_scales": [1]}}, ".model.skip_scales: [1] is none of the alternatives"),
        ({"data": {"crop": [1, 2, 3]}}, ".data.crop: 3 items"),
        ({"train": {"checkpoint": True}}, ".train: the key checkpoint is not known"),
    ],
)
def test_the_json_schema_knows_mistakes(recipe: dict[str, Any], mistake: str) -> None:
    schema = json_schema()
    assert mistakes(recipe, schema, schema) == [mistake]
    assert mistakes(Recipe().model_dump(mode="json"), schema, schema) == []
