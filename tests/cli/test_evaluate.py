"""atonce evaluate, word for word as a user gives it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from atonce.data import open_dataset
from atonce.evaluation.kitti_scores import read_ground_truth_rgb
from atonce.inference import load
from atonce.labels import CAMVID, KITTI_ROAD, LabelSpec
from atonce.metrics.kitti_road.road_evaluator import RoadEvaluator
from tests.commands import Command
from tests.data import trees
from tests.data.road_trees import data_road
from tests.networks import save_model

NAMES = [f"{group}_{i:06}" for group in ("um", "umm", "uu") for i in range(3)]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return data_road(tmp_path / "data_road", "training", NAMES)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return save_model(tmp_path / "model.safetensors")


def found_by(atonce: Command, *words: object) -> Any:
    done = atonce("evaluate", *words, "--json")
    assert done.code == 0, done.err
    return json.loads(done.out)


def refused(atonce: Command, *words: object) -> str:
    outcome = atonce("evaluate", *words)
    assert outcome.out == ""
    assert outcome.err == outcome.mistake + "\n", "one line"
    return outcome.mistake


def test_road_scores_per_category(atonce: Command, data: Path, model: Path) -> None:
    found = found_by(atonce, model, data, "--metric", "road")
    assert {name: row["pictures"] for name, row in found["road"]["categories"].items()} == {
        "um_road": 1,
        "umm_road": 1,
        "uu_road": 1,
    }
    expected, predictor = RoadEvaluator(), load(model)
    for item in open_dataset(data).split("val"):
        assert item.mask_file is not None
        expected.add(predictor(item.image).probabilities[1], read_ground_truth_rgb(item.mask_file))
    assert found["road"]["pooled"].items() >= expected.scores().to_json().items()
    assert (found["split"], found["road"]["view"]) == ("val", "picture")
    assert {"boundary", "calibration", "confusion", "classes"} <= found.keys()


def test_all_is_train_and_val_and_only_picks_by_name(atonce: Command, data: Path, model: Path) -> None:
    found = found_by(atonce, model, data, "--metric", "road", "--split", "all", "--birdseye")
    assert found["road"]["pooled"]["pictures"] == 9
    assert found["road"]["view"] == "above"
    found = found_by(atonce, model, data, "--split", "all", "--only", "um_*", "--only", "uu_000001")
    assert sorted(row["name"] for row in found["pictures"]) == ["um_000000", "um_000001", "um_000002", "uu_000001"]
    assert "road" not in found


def test_the_table_fits_a_terminal(atonce: Command, data: Path, model: Path) -> None:
    done = atonce("evaluate", model, data, "--metric", "road", "--boundary", "2")
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert max(map(len, lines)) <= 80
    assert "every pixel is predicted as" in done.out, "which the scores of road do not show"
    head = next(line for line in lines if "MaxF" in line)
    assert head.split() == ["category", "pictures", "MaxF", "AP", "PRE", "REC", "FPR", "FNR", "threshold"]
    assert [line.split()[0] for line in lines if line.startswith((" u", " pooled"))] == [
        "um_road",
        "umm_road",
        "uu_road",
        "pooled",
    ]
    assert re.fullmatch(
        r"as drawn, road where more likely than not: REC \d+\.\d\d, FPR \d+\.\d\d \(in the picture\)", lines[-2]
    )
    assert lines[-1].startswith("boundary F1 0.")
    assert "(within 2 pixels), calibration error 0." in lines[-1]


def test_out_holds_everything(atonce: Command, data: Path, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "out"
    done = atonce("evaluate", model, data, "--metric", "road", "--split", "all", "--out", out)
    assert done.code == 0, done.err
    assert str(out / "report.html") in done.out.replace("\n", "")
    names = {path.name for path in out.iterdir()}
    assert names == {
        "evaluation.json",
        "classes.csv",
        "pictures.csv",
        "gallery",
        "gallery.json",
        "run.json",
        "report.html",
    }
    page = (out / "report.html").read_text("utf-8")
    assert page.count("Precision over recall of ") == 4, "three categories and all of them pooled"
    for told in (
        "MaxF of road",
        "As drawn, road where more likely than not",
        "Road, as KITTI scores it",
        "Reliability diagram",
        "Boundary F1",
        "Scores on kitti-road",
    ):
        assert told in page
    about = json.loads((out / "run.json").read_text())
    assert (about["split"], about["data"]["pictures"]) == ("all", 9)
    assert len((out / "pictures.csv").read_text().splitlines()) == 10
    assert len(json.loads((out / "gallery.json").read_text())) == 9


def test_a_camvid_model_knows_a_road(atonce: Command, data: Path, tmp_path: Path) -> None:
    model = save_model(tmp_path / "camvid.safetensors", CAMVID, format="camvid", ground_truth=None)
    found = found_by(atonce, model, data, "--metric", "road")
    assert [row["name"] for row in found["classes"]] == ["background", "road"]
    expected, predictor = RoadEvaluator(), load(model)
    for item in open_dataset(data).split("val"):
        assert item.mask_file is not None
        expected.add(predictor(item.image).probabilities[3], read_ground_truth_rgb(item.mask_file))
    assert found["road"]["pooled"]["average_precision"] == pytest.approx(expected.scores().average_precision, abs=1e-3)
    assert "11 classes" in refused(atonce, model, data)
    cats = save_model(tmp_path / "cats.safetensors", LabelSpec.from_names(["cat", "dog"]))
    assert "0 of them named road" in refused(atonce, cats, data, "--metric", "road")


def test_the_ground_truth_is_that_of_the_models_training(atonce: Command, tmp_path: Path) -> None:
    data = data_road(tmp_path / "data_road", "training", NAMES[:3], ("road", "lane"))
    lanes = {"ground_truth": "lane", "split_seed": 0, "val_fraction": 0.4}
    model = save_model(tmp_path / "lanes.safetensors", KITTI_ROAD, **lanes)
    assert list(found_by(atonce, model, data, "--metric", "road")["road"]["categories"]) == ["um_lane"]
    words = (model, data, "--metric", "road", "--ground-truth", "road", "--quick")
    found = found_by(atonce, *words)
    assert list(found["road"]["categories"]) == ["um_road"]
    assert not {"boundary", "calibration"} & found.keys()
    assert "boundary_f1" not in found["pictures"][0]


def test_users_mistakes_are_one_line(atonce: Command, data: Path, model: Path, tmp_path: Path) -> None:
    def told(*words: object) -> str:
        return refused(atonce, *words)

    assert "expected --metric road" in told(model, data, "--birdseye")
    assert "expected one of them" in told(model, data, "--quick", "--boundary", "3")
    assert "no picture of split 'val' is named x*" in told(model, data, "--only", "x*")
    assert "--split all" not in told(model, data, "--split", "all", "--only", "x*")
    assert "no pictures in split 'test'" in told(model, data, "--split", "test")
    assert "metric" in told(model, data, "--metric", "dice")
    camvid = trees.camvid(tmp_path / "camvid")
    assert "format camvid; expected data_road" in told(model, camvid, "--metric", "road")
    assert "ground_truth was given" in told(model, camvid, "--ground-truth", "lane")
    for name in NAMES:
        (data / f"training/calib/{name}.txt").unlink()
    line = told(model, data, "--metric", "road", "--birdseye")
    assert "3 of 3 pictures have no camera calibration" in line
    assert "--only" in line


def test_testing_pictures_have_no_ground_truth(atonce: Command, data: Path, model: Path) -> None:
    data_road(data, "testing", ["um_000000"])
    line = refused(atonce, model, data, "--metric", "road", "--split", "test", "--birdseye")
    assert "um_000000 has no mask" in line
    assert "--split" in line


def test_classes_of_any_data(atonce: Command, tmp_path: Path) -> None:
    """What the other formats give: every class, outlines, calibration."""
    data = trees.camvid(tmp_path / "camvid")
    model = save_model(tmp_path / "model.safetensors", CAMVID)
    found = found_by(atonce, model, data)
    assert [row["name"] for row in found["classes"]] == list(CAMVID.names)
    assert {"boundary_f1", "boundary_precision", "boundary_recall"} <= found["classes"][0].keys()
    assert {"boundary_f1", "expected_calibration_error"} <= found["pictures"][0].keys()
    assert np.isclose(sum(one["pixels"] for one in found["calibration"]["bins"]), found["pixels"])
    done = atonce("evaluate", model, data)
    assert done.code == 0, done.err
    assert "0.75 % of the diagonal" in done.out


def test_an_exported_file_is_evaluated_without_knowing_of_quick(atonce: Command, data, model, tmp_path):
    pytest.importorskip("onnx", reason="the extra `export` is not installed")
    import atonce as package

    exported = package.export(model, to="onnx", out=tmp_path / "model.onnx").path
    done = atonce("evaluate", exported, data, "--json")
    scores = json.loads(done.out)
    assert "boundary" in scores
    assert "calibration" not in scores
    note = "calibration error leaves out 3 pictures of 3: this model gives labels for them, but no probabilities"
    assert done.err.splitlines() == ["on cpu (1 thread), onnxruntime", note]
    table = atonce("evaluate", exported, data, "--out", tmp_path / "report")
    assert "calibration error" not in table.out
    assert (tmp_path / "report" / "report.html").is_file()
    both = package.export(model, to="onnx", out=tmp_path / "p.onnx", probabilities=True).path
    assert "calibration" in json.loads(atonce("evaluate", both, data, "--json").out)
