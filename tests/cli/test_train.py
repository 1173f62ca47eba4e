"""atonce train: runs that go on, teachers, weights."""

from __future__ import annotations

import shutil
from pathlib import Path

from atonce.recipes import load_recipe
from tests.commands import Command
from tests.tiny import log_of, set_options


def test_a_run_with_a_teacher_goes_on_with_it(
    atonce: Command, street_data: Path, tiny_model: Path, tmp_path: Path
) -> None:
    words = ("train", street_data, "--out", tmp_path / "run")
    begun = atonce(*words, *set_options("train.steps=2"), "--teacher", tiny_model)
    assert begun.code == 0, begun.err
    done = atonce(*words, "--resume", "--set", "train.steps=4")
    assert done.code == 0, done.err
    assert [row["distillation"] > 0 for row in log_of(tmp_path / "run")] == [True] * 4
    alone = atonce(*words, "--resume", "--set", "train.steps=5", "--teacher", "none")
    assert alone.code == 0, alone.err
    assert log_of(tmp_path / "run")[-1]["distillation"] is None


def test_a_run_goes_on_with_resume_and_keeps_its_recipe(
    atonce: Command, street_data: Path, tiny_run: Path, tmp_path: Path
) -> None:
    run = Path(shutil.copytree(tiny_run, tmp_path / "run"))
    done = atonce("train", street_data, "--out", run, "--resume", "--set", "train.steps=6")
    assert done.code == 0, done.err
    assert [row["step"] for row in log_of(run)] == [1, 2, 3, 4, 5, 6]
    assert load_recipe(run / "recipe.yaml").model.width == 0.125


def test_weights_may_lie_under_names_that_yaml_would_cut(
    atonce: Command, street_data: Path, tiny_model: Path, tmp_path: Path
) -> None:
    weights = tmp_path / "my #1: net.safetensors"
    outcome = atonce("train", street_data, "--out", tmp_path / "run", *set_options(), "--weights", weights)
    assert f"{weights} does not exist" in outcome.mistake
