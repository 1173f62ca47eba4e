"""The whole way through, as a user goes it."""

from __future__ import annotations

import csv
import json
import math
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from atonce.labels import CAMVID
from atonce.recipes import load_recipe, shipped_recipes
from tests.commands import Command
from tests.data import trees
from tests.tiny import ENVIRONMENT, log_of, set_options

COMMANDS = ("streets", "demo", "train", "evaluate", "predict", "recipes", "weights")


def test_streets_train_evaluate_predict(atonce: Command, tmp_path: Path) -> None:
    data, run, out = tmp_path / "data", tmp_path / "run", tmp_path / "out"

    made = atonce("streets", data, "--train", 4, "--val", 2, "--height", 48, "--width", 64)
    assert (made.code, made.out) == (0, f"4 training and 2 validation scenes in {data}\n")
    assert sorted(path.name for path in data.iterdir() if path.is_dir()) == ["train", "val"]

    trained = atonce("train", data, "--out", run, *set_options(), "--seed", 7)
    assert trained.code == 0, trained.err
    assert "step 4: mean IoU" in trained.err
    for told in (f"model    {run / 'model.safetensors'}", f"report   {run / 'report.html'}", "best at step 4"):
        assert told in trained.out
    assert re.search(r"^waited for data: \d+\.\d %", trained.out, re.MULTILINE)
    assert re.search(r"mean IoU 0\.\d{4}, pixel accuracy 0\.\d{4}", trained.out)
    assert all(name in trained.out for name in CAMVID.names)
    assert_run_is_complete(run)

    scored = atonce("evaluate", run / "model.safetensors", data, "--json")
    assert scored.code == 0, scored.err
    scores = json.loads(scored.out)
    assert scores["mean_iou"] == pytest.approx(json.loads((run / "evaluation.json").read_text())["mean_iou"])
    assert scores["split"] == "val"
    assert np.array(scores["confusion"]).shape == (11, 11)

    table = atonce("evaluate", run / "model.safetensors", data, "--split", "train", "--out", tmp_path / "scores")
    assert table.code == 0, table.err
    assert "pixel accuracy" in table.out
    assert f"{data} (train)" in table.out
    names = {path.name for path in (tmp_path / "scores").iterdir()}
    assert {"evaluation.json", "classes.csv", "pictures.csv", "report.html", "gallery"} <= names

    pictures = data / "val" / "images"
    segmented = atonce("predict", run / "model.safetensors", pictures, "--out", out, "--probabilities")
    assert segmented.code == 0, segmented.err
    assert segmented.out.endswith(f"2 of 2 pictures segmented: {out}\n")
    for picture in pictures.iterdir():
        with Image.open(out / "labels" / picture.name) as labels:
            assert (labels.mode, labels.size) == ("P", (64, 48))
        assert np.load(out / "probabilities" / f"{picture.stem}.npy").shape == (11, 48, 64)
        assert (out / "overlays" / f"{picture.stem}.jpg").is_file()


def assert_run_is_complete(run: Path) -> None:
    recipe = load_recipe(run / "recipe.yaml")
    assert (recipe.train.seed, recipe.model.width) == (7, 0.125)
    assert yaml.safe_load((run / "recipe.yaml").read_text())["optim"]["poly_power"] == 0.9, "defaults are written out"
    log = log_of(run)
    assert [row["step"] for row in log] == [1, 2, 3, 4]
    assert all(row["loss"] == pytest.approx(row["cross_entropy"] + row["l2"]) for row in log)
    assert all(math.isfinite(row["grad_norm"]) for row in log)
    with (run / "metrics.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert row["step"] == "4"
    assert {f"iou {name}" for name in CAMVID.names} <= row.keys()
    for name in ("model.safetensors", "last.safetensors", "state/state.safetensors", "evaluation.json", "run.json"):
        assert (run / name).stat().st_size > 0, name
    assert len(list((run / "pictures").glob("*_000004.jpg"))) == 1
    page = (run / "report.html").read_text("utf-8")
    assert "<html" in page
    assert not re.search(r"""(src|href)=["']https?:""", page), "the report is to be one file"


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


def test_a_broken_picture_is_told_and_the_rest_is_segmented(atonce: Command, tiny_model: Path, tmp_path: Path) -> None:
    trees.save(tmp_path / "in" / "good.png", trees.picture(0))
    (tmp_path / "in" / "bad.png").write_text("not a picture")
    outcome = atonce("predict", tiny_model, tmp_path / "in", "--out", tmp_path / "out")
    assert "bad.png is not a picture" in outcome.mistake
    assert "1 of 2 pictures segmented" in outcome.out
    assert [path.name for path in (tmp_path / "out" / "labels").iterdir()] == ["good.png"]


def test_weights_may_lie_under_names_that_yaml_would_cut(
    atonce: Command, street_data: Path, tiny_model: Path, tmp_path: Path
) -> None:
    weights = tmp_path / "my #1: net.safetensors"
    outcome = atonce("train", street_data, "--out", tmp_path / "run", *set_options(), "--weights", weights)
    assert f"{weights} does not exist" in outcome.mistake


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


def test_the_version_is_shown(atonce: Command) -> None:
    from atonce import __version__

    assert atonce("--version").out == f"atonce {__version__}\n"


def test_help_names_the_commands_and_costs_no_torch() -> None:
    code = """
import sys
sys.argv = ["atonce", "--help"]
from atonce.cli import main
try:
    main()
finally:
    print("HEAVY", sorted({"torch", "numpy", "kornia", "accelerate", "matplotlib", "PIL"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=ENVIRONMENT, timeout=60)
    assert done.returncode == 0, done.stderr
    assert all(re.search(rf"\b{name}\b", done.stdout) for name in COMMANDS)
    assert "HEAVY []" in done.stdout


def test_importing_atonce_costs_no_torch() -> None:
    code = (
        "import sys, atonce; print(sorted({'torch', 'numpy', 'PIL', 'typer'} & set(sys.modules)), atonce.load.__name__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=ENVIRONMENT, timeout=60)
    assert done.stdout == "[] load\n", done.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_a_help(atonce: Command, command: str) -> None:
    shown = atonce(command, "--help")
    assert shown.code == 0
    assert "Usage: atonce" in shown.out


def test_every_public_name_is_there() -> None:
    import atonce

    assert all(getattr(atonce, name) is not None for name in atonce.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        atonce.nonsense  # noqa: B018
