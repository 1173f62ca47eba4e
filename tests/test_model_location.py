"""MODEL and DATA in each other's place are recognised, and said."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import atonce as package
from atonce.errors import UserError
from tests.commands import Command


@pytest.mark.parametrize("command", ["evaluate", "predict"])
@pytest.mark.parametrize("which", ["run folder", "model file"])
def test_swapped_model_and_data_are_said(
    atonce: Command, street_data: Path, tiny_run: Path, command: str, which: str
) -> None:
    model = tiny_run if which == "run folder" else tiny_run / "model.safetensors"
    told = atonce(command, street_data, model).mistake
    assert told == (
        f"atonce: {street_data} is no model, but {model} is one; expected the model first, then the data; swap them: "
        f"`atonce {command} {model} {street_data}`"
    )


def test_the_remedy_can_be_copied_whatever_the_names_are(
    atonce: Command, street_data: Path, tiny_model: Path, tmp_path: Path
) -> None:
    data, model = tmp_path / "neue Bilder", tmp_path / "Meine Straßen.safetensors"
    shutil.copytree(street_data, data)
    model.write_bytes(tiny_model.read_bytes())
    told = " ".join(atonce("evaluate", data, model).mistake.split())
    assert f"swap them: `atonce evaluate '{model}' '{data}'`" in told


def test_a_picture_before_a_model_is_said(atonce: Command, street_data: Path, tiny_model: Path) -> None:
    picture = min((street_data / "val" / "images").iterdir())
    assert f"{picture} is no model, but {tiny_model} is one" in atonce("predict", picture, tiny_model).mistake


def test_submit_says_it_too(street_data: Path, tiny_run: Path) -> None:
    with pytest.raises(UserError, match=r"is no model, but .* is one"):
        package.submit(street_data, tiny_run)


def test_two_that_are_no_models_are_told_as_before(atonce: Command, street_data: Path) -> None:
    assert f"{street_data} holds no model.safetensors" in atonce("evaluate", street_data, street_data).mistake


def test_a_model_file_of_any_name_is_a_model(tiny_model: Path, street_data: Path, tmp_path: Path) -> None:
    copy = tmp_path / "mine"
    copy.write_bytes(tiny_model.read_bytes())
    assert package.evaluate(copy, street_data, quick=True, progress=False).pictures


def test_the_help_says_what_a_model_can_be(atonce: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    for command in ("predict", "evaluate", "serve", "submit"):
        said = atonce(command, "--help").out
        assert "A run folder (its best model), a model file (.safetensors), an exported one (.onnx, .xml)" in said
        assert "packaged" in said and "hf://user/name" in said
