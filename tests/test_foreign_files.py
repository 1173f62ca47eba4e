"""What somebody else has written is not written over without a word; an earlier file of the same command is."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import atonce
from atonce.errors import DataError, TrainingError
from atonce.exporting import export
from atonce.exporting.convert_weights import convert_weights
from atonce.reports.model_card import card
from atonce.studies.ablation import ablate
from tests.systems import needs_links
from tests.weights.torchvision_vgg import TorchvisionVGG

FOREIGN = "is there already, and not an earlier one of ours"


def _evaluate(model: Path, data: Path, out: Path) -> object:
    return atonce.evaluate(model, data, out=out, quick=True)


def _train(run: Path, data: Path, out: Path) -> object:
    return atonce.train(data, recipe=run / "recipe.yaml", out=out)


def _ablate(run: Path, data: Path, out: Path) -> object:
    return ablate(data, study="l2", recipe=run / "recipe.yaml", out=out)


@pytest.mark.parametrize(
    ("work", "error", "message"),
    [
        (_evaluate, DataError, rf"report\.html {FOREIGN}"),
        (_train, TrainingError, r"report\.html, which is of no run"),
        (_ablate, TrainingError, r"report\.html, which is of no run"),
    ],
)
def test_a_report_of_somebody_else_stays(
    tiny_run: Path,
    street_data: Path,
    tmp_path: Path,
    work: Callable[[Path, Path, Path], object],
    error: type,
    message: str,
) -> None:
    (tmp_path / "report.html").write_text("<title>mine</title>")
    with pytest.raises(error, match=message):
        work(tiny_run, street_data, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    assert (tmp_path / "report.html").read_text() == "<title>mine</title>"


def test_an_evaluation_replaces_an_earlier_one(tiny_run: Path, street_data: Path, tmp_path: Path) -> None:
    for _ in range(2):
        _evaluate(tiny_run, street_data, tmp_path)
    assert (tmp_path / "report.html").is_file()


@pytest.mark.parametrize(("to", "name"), [("onnx", "m.onnx"), ("openvino", "m.xml")])
def test_an_export_replaces_exports_alone(tiny_model: Path, tmp_path: Path, to: str, name: str) -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("openvino" if to == "openvino" else "onnxruntime")
    (tmp_path / name).write_text("mine")
    with pytest.raises(DataError, match=FOREIGN):
        export(tiny_model, to=to, out=tmp_path / name)
    assert (tmp_path / name).read_text() == "mine"
    (tmp_path / name).unlink()
    for _ in range(2):
        export(tiny_model, to=to, out=tmp_path / name)


def test_a_conversion_replaces_conversions_and_no_trained_model(tiny_model: Path, tmp_path: Path) -> None:
    source, out = tmp_path / "vgg.pth", tmp_path / "w.safetensors"
    torch.save(TorchvisionVGG().state_dict(), source)
    shutil.copy(tiny_model, out)
    for content in (tiny_model.read_bytes(), b"mine"):
        out.write_bytes(content)
        with pytest.raises(DataError, match=FOREIGN):
            convert_weights(source, out)
        assert out.read_bytes() == content
    out.unlink()
    for _ in range(2):
        convert_weights(source, out)


@needs_links
def test_a_link_to_what_is_not_there_is_something_too(tiny_run: Path, tmp_path: Path) -> None:
    (tmp_path / "card.md").symlink_to(tmp_path / "elsewhere" / "card.md")
    with pytest.raises(DataError, match="is there already"):
        card(tiny_run, out=tmp_path / "card.md")
    assert (tmp_path / "card.md").is_symlink()
