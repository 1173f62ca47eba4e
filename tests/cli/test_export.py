"""atonce export: the file is checked, and predicts what the model predicts."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from atonce.streets import write_streets
from tests.commands import Command
from tests.networks import small_model_file


def test_what_is_exported_predicts_what_the_model_predicts(atonce: Command, tmp_path: Path) -> None:
    streets = write_streets(tmp_path / "streets", train=4, val=3, size=(60, 90))
    model = tmp_path / "model.safetensors"
    small_model_file().save(model)
    done = atonce("export", model, "--to", "onnx", "--calibration", streets)
    assert done.code == 0, done.err
    assert "3 validation pictures and 6 cuts of odd sizes out of the first: " in done.out and "mean IoU" in done.out
    assert model.with_suffix(".onnx").is_file()
    shutil.copy(next(streets.rglob("val/images/*.png")), tmp_path / "a.png")
    for engine in ("torch", "auto"):
        predicted = atonce("predict", model, tmp_path / "a.png", "--out", tmp_path / engine, "--engine", engine)
        assert predicted.code == 0, predicted.err
    first, second = (np.asarray(Image.open(tmp_path / engine / "labels" / "a.png")) for engine in ("torch", "auto"))
    assert (first == second).mean() > 0.999


def test_int8_wants_pictures_to_calibrate_on(atonce: Command, tmp_path: Path) -> None:
    small_model_file().save(tmp_path / "model.safetensors")
    outcome = atonce("export", tmp_path / "model.safetensors", "--to", "onnx", "--int8")
    assert outcome.mistake.startswith("atonce: --int8 without --calibration; ")


def test_on_a_terminal_no_line_is_longer_than_it(
    atonce: Command, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("atonce.progress.terminal_columns", lambda console: 80)
    done = atonce("export", tiny_model, "--to", "onnx", "--out", "model.onnx")
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert len(lines) > 2 and max(map(len, lines)) <= 80
    assert " ".join(" ".join(lines).split()).endswith(" MB)")
