"""A whole study, by one call from Python and by the command."""

from __future__ import annotations

import csv
import json
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from atonce.errors import TrainingError, UserError
from atonce.studies import PlannedRun, RunResult, Study, StudyCallback, ablate
from atonce.studies.study_folder import read_result
from tests.studies.tiny_studies import ablate_command
from tests.tiny import ENVIRONMENT, SETTINGS, log_of
from tests.training.comparisons import TIMES


class RecordCalls(StudyCallback):
    def __init__(self) -> None:
        self.calls: list[str] = []

    def on_run_start(self, run: PlannedRun, *, number: int, total: int, device: str | None) -> None:
        self.calls.append(f"start {number}/{total} {run.title} on {device}")

    def on_run_end(self, run: PlannedRun, result: RunResult) -> None:
        self.calls.append(f"end {run.title}, {result.mean_iou >= 0}")


def names_in(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def without_times(data: Any) -> Any:
    if isinstance(data, dict):
        return {key: without_times(value) for key, value in data.items() if key not in TIMES and key != "sessions"}
    return [without_times(value) for value in data] if isinstance(data, list) else data


def read_json(path: Path) -> Any:
    return without_times(json.loads(path.read_text("utf-8")))


def read_table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return [{key: value for key, value in row.items() if not key.startswith("minutes")} for row in rows]


def test_python_leaves_the_files_that_the_command_leaves(street_data: Path, tmp_path: Path) -> None:
    one, two = tmp_path / "command" / "study", tmp_path / "python" / "study"
    words = ablate_command(street_data, "freeze", one, "--seeds", "2", "--weights", "none", overrides=())
    done = subprocess.run(words, env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    callback = RecordCalls()
    found = ablate(
        str(street_data),
        "freeze",
        recipe="streets",
        overrides=SETTINGS,
        weights="none",
        seeds=2,
        out=str(two),
        callback=callback,
    )
    assert callback.calls[:3] == [
        "start 1/4 trained, seed 0 on None",
        "end trained, seed 0, True",
        "start 2/4 frozen, seed 0 on None",
    ]
    assert len(callback.calls) == 8
    assert names_in(two) == names_in(one)
    for name in (
        "study.json",
        "table.json",
        *(f"{v}/seed-{s}/result.json" for v in ("trained", "frozen") for s in (0, 1)),
    ):
        assert read_json(two / name) == read_json(one / name), name
    assert read_table(two / "table.csv") == read_table(one / "table.csv")
    for run in ("trained/seed-1", "frozen/seed-1"):
        assert [without_times(row) for row in log_of(two / run)] == [without_times(row) for row in log_of(one / run)]
        assert (two / run / "recipe.yaml").read_text("utf-8") == (one / run / "recipe.yaml").read_text("utf-8")
    session = json.loads((two / "study.json").read_text("utf-8"))["sessions"][0]
    assert session.keys() == json.loads((one / "study.json").read_text("utf-8"))["sessions"][0].keys()
    assert found.folder == two
    assert found.table == (two / "table.md").read_text("utf-8")
    assert [(run.variant, run.seed) for run in found.runs] == [
        ("trained", 0),
        ("trained", 1),
        ("frozen", 0),
        ("frozen", 1),
    ]
    assert [(row.variant, row.count) for row in found.rows] == [("trained", "2"), ("frozen", "2")]
    assert [f"- {note}" in found.table for note in found.notes] == [True] * len(found.notes)
    # Called again, it finds everything done.
    again = RecordCalls()
    assert (
        ablate(
            street_data,
            "freeze",
            recipe="streets",
            overrides=SETTINGS,
            weights="none",
            seeds=2,
            out=two,
            callback=again,
        ).runs
        == found.runs
    )
    assert again.calls == []
    with pytest.raises(
        TrainingError,
        match=r"holds the study 'freeze' with the variants trained, frozen; expected .*; choose another `out`",
    ):
        ablate(street_data, "stride", recipe="streets", overrides=SETTINGS, out=two)


def test_crops_that_differ_between_variants_are_told(street_data: Path, tmp_path: Path) -> None:
    """Pictures of 64x48 that a zoom of two makes larger, and a data.crop that is larger than both."""
    variants = {"plain": {"augment.scale": [1, 1]}, "zoomed": {"augment.scale": [1, 2]}}
    notes = {}
    for crop in ([200, 200], [32, 32]):
        overrides = [*SETTINGS, "train.steps=1", f"data.crop={crop}"]
        out = tmp_path / str(crop[0])
        notes[crop[0]] = "\n".join(
            ablate(
                street_data, Study("s", "?", variants), recipe="streets", overrides=overrides, seeds=1, out=out
            ).notes
        )
    assert "crops of different sizes: 64x48 of 'plain', 128x96 of 'zoomed'" in notes[200]
    assert "crops" not in notes[32]


def test_results_of_before_have_no_crop(tmp_path: Path) -> None:
    result = RunResult(
        variant="a",
        seed=0,
        failed=None,
        step=1,
        minutes=1.0,
        best_step=1,
        mean_iou=0.5,
        pixel_accuracy=0.5,
        last_mean_iou=0.5,
        last_pixel_accuracy=0.5,
        skip_scales={},
        fingerprint="x",
        commit="c",
        device="cpu",
        crop=(48, 64),
    )
    result.save(tmp_path)
    assert read_result(tmp_path) == replace(result, crop=[48, 64])
    data = json.loads((tmp_path / "result.json").read_text("utf-8"))
    del data["crop"]
    (tmp_path / "result.json").write_text(json.dumps(data), "utf-8")
    assert read_result(tmp_path) == replace(result, crop=())


def test_the_recipe_goes_by_the_format_of_the_data(street_data: Path, tmp_path: Path) -> None:
    """Refused before anything runs, but after the recipe has been chosen and written down."""
    with pytest.raises(UserError):
        ablate(street_data, "freeze", format="camvid", weights="none", seeds=1, out=tmp_path / "out")
    described = json.loads((tmp_path / "out" / "study.json").read_text("utf-8"))
    assert described["recipe_name"] == "of the data's format"
    assert described["recipe"]["data"]["format"] == "camvid"
    assert described["recipe"]["weights"] is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seeds": 0}, "seeds='0'; expected 1 or more"),
        ({"devices": ["cuda:99"]}, "devices='cuda:99'; expected some of cpu"),
        ({"overrides": ["model.strid=8"]}, "unknown key 'model.strid'"),
        ({"recipe": "street"}, "no recipe 'street'"),
    ],
)
def test_mistakes(options: dict[str, Any], message: str, street_data: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        ablate(street_data, "freeze", out=tmp_path / "out", **options)
    assert message in str(caught.value)
    assert not (tmp_path / "out").exists()
