"""Files of a few hundred bytes that the soak has found, or that were found before it: each is one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from atonce.data.pairing import list_lines
from atonce.errors import DataError, DataErrorOfLines, WeightsError
from atonce.inference import ExportedPredictor
from atonce.reports.run_files import read_run_files
from atonce.studies.study_folder import read_description, read_result
from tests.networks import save_model

STUDY = {
    "name": "mine", "question": "which", "data": "/data", "recipe_name": "streets", "recipe": {}, "seeds": [0, 1],
    "variants": {"a": {}, "b": {}}, "sessions": [{"command": "x"}],
}  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [{"variants": []}, {"variants": {}}, {"seeds": []}, {"seeds": "01"}, {"sessions": [{}]}, {"sessions": 1}, {"name": None},
     {"recipe": {"train": 3}}, {"recipe": 3}, {"x": 1}],
    ids=str,
)  # fmt: skip
def test_a_damaged_study(tmp_path: Path, change: dict[str, Any]) -> None:
    (tmp_path / "study.json").write_text(json.dumps(STUDY))
    study = read_description(tmp_path)
    assert study is not None
    assert study.seeds == [0, 1]
    (tmp_path / "study.json").write_text(json.dumps({**STUDY, **change}))
    with pytest.raises(DataError, match=r"study\.json is damaged"):
        read_description(tmp_path)


RESULT = {
    "variant": "a", "seed": 0, "failed": None, "step": 8, "minutes": 0.1, "best_step": 8, "mean_iou": 0.5,
    "pixel_accuracy": 0.7, "last_mean_iou": None, "last_pixel_accuracy": 0.7, "fingerprint": "f", "commit": "c",
    "skip_scales": {"pool4": 0.01}, "device": "cpu",
}  # fmt: skip


@pytest.mark.parametrize(
    "change", [{"seed": "x"}, {"minutes": []}, {"mean_iou": "high"}, {"skip_scales": 3}, {"failed": 3}], ids=str
)
def test_a_damaged_result_of_a_run(tmp_path: Path, change: dict[str, Any]) -> None:
    (tmp_path / "result.json").write_text(json.dumps(RESULT))
    result = read_result(tmp_path)
    assert result is not None
    assert np.isnan(result.last_mean_iou)
    (tmp_path / "result.json").write_text(json.dumps({**RESULT, **change}))
    with pytest.raises(DataError, match=r"result\.json is damaged"):
        read_result(tmp_path)


def test_a_log_with_lines_of_something_else(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text("train: {steps: 3}\n")
    log = tmp_path / "log.jsonl"
    log.write_text('5\n{}\n{"step": 1, "loss": 2}\n' + "[" * 100_000 + "\n")
    assert [record["step"] for record in read_run_files(tmp_path).log] == [1]
    log.write_bytes(b'{"step": 1}\n\xff\xfe\n')
    with pytest.raises(DataError, match=r"log\.jsonl cannot be read"):
        read_run_files(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"absent": True},
        {"predicted_only": [1]},
        {"pictures": True},
        {"confusion": [[1], 0.5]},
        {"calibration": {"bins": 3}},
        {"road": {"categories": {"um": {"curve": [1]}}}},
    ],
    ids=str,
)
def test_a_damaged_evaluation(tmp_path: Path, change: dict[str, Any]) -> None:
    data = {"classes": [{"name": "a", "pixels": 1}], "confusion": [[1]], **change}
    (tmp_path / "evaluation.json").write_text(json.dumps(data))
    with pytest.raises(DataError, match=r"evaluation\.json is not an evaluation"):
        read_run_files(tmp_path)


@pytest.mark.parametrize("line", ["x" * 256, "a/" + "ä" * 200 + " b", "a\0b"], ids=["long", "long in bytes", "null"])
def test_names_that_no_file_can_have(tmp_path: Path, line: str) -> None:
    path = tmp_path / "train.txt"
    path.write_text(f"a.png b.png\n{line}\n", "utf-8")
    with pytest.raises(DataError, match=r"train\.txt: line 2 holds a n(ame|ull)"):
        list_lines(path)


def test_a_graph_that_fails_when_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    import atonce

    path = atonce.export(save_model(tmp_path / "model.safetensors"), to="onnx").path
    predictor = ExportedPredictor(path)
    image = np.zeros((32, 32, 3), np.uint8)
    assert predictor(image).labels.shape == (32, 32)

    def fail(_: object) -> Any:
        raise RuntimeError("[ONNXRuntimeError] : 1 : FAIL :\n Non-zero status code returned while running Conv node")

    class Session:
        run = staticmethod(fail)

    monkeypatch.setattr(predictor, "_session", Session())
    with pytest.raises(WeightsError, match=r"model\.onnx cannot be run by onnxruntime: .*Non-zero status") as raised:
        predictor(image)
    assert "\n" not in str(raised.value)
    for given in ({}, {"labels": np.zeros((1, 32, 32), np.float32)}, {"labels": np.zeros((1, 8, 8), np.uint8)}):
        monkeypatch.setattr(Session, "run", staticmethod(lambda _, given=given: given))
        with pytest.raises(WeightsError, match=r"model\.onnx gives"):
            predictor(image)
    monkeypatch.setattr(Session, "run", staticmethod(lambda _: (_ for _ in ()).throw(MemoryError())))
    with pytest.raises(MemoryError):
        predictor(image)


def test_lines_of_messages_are_such_that_a_person_can_read_them() -> None:
    error = DataErrorOfLines("two problems:\n- " + "x" * 100_000 + " here\n- small", "none", "do it")
    for text in (str(error), error.for_command_line()):
        assert max(map(len, text.splitlines())) < 1600
        assert "x here\n- small; expected none; do it" in text
