"""atonce submit, word for word as a user gives it."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from atonce.labels import CAMVID, KITTI_ROAD, LabelSpec
from tests.commands import Command
from tests.data.road_trees import data_road
from tests.networks import save_model


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return data_road(tmp_path / "data_road", "testing", ["um_000000", "umm_000003", "uu_000002"])


def names_in(path: str | Path) -> list[str]:
    with zipfile.ZipFile(path) as archive:
        return archive.namelist()


@pytest.mark.parametrize("given", ["", "testing"])
def test_a_submission(atonce: Command, data: Path, tmp_path: Path, given: str) -> None:
    model = save_model(tmp_path / "model.safetensors")
    done = atonce("submit", model, data / given, "--out", tmp_path / "zips/out.zip")
    assert (done.code, done.out) == (0, f"3 views from above (road): {tmp_path / 'zips/out.zip'}\n"), done.err
    assert done.err.endswith("incomplete: 287 of the benchmark's 290 testing pictures for road are not in it\n")
    assert names_in(tmp_path / "zips/out.zip") == ["um_road_000000.png", "umm_road_000003.png", "uu_road_000002.png"]


def test_by_default_it_lies_here(atonce: Command, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert atonce("submit", save_model(tmp_path / "m.safetensors", CAMVID), data).code == 0
    assert len(names_in("submission.zip")) == 3


def test_a_model_of_lanes_submits_lanes(atonce: Command, data: Path, tmp_path: Path) -> None:
    model = save_model(tmp_path / "lanes.safetensors", KITTI_ROAD, ground_truth="lane")
    done = atonce("submit", model, data, "--out", tmp_path / "a.zip")
    assert done.code == 0, done.err
    assert names_in(tmp_path / "a.zip") == ["um_lane_000000.png"]
    assert "not part of um_lane, left out: 2 (umm_000003, uu_000002)" in done.out
    assert "incomplete: 95 of the benchmark's 96 testing pictures for lane" in done.err
    assert atonce("submit", model, data, "--ground-truth", "road", "--out", tmp_path / "b.zip").code == 0
    assert len(names_in(tmp_path / "b.zip")) == 3


def test_users_mistakes_are_one_line(atonce: Command, data: Path, tmp_path: Path) -> None:
    model, cats = save_model(tmp_path / "m.safetensors"), tmp_path / "cats.safetensors"
    save_model(cats, LabelSpec.from_names(["cat", "dog"]))
    (tmp_path / "empty").mkdir()
    cases: list[tuple[tuple[str | Path, ...], str]] = [
        ((model, tmp_path / "empty"), "expected data_road or data_road/testing"),
        ((cats, data), "expected one class named road"),
        ((model, data, "--out", tmp_path), "is a folder"),
        ((tmp_path / "none.safetensors", data), "does not exist"),
    ]
    for words, told in cases:
        outcome = atonce("submit", *words)
        assert told in outcome.mistake
        assert (outcome.out, outcome.err) == ("", outcome.mistake + "\n")
    (data / "testing/calib/umm_000003.txt").unlink()
    out = tmp_path / "out.zip"
    assert "umm_000003" in atonce("submit", model, data, "--out", out).mistake
    assert not out.exists()


def test_the_nine_pictures_of_the_sample(atonce: Command, real_data: Path, tmp_path: Path) -> None:
    """Real pictures and calibrations; the sky is never in a view from above, the ground ahead always."""
    model = save_model(tmp_path / "model.safetensors")
    out = tmp_path / "out.zip"
    done = atonce("submit", model, real_data / "data/kitti_road_sample/testing", "--out", out)
    assert done.code == 0, done.err
    with zipfile.ZipFile(out) as archive:
        assert archive.testzip() is None
        assert sorted(name.split("_")[0] for name in archive.namelist()) == ["um", *["umm"] * 4, *["uu"] * 4]
        for name in archive.namelist():
            with archive.open(name) as file:
                view = Image.open(file)
                assert (view.mode, view.size) == ("L", (400, 800))
                assert (np.asarray(view) > 0).mean() > 0.8
