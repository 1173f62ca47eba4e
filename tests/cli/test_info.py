"""atonce info: this machine, and a model."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch

import atonce as package
from atonce.inference.information import changed_knobs
from atonce.model_file import read_metadata
from atonce.recipes import Recipe, load_recipe
from tests.cli.test_json_documents import PAGE, documented
from tests.commands import Command
from tests.tiny import tiny_recipe


def test_the_machine_alone(atonce: Command) -> None:
    done = atonce("info", "--json")
    told = json.loads(done.out)
    assert set(told) == documented("info")
    assert told["model"] is None
    assert told["packages"]["torch"] == torch.__version__
    assert told["threads"]["torch"] == torch.get_num_threads()
    assert told["devices"][0]["name"] == "cpu"
    assert told == json.loads(json.dumps(package.info()))
    text = atonce("info").out
    assert f"torch {torch.__version__}" in text
    assert "(by default)" in text


def test_the_extras_are_those_of_the_package() -> None:
    text = (PAGE.parents[1] / "pyproject.toml").read_text("utf-8")
    section = text.partition("[project.optional-dependencies]")[2].partition("\n[project.scripts]")[0]
    declared = dict(re.findall(r"^(\w+) = \[(.*?)\]$", section, re.MULTILINE | re.DOTALL))
    wanted = {name: set(re.findall(r'"([\w-]+)', packages)) for name, packages in declared.items()}
    told = {name: set(versions) for name, versions in package.info()["extras"].items()}
    assert set(told) == set(wanted) - {"dev", "dist", "docs"}
    assert all(told[name] == wanted[name] for name in told)


def test_a_model_says_what_is_in_it(atonce: Command, tiny_run: Path) -> None:
    told = json.loads(atonce("info", tiny_run, "--json").out)["model"]
    inner = PAGE.read_text("utf-8").partition("(of a model: ")[2].partition(")")[0]
    assert {f"`{key}`" for key in told} == set(inner.split(", "))
    recorded = read_metadata(tiny_run / "model.safetensors")
    for key in ("architecture", "skip_scales", "preprocessing", "input_size", "training_data", "recipe"):
        assert told[key] == recorded[key]
    assert told["scores"]["mean_iou"] == recorded["scores"]["mean_iou"]
    assert [row["name"] for row in told["classes"]] == recorded["labels"]["names"]
    assert [row["mask_value"] for row in told["classes"]] == recorded["labels"]["mask_values"]


def test_a_model_in_words(atonce: Command, tiny_run: Path) -> None:
    done = atonce("info", tiny_run)
    assert done.code == 0, done.err
    scores = read_metadata(tiny_run / "model.safetensors")["scores"]
    for text in (
        "FCN-8s",
        "pictures are seen at their own size",
        "folder: 6 train, 3 val",
        f"mean IoU {scores['mean_iou']:.4f}",
        "model.width=0.125",
        "Pedestrian",
    ):
        assert text in done.out


def test_a_damaged_model_is_one_line(atonce: Command, tiny_model: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "model.safetensors"
    damaged.write_bytes(tiny_model.read_bytes()[:-4000])
    assert "damaged" in atonce("info", damaged).mistake
    assert "does not exist" in atonce("info", tmp_path / "no.safetensors").mistake


def test_the_recipe_is_what_differs_from_the_defaults() -> None:
    recipe = tiny_recipe("optim.lr=0.5").model_dump(mode="json")
    changed = changed_knobs(recipe)
    assert changed["optim.lr"] == 0.5
    assert "model.stride" not in changed
    assert changed_knobs({"weights": None, "old": {"knob": 1}}) == {"old.knob": 1}


def test_the_recipe_is_a_knob_a_line_as_set_takes_them(
    atonce: Command, tiny_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("atonce.progress.terminal_columns", lambda console: 80)
    lines = atonce("info", tiny_run).out.splitlines()
    assert max(map(len, lines)) <= 80 or all("/" in line for line in lines if len(line) > 80), "paths stay whole"
    first = next(index for index, line in enumerate(lines) if line.startswith("recipe    "))
    last = next(index for index, line in enumerate(lines) if line.startswith("scores    "))
    knobs = [line[10:] for line in lines[first:last]]
    assert "model.width=0.125" in knobs and len(knobs) > 3
    recipe = load_recipe(Recipe(), knobs)
    assert recipe.model_dump(mode="json") == load_recipe(tiny_run / "recipe.yaml").model_dump(mode="json")
