"""atonce submit, word for word as a user gives it."""

import zipfile

import numpy as np
import pytest
from PIL import Image

from atonce.labels import CAMVID, KITTI_ROAD, LabelSpec
from tests.cli.commands import atonce, save_model
from tests.evaluation.fakes import street


@pytest.fixture
def data(tmp_path):
    return street(tmp_path / "data_road", "testing", ["um_000000", "umm_000003", "uu_000002"])


def names_in(path):
    with zipfile.ZipFile(path) as archive:
        return archive.namelist()


@pytest.mark.parametrize("given", ["", "testing"])
def test_a_submission(capsys, monkeypatch, data, tmp_path, given):
    model = save_model(tmp_path / "model.safetensors")
    assert atonce(monkeypatch, "submit", model, data / given, "--out", tmp_path / "zips/out.zip") == 0
    assert capsys.readouterr().out == f"3 views from above (road): {tmp_path / 'zips/out.zip'}\n"
    assert names_in(tmp_path / "zips/out.zip") == ["um_road_000000.png", "umm_road_000003.png", "uu_road_000002.png"]


def test_by_default_it_lies_here(monkeypatch, data, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert atonce(monkeypatch, "submit", save_model(tmp_path / "m.safetensors", CAMVID), data) == 0
    assert len(names_in("submission.zip")) == 3


def test_lanes_where_lanes_were_learned(capsys, monkeypatch, data, tmp_path):
    model = save_model(tmp_path / "lanes.safetensors", KITTI_ROAD, ground_truth="lane")
    assert atonce(monkeypatch, "submit", model, data, "--out", tmp_path / "a.zip") == 0
    assert names_in(tmp_path / "a.zip") == ["um_lane_000000.png"]
    assert "not part of um_lane, left out: 2 (umm_000003, uu_000002)" in capsys.readouterr().out
    assert atonce(monkeypatch, "submit", model, data, "--ground-truth", "road", "--out", tmp_path / "b.zip") == 0
    assert len(names_in(tmp_path / "b.zip")) == 3


def test_users_mistakes_are_one_line(capsys, monkeypatch, data, tmp_path):
    model, cats = save_model(tmp_path / "m.safetensors"), tmp_path / "cats.safetensors"
    save_model(cats, LabelSpec.from_names(["cat", "dog"]))
    (tmp_path / "empty").mkdir()
    cases = [
        ((model, tmp_path / "empty"), "expected data_road or data_road/testing"),
        ((cats, data), "expected one class named road"),
        ((model, data, "--out", tmp_path), "is a folder"),
        ((tmp_path / "none.safetensors", data), "does not exist"),
    ]
    for words, told in cases:
        assert atonce(monkeypatch, "submit", *words) == 2
        said = capsys.readouterr()
        assert told in said.err
        assert (said.out, said.err.count("\n")) == ("", 1)
    (data / "testing/calib/umm_000003.txt").unlink()
    out = tmp_path / "out.zip"
    assert atonce(monkeypatch, "submit", model, data, "--out", out) == 2
    assert "umm_000003" in capsys.readouterr().err
    assert not out.exists()


def test_the_nine_pictures_of_the_sample(monkeypatch, real_data, tmp_path):
    """Real pictures and calibrations; the sky is never in a view from above, the ground ahead always."""
    model = save_model(tmp_path / "model.safetensors")
    out = tmp_path / "out.zip"
    assert atonce(monkeypatch, "submit", model, real_data / "data/kitti_road_sample/testing", "--out", out) == 0
    with zipfile.ZipFile(out) as archive:
        assert archive.testzip() is None
        assert sorted(name.split("_")[0] for name in archive.namelist()) == ["um", *["umm"] * 4, *["uu"] * 4]
        for name in archive.namelist():
            with archive.open(name) as file:
                view = Image.open(file)
                assert (view.mode, view.size) == ("L", (400, 800))
                assert (np.asarray(view) > 0).mean() > 0.8
