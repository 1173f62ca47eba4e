"""Comments in recipes: those of the schema, above every knob, and the author's own beside them."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import pytest
import yaml

from atonce.recipes import Recipe, load_recipe, shipped_recipes, to_yaml
from atonce.recipes.knobs import knob_sections
from atonce.recipes.yaml_comments import annotate

SHIPPED = resources.files("atonce.recipes") / "shipped"

MINE = """\
# Mine
weights: null
# Here: because the trunk is small,
# and new.
model:
    # an old comment, which goes
    width: 0.5  # the author's, on the line of the value

    head_width: 256
unknown:
  key: 1
"""


def comments(text: str) -> dict[str, str]:
    """Full name of each section and knob in a recipe -> the comment above it, as one line."""
    found: dict[str, str] = {}
    section, above = "", list[str]()
    for line in text.splitlines():
        if line.lstrip().startswith("#"):
            above.append(line.lstrip().removeprefix("# "))
        elif line.strip():
            key = line.strip().partition(":")[0]
            section = section if line.startswith(" ") else ""
            found[f"{section}{key}"] = " ".join(above)
            section, above = section or f"{key}.", []
    return found


def test_the_recipe_of_a_run_explains_every_section_and_knob() -> None:
    text = to_yaml(load_recipe("camvid-small"))
    found = comments(text)
    for section in knob_sections():
        for knob in section.knobs:
            assert found.pop(knob.name).endswith(f"{knob.meaning} ({knob.facts})")
        if section.name:
            assert found.pop(section.name) == section.meaning
    assert not found
    assert max(map(len, text.splitlines())) <= 120
    assert max(len(line) for line in text.splitlines() if line.lstrip().startswith("#")) <= 80


def test_the_recipe_of_a_run_is_always_the_same_text() -> None:
    assert to_yaml(load_recipe("voc")) == to_yaml(load_recipe("voc"))
    assert "  lr: 0.0003\n" in to_yaml(load_recipe("folder"))
    assert "  crop: [320, 416]\n" in to_yaml(load_recipe("folder"))


def test_a_recipe_from_before_comments_still_loads(tmp_path: Path) -> None:
    recipe = load_recipe("streets")
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False))
    assert load_recipe(path) == recipe


@pytest.mark.parametrize("weights", ["null", "a b #c.pth", "two\nlines", "'\"", "é", "1e-4", "", "x: y", " "])
def test_any_text_survives(weights: str, tmp_path: Path) -> None:
    recipe = Recipe(weights=weights)
    path = tmp_path / "recipe.yaml"
    path.write_text(to_yaml(recipe), "utf-8")
    assert load_recipe(path) == recipe


@pytest.mark.parametrize("name", shipped_recipes())
def test_comments_of_a_shipped_recipe_are_those_of_the_schema(name: str) -> None:
    text = (SHIPPED / f"{name}.yaml").read_text("utf-8")
    assert text == annotate(text), "run `make docs-recipes`"
    found, given = comments(text), yaml.safe_load(text)
    for section in knob_sections():
        for knob in section.knobs:
            if knob.key in (given.get(section.name, {}) if section.name else given):
                assert f"{knob.meaning} ({knob.facts})" in found[knob.name]


def test_authors_comments_stay_and_old_ones_go() -> None:
    text = annotate(MINE)
    found = comments(text)
    assert text.startswith("# Mine\n# Pretrained VGG-16: ")
    assert found["model"].endswith("section 4. Here: because the trunk is small, and new.")
    assert "an old comment" not in text
    assert "    width: 0.5  # the author's, on the line of the value\n" in text
    assert found["model.head_width"].startswith("Channels of fc6 and fc7")
    assert found["unknown.key"] == ""
    assert yaml.safe_load(text) == yaml.safe_load(MINE)
    assert annotate(text) == text


def test_the_file_that_a_run_wrote_can_be_annotated_again() -> None:
    text = to_yaml(load_recipe("folder"))
    assert yaml.safe_load(annotate(text)) == yaml.safe_load(text)
