"""The doctor knows KITTI road: what is there of it, which ground truth, whose calibration; and too few pictures."""

from __future__ import annotations

import shutil
from pathlib import Path

from atonce.doctor import Examination, Finding, examine
from tests.data import trees
from tests.doctor.scenes import scenes


def _findings(examination: Examination, kind: str) -> list[Finding]:
    return [finding for finding in examination.findings if finding.kind == kind]


def test_the_sample_has_lanes(real_data: Path) -> None:
    examination = examine(real_data / "data" / "kitti_road_sample")
    (few,) = _findings(examination, "few-pictures")
    assert few.severity == "warning"
    assert few.found == "too few pictures: 1 to train on, 1 to validate with; scores on so few are chance"
    assert few.for_command_line()[1].endswith("or use --ground-truth lane: 11 pictures here have it, 2 have 'road'")
    training, testing = _findings(examination, "kitti-road")
    assert training.found == (
        "11 of the 289 training pictures of KITTI road are there: "
        "um (marked) 11 of 95, umm (several marked lanes) 0 of 96, uu (unmarked) 0 of 98"
    )
    assert "without umm and uu" in training.remedy
    assert testing.found.startswith("9 of the 290 testing pictures of KITTI road are there: um (marked) 1 of 96")
    first, second = _findings(examination, "calibration")
    assert first.found == "10 of 11 training pictures without calibration (training/calib/)" and first.count == 10
    assert second.found == "all 9 testing pictures have their calibration"


def test_with_lanes_nothing_is_too_few(real_data: Path) -> None:
    examination = examine(real_data / "data" / "kitti_road_sample", ground_truth="lane")
    assert examination.count("warning") == 0


def test_the_whole_benchmark_is_known_as_such(tmp_path: Path) -> None:
    root = trees.kitti_road(tmp_path, um=95, umm=96, uu=98, testing=0)
    shutil.rmtree(root / "training" / "calib")
    examination = examine(root)
    training, _ = _findings(examination, "kitti-road")
    assert training.found == "all 289 training pictures of KITTI road are there"
    (calibration,) = _findings(examination, "calibration")
    assert calibration.found == "289 of 289 training pictures without calibration (training/calib/)"
    assert not _findings(examination, "few-pictures")


def test_too_few_pictures_are_a_warning_in_every_format(tmp_path: Path) -> None:
    (few,) = _findings(examine(scenes(tmp_path, train=1, val=1)), "few-pictures")
    assert (few.severity, few.remedy) == ("warning", "label some dozens at least")
