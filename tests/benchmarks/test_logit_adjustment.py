"""The table of what class weights cost a trained network."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from atonce import open_dataset
from atonce.evaluation.scoring import score_items
from atonce.inference import load
from atonce.training.setup import set_up
from benchmarks.logit_adjustment import main, weights_of
from tests.tiny import tiny_recipe


def with_weights(run: Path, rule: str, folder: Path) -> Path:
    """Copy a run as if it had been trained with class weights."""
    shutil.copytree(run, folder)
    recipe = yaml.safe_load((folder / "recipe.yaml").read_text("utf-8"))
    recipe["loss"]["class_weights"] = rule
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe), "utf-8")
    return folder


def test_factor_0_is_the_evaluation_and_1_moves_it(
    tiny_run: Path, street_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(str(with_weights(tiny_run, "median-frequency", tmp_path / "run")), str(street_data))
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| ") and line[2].isdigit()]
    rows = {line.split("|")[1].strip(): line.split("|")[2:] for line in lines}
    assert list(rows) == ["0", "0.25", "0.5", "0.75", "1"]
    dataset = open_dataset(street_data)
    expected = score_items(load(tiny_run, device="cpu"), dataset, dataset.split("val")).confusion
    assert float(rows["0"][0]) == pytest.approx(expected.mean_iou, abs=1e-4)
    assert float(rows["0"][1]) == pytest.approx(expected.pixel_accuracy, abs=1e-4)
    assert rows["1"] != rows["0"]


def test_the_weights_are_those_of_the_training(street_data: Path, tmp_path: Path) -> None:
    recipe = tiny_recipe("loss.class_weights=sqrt-median-frequency")
    weights = weights_of(recipe, open_dataset(street_data))
    trained = set_up(recipe, street_data, tmp_path / "run").class_weights
    assert weights is not None
    assert trained is not None
    assert weights.tolist() == trained.tolist()


def test_a_run_without_weights_is_a_line(tiny_run: Path, street_data: Path, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="no class weights"):
        main(str(with_weights(tiny_run, "none", tmp_path / "run")), str(street_data))
