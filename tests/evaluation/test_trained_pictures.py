"""An evaluation that comes to score pictures of the training split says so, whichever way they got there."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from atonce import evaluate
from atonce.data import open_dataset
from atonce.training import run_training
from tests.data.road_trees import data_road
from tests.systems import needs_pipes
from tests.tiny import tiny_recipe

SAID = "that the model was trained on"


def warnings_of(run: Path, data: Path, **options: object) -> list[str]:
    notes: list[str] = []
    evaluate(run, data, quick=True, progress=False, on_note=notes.append, **options)  # type: ignore[arg-type]
    return [note for note in notes if SAID in note]


@pytest.fixture(scope="module")
def road(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A model of the lane: some pictures have its ground truth, two of them that of the whole road, too."""
    folder = tmp_path_factory.mktemp("road")
    data = data_road(folder / "data", "training", [f"um_{i:06d}" for i in range(8)], ("lane",), size=(48, 64))
    run_training(tiny_recipe("data.ground_truth=lane", "data.format=kitti-road"), data, folder / "run")
    for i in range(8):
        lane = data / "training" / "gt_image_2" / f"um_lane_{i:06d}.png"
        shutil.copy(lane, lane.with_name(f"um_road_{i:06d}.png"))
    return data, folder / "run"


def test_another_ground_truth_with_another_split(road: tuple[Path, Path], tmp_path: Path) -> None:
    data, run = road
    assert warnings_of(run, data) == [], "its own split"
    few = shutil.copytree(data, tmp_path / "data")
    trained = [item.name for item in open_dataset(data, ground_truth="lane").split("train")]
    for i in range(8):
        if f"um_{i:06d}" not in trained[:2]:
            (few / "training" / "gt_image_2" / f"um_road_{i:06d}.png").unlink()
    (said,) = warnings_of(run, few, ground_truth="road")
    assert said.startswith("warning: 1 of the 1 scored (um_0") and SAID in said


def test_a_changed_split(tiny_run: Path, street_data: Path, tmp_path: Path) -> None:
    changed = Path(shutil.copytree(street_data, tmp_path / "data"))
    for kind in ("images", "masks"):
        shutil.copytree(changed / "train" / kind, changed / "val" / kind, dirs_exist_ok=True)
        shutil.rmtree(changed / "train" / kind)
        shutil.copytree(street_data / "val" / kind, changed / "train" / kind)
    (said,) = warnings_of(tiny_run, changed)
    assert said.startswith("warning: 6 of the 9 scored (")
    assert warnings_of(tiny_run, street_data) == []


def test_who_asks_for_the_training_split_gets_it(tiny_run: Path, street_data: Path) -> None:
    assert warnings_of(tiny_run, street_data, split="train") == []
    assert warnings_of(tiny_run, street_data, split="all") == []


def test_without_a_run_folder_nothing_is_known(tiny_model: Path, street_data: Path, tmp_path: Path) -> None:
    alone = shutil.copy(tiny_model, tmp_path)
    assert warnings_of(Path(alone), street_data, split="val") == []


@needs_pipes
def test_a_pipe_in_the_place_of_the_record_is_not_waited_for(
    tiny_model: Path, street_data: Path, tmp_path: Path
) -> None:
    """A run folder may be a stranger's."""
    alone = shutil.copy(tiny_model, tmp_path)
    os.mkfifo(tmp_path / "data.json")
    assert warnings_of(Path(alone), street_data) == []
