"""atonce recipes: what it lists, shows and explains."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from atonce.recipes import shipped_recipes
from tests.commands import Command


def test_recipes_are_listed_and_shown_in_full(atonce: Command) -> None:
    listed = atonce("recipes")
    assert listed.code == 0
    assert [line.split()[0] for line in listed.out.splitlines()] == list(shipped_recipes())
    shown = atonce("recipes", "streets")
    assert yaml.safe_load(shown.out)["model"]["width"] == 0.25
    assert "# Factor on the channels of the trunk" in shown.out


def test_every_knob_of_a_recipe_is_explained(atonce: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    shown = atonce("recipes", "streets", "--explain")
    assert shown.code == 0
    assert shown.out.startswith("streets: Generated street scenes")
    assert "\n  model.width = 0.25 (default 1.0)\n    Factor on the channels of the trunk" in shown.out
    assert max(map(len, shown.out.splitlines())) <= 80
    mine = tmp_path / "mine.yaml"
    mine.write_text("optim: {lr: 0.5}")
    assert "\n  optim.lr = 0.5 (default 0.0001)\n" in atonce("recipes", mine, "--explain").out
    assert "(default" not in atonce("recipes", "--explain").out


def test_editors_get_the_json_schema_of_a_recipe(atonce: Command) -> None:
    schema = json.loads(atonce("recipes", "--schema").out)
    assert schema["properties"]["weights"]["description"].startswith("Pretrained VGG-16")
    assert "--schema with --explain" in atonce("recipes", "--schema", "--explain").mistake
    assert "--schema with streets" in atonce("recipes", "streets", "--schema").mistake
