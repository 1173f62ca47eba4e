"""Training on data that lies or is annotated in its own way: named folders, shapes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from atonce.evaluation import evaluate
from atonce.training import train
from tests import tiny
from tests.commands import Command
from tests.data.annotation_trees import labelme_shape, write_labelme


def _settings(*overrides: str) -> list[str]:
    return [o for o in (*tiny.SETTINGS, *overrides) if not o.startswith("data.format")]


def _odd(root: Path) -> Path:
    """Streets whose folders nothing recognises."""
    tiny.streets(root / "made")
    for kind, name in (("images", "pics"), ("masks", "by_hand")):
        (root / "data" / name).mkdir(parents=True)
        for split in ("train", "val"):
            for path in (root / "made" / split / kind).iterdir():
                path.rename(root / "data" / name / path.name)
    (root / "made" / "classes.yaml").rename(root / "data" / "classes.yaml")
    return root / "data"


def test_named_folders_are_kept_in_the_recipe_and_the_run_can_be_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, out = _odd(tmp_path), tmp_path / "run"
    arguments: dict[str, Any] = {"recipe": "streets", "out": out, "progress": False}
    first = train(data, images="pics", masks=data / "by_hand", overrides=_settings("train.steps=2"), **arguments)
    assert first.steps == 2 and first.evaluation is not None
    recipe = yaml.safe_load((out / "recipe.yaml").read_text())
    assert (recipe["data"]["images"], recipe["data"]["masks"]) == ("pics", "by_hand")
    monkeypatch.chdir(out)
    again = train(data, out=out, resume=True, overrides=["train.steps=4"], progress=False)
    assert again.steps == 4
    # The model knows where its data lie: "val" is what it has not seen.
    scores = evaluate(out, data, quick=True, progress=False).to_json()
    assert scores["mean_iou"] == again.scores["mean_iou"] or np.isfinite(scores["mean_iou"])


def test_the_commands_take_named_folders(tmp_path: Path, atonce: Command) -> None:
    data, run = _odd(tmp_path), tmp_path / "run"
    folders = ("--images", "pics", "--masks", "by_hand")
    assert atonce("doctor", data, *folders, "--write-masks", tmp_path / "out").code == 0
    assert (tmp_path / "out" / "classes.yaml").is_file()
    words = [word for o in _settings("train.steps=1", "train.validate_every=1") for word in ("--set", o)]
    assert atonce("train", data, "--recipe", "streets", "--out", run, *folders, *words).code == 0
    given = atonce("evaluate", run, data, *folders, "--quick", "--json")
    known = atonce("evaluate", run, data, "--quick", "--json")
    assert given.code == known.code == 0 and given.out == known.out and "mean_iou" in json.loads(given.out)


def test_folders_that_are_not_there_are_refused_before_anything_else(tmp_path: Path, atonce: Command) -> None:
    data = _odd(tmp_path)
    mistake = atonce("train", data, "--images", "pixs", "--masks", "by_hand", "--weights", "none").mistake
    assert "--images pixs is no folder" in mistake and "there are by_hand, pics" in mistake
    assert "--images without --masks" in atonce("doctor", data, "--images", "pics", "--json").out


def test_polygons_are_trained_on(tmp_path: Path) -> None:
    """The cache on disk, workers and the fingerprint take annotations as they take mask files."""
    rng = np.random.default_rng(0)
    for i in range(8):
        Image.fromarray(rng.integers(0, 256, (48, 64, 3), dtype=np.uint8)).save(tmp_path / f"{i}.png")
        box = [(4 * i, 8), (4 * i + 20, 8), (4 * i + 20, 40), (4 * i, 40)]
        path = write_labelme(tmp_path / f"{i}.json", f"{i}.png", [labelme_shape("road", box)])
        text = json.loads(path.read_text())
        path.write_text(json.dumps({**text, "imageHeight": 48, "imageWidth": 64}))
    overrides = [*_settings("train.steps=4", "data.cache=disk"), "data.format=labelme"]
    run = train(tmp_path, recipe="streets", out=tmp_path / "run", overrides=overrides, progress=False)
    assert run.steps == 4 and run.evaluation is not None
    assert [entry["name"] for entry in run.scores["classes"]] == ["background", "road"]
