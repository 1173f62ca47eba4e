"""Test-time augmentation: the mean of the probabilities over views, whatever the engine and however large the picture."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import atonce as package
from atonce.data.input_size import InputSize
from atonce.errors import UserError
from atonce.inference import NetworkPredictor, load, tiles
from atonce.inference.tta import SCALES, TTA, AugmentedPredictor
from atonce.model_file import ModelFile
from tests.commands import Command
from tests.networks import small_model_file
from tests.pictures import blocks

RULES = [InputSize(), InputSize(0.8), InputSize(1.0, 90), InputSize(size=(70, 100))]


def plain(model_file: ModelFile, factor: float = 1.0) -> NetworkPredictor:
    """The network at another size: each rule says it in its own way."""
    rule = model_file.input_size
    side = None if rule.max_side is None else round(rule.max_side * factor)
    size = None if rule.size is None else (round(rule.size[0] * factor), round(rule.size[1] * factor))
    return NetworkPredictor(replace(model_file, input_size=InputSize(rule.scale * factor, side, size)), device="cpu")


def mirrored(image: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(image[:, ::-1])


@pytest.mark.parametrize("rule", RULES, ids=str)
@pytest.mark.parametrize("text", ["flip", "scales", "flip,0.7,1.25"])
def test_probabilities_are_the_mean_over_the_views(rule: InputSize, text: str) -> None:
    model_file, image = small_model_file(rule), blocks(75, 110)
    scales = (1.0, *SCALES) if text == "scales" else (1.0, 0.7, 1.25) if "0.7" in text else (1.0,)
    views = [plain(model_file, scale)(image).probabilities for scale in scales]
    if "flip" in text:
        views += [plain(model_file, scale)(mirrored(image)).probabilities[..., ::-1] for scale in scales]
    result = AugmentedPredictor(model_file, TTA.parse(text), device="cpu")(image)
    expected = np.mean(views, axis=0)
    np.testing.assert_allclose(result.probabilities, expected, atol=1e-5)
    assert np.abs(views[0] - expected).max() > 1e-3, "the views differ"
    assert (result.labels == expected.argmax(0)).mean() > 0.999


def test_with_a_flip_the_mirror_image_has_the_mirrored_result() -> None:
    segment, image = AugmentedPredictor(small_model_file(), TTA.parse("flip"), device="cpu"), blocks(61, 83)
    one, other = segment(image).probabilities, segment(mirrored(image)).probabilities[..., ::-1]
    np.testing.assert_allclose(one, other, atol=1e-6)


@pytest.mark.parametrize("rule", [InputSize(), InputSize(0.8), InputSize(1.0, 300)], ids=str)
def test_parts_of_a_large_picture_are_those_of_the_whole(rule: InputSize, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiles, "_SMALLEST_CORE", 128)
    monkeypatch.setattr(tiles, "_TILE_BYTES", 1)
    segment = AugmentedPredictor(small_model_file(rule), TTA.parse("flip,1.3"), device="cpu")
    image = blocks(150, 330)
    whole = segment(image)
    steps: list[tuple[int, int]] = []
    monkeypatch.setattr(tiles, "WHOLE_PIXELS", 1000)
    parts = segment(image, lambda done, total: steps.append((done, total)))
    np.testing.assert_allclose(parts.probabilities, whole.probabilities, atol=2e-3)
    assert (parts.labels == whole.labels).mean() > 0.999
    assert len(steps) > 1 and steps == [(i, len(steps)) for i in range(1, len(steps) + 1)]
    monkeypatch.setattr(tiles, "LOGIT_PIXELS", 1000)
    huge = segment(image)
    assert huge.labels_only and (huge.labels == whole.labels).mean() > 0.999


def test_a_batch_is_its_pictures() -> None:
    segment = AugmentedPredictor(small_model_file(InputSize(0.7)), TTA.parse("flip,scales"), device="cpu")
    images = np.stack([blocks(45, 62, seed) for seed in range(3)])
    found = segment.predict_labels(images)
    assert all((labels == segment(image).labels).mean() > 0.999 for labels, image in zip(found, images, strict=True))
    # The largest view needs 1.69 times the memory: of three pictures there is room for two.
    at_once = [AugmentedPredictor(small_model_file(), TTA.parse(text), device="cpu") for text in ("flip", "scales")]
    assert [segment.batch_size_for((1000, 1000)) for segment in at_once] == [3, 2]


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_every_engine_averages_the_same(engine: str) -> None:
    pytest.importorskip("onnx", reason="the extra `export` is not installed")
    pytest.importorskip(engine, reason="the extra `export` is not installed")
    model_file, image = small_model_file(), blocks(45, 62)
    one, other = (
        AugmentedPredictor(model_file, TTA.parse("flip,scales"), device="cpu", engine=name)(image).probabilities
        for name in ("torch", engine)
    )
    np.testing.assert_allclose(one, other, atol=1e-5)


def test_what_is_written_is_read() -> None:
    assert TTA.parse(None) == TTA.parse("") == TTA.parse("1") == TTA() and TTA().views == 1
    assert TTA.parse("flip") == TTA(flip=True) and TTA.parse("flip").views == 2
    assert TTA.parse(" flip , scales") == TTA.parse(["flip", 0.8, 1.3]) == TTA(flip=True, scales=(0.8, 1.0, 1.3))
    assert TTA.parse("flip,scales").views == 6
    assert str(TTA.parse("1.25,flip,0.75,0.75")) == "flip,0.75,1.25" and str(TTA()) == ""


@pytest.mark.parametrize("text", ["mirror", "flip,", "0", "-1", "nan", "5", "flip;scales", ["flip", None]])
def test_anything_else_is_one_line(text: object) -> None:
    with pytest.raises(UserError, match=r"tta=.*; expected flip, scales, or factors from 0\.1 to 4 such as 0\.8"):
        TTA.parse(text)  # type: ignore[arg-type]


def test_there_is_a_limit_to_the_sizes() -> None:
    with pytest.raises(UserError, match="10 sizes; expected at most 8"):
        TTA.parse([0.1 * i for i in range(1, 11)])


def test_what_has_one_view_built_in_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="tta='flip' for a model that is loaded already; expected a model file"):
        package.evaluate(load(tiny_model), tmp_path, tta="flip")
    exported = tmp_path / "model.onnx"
    exported.write_bytes(b"")
    with pytest.raises(UserError, match=r"tta='flip' for .*model\.onnx; expected a model file"):
        load(exported, tta="flip")


def test_evaluate_averages_and_says_so(atonce: Command, tiny_model: Path, street_data: Path, tmp_path: Path) -> None:
    scores = package.evaluate(tiny_model, street_data, tta="flip,0.8", quick=True, out=tmp_path / "scores")
    augmented = load(tiny_model, tta=["flip", 0.8])
    assert isinstance(augmented, AugmentedPredictor)
    by_hand = package.evaluate(augmented, street_data, quick=True)
    assert (scores.confusion.matrix == by_hand.confusion.matrix).all()
    assert (scores.confusion.matrix != package.evaluate(tiny_model, street_data, quick=True).confusion.matrix).any()
    package.evaluate(augmented, street_data, quick=True, out=tmp_path / "loaded", progress=False)
    for folder in ("scores", "loaded"):
        assert json.loads((tmp_path / folder / "run.json").read_text("utf-8"))["tta"] == "flip,0.8"
    assert "flip,0.8" in (tmp_path / "scores" / "report.html").read_text("utf-8")
    done = atonce("evaluate", tiny_model, street_data, "--tta", "flip,0.8", "--quick", "--json")
    assert json.loads(done.out)["mean_iou"] == pytest.approx(scores.mean_iou)
    assert "--tta mirror; expected flip" in atonce("evaluate", tiny_model, street_data, "--tta", "mirror").mistake


def test_predict_knows_results_of_other_views(atonce: Command, tiny_model: Path, tmp_path: Path) -> None:
    image, out = blocks(48, 64), tmp_path / "out"
    Image.fromarray(image).save(tmp_path / "street.png")
    words = ("predict", tiny_model, tmp_path / "street.png", "--out", out)
    assert atonce(*words, "--tta", "flip").code == 0
    found = np.asarray(Image.open(out / "labels" / "street.png"))
    assert (found == load(tiny_model, tta="flip")(image).labels).all()
    assert "1 skipped" in atonce(*words, "--tta", "flip").out
    assert "was made by another model or with other options" in atonce(*words).mistake


@pytest.mark.parametrize("command", ["evaluate", "predict"])
def test_help_says_what_it_costs(atonce: Command, command: str) -> None:
    text = " ".join(atonce(command, "--help").out.replace("│", " ").split())
    assert "twice the time" in text and "seven times" in text


def test_the_cost_is_what_is_said() -> None:
    """Pixels that go through the network, against one view."""
    widths: list[int] = []
    segment = AugmentedPredictor(small_model_file(), TTA.parse("flip,scales"), device="cpu")
    network = segment._network

    def watched(pixels: torch.Tensor) -> torch.Tensor:
        widths.append(pixels.shape[-1] * pixels.shape[-2])
        return network(pixels)

    segment._network = watched
    segment(blocks(320, 320))
    assert sum(widths) / 320**2 == pytest.approx(6.7, abs=0.1)
