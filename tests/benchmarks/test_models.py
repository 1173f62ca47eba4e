"""Trained models side by side."""

from __future__ import annotations

from pathlib import Path

import pytest

from atonce import open_dataset
from atonce.evaluation.scoring import score_items
from atonce.inference import load
from benchmarks.models import main


def test_size_speed_and_score_of_each_engine(
    tiny_model: Path, street_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "models.md"
    main([str(tiny_model), "--data", str(street_data), "--engines", "torch,torch-bf16", "--out", str(out)])
    assert out.read_text("utf-8") in capsys.readouterr().out
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in out.read_text("utf-8").splitlines()[2:]]
    header, _, first, second = rows
    assert [first[0], second[0]] == [f"{tiny_model}, torch", f"{tiny_model}, torch-bf16"]
    dataset = open_dataset(street_data)
    expected = score_items(load(tiny_model, device="cpu"), dataset, dataset.split("val")).confusion.mean_iou
    assert float(first[header.index("mean IoU")]) == pytest.approx(expected, abs=1e-4)
    assert float(first[header.index("pictures/s")]) > 0


def test_a_missing_model_is_a_line(street_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([str(tmp_path / "none.safetensors"), "--data", str(street_data)])
    assert stopped.value.code == 2
    assert "none.safetensors" in capsys.readouterr().err
