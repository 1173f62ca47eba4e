"""The whole way through, as a user goes it."""

from __future__ import annotations

import csv
import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from atonce.labels import CAMVID
from atonce.recipes import load_recipe
from tests.commands import Command
from tests.tiny import log_of, set_options


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
    assert re.search(rf"2 of 2 pictures segmented, [\d.]+ pictures/s: {re.escape(str(out))}\n$", segmented.out)
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
