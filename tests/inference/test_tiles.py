"""Tiles give what the whole picture gives."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from atonce.data.input_size import InputSize
from atonce.errors import UserError
from atonce.inference import NetworkPredictor, tiles
from atonce.inference.folders import OutputOptions, predict_files
from atonce.inference.inputs import find_pictures
from atonce.inference.network_predictor import network_input
from atonce.labels import LabelSpec
from atonce.model import FCN
from atonce.model_file import ModelFile
from atonce.recipes import FCNConfig
from tests.networks import randomise_biases, small_network
from tests.pictures import blocks

VARIANTS = [
    FCNConfig.model_validate(
        {"stride": stride, "alignment": alignment, "upsampling": upsampling}
        | {"width": 0.01, "head_width": 8, "score_init": "glorot"}
    )
    for stride, alignment, upsampling in (
        (8, "same", "fixed"),
        (8, "same", "learned"),
        (8, "caffe", "fixed"),
        (16, "same", "fixed"),
        (32, "caffe", "learned"),
    )
]


def network(config: FCNConfig) -> FCN:
    return randomise_biases(small_network(4, **config.model_dump()), 0.3).eval()


def picture(height: int, width: int) -> NDArray[np.uint8]:
    return blocks(height, width, cell=40)


def assembled(model: FCN, image: np.ndarray, policy: InputSize, core: int, margin: int) -> torch.Tensor:
    whole = torch.full((4, *image.shape[:2]), math.nan, dtype=torch.float64)
    with torch.inference_mode():
        for block in tiles.blocks(lambda x: model(x.double()), image, policy, core=core, margin=margin):
            assert torch.isnan(whole[:, block.rows, block.columns]).all(), "parts overlap"
            whole[:, block.rows, block.columns] = block.logits
    return whole


@pytest.mark.parametrize("config", VARIANTS, ids=lambda c: f"{c.stride}-{c.alignment}-{c.upsampling}")
def test_tiles_equal_the_whole_picture(config: FCNConfig) -> None:
    # In double precision, where engines' choices for one size or another do not hide a wrong margin.
    model = network(config).double()
    for image in (picture(70, 670), picture(670, 70)):
        with torch.inference_mode():
            whole = model(network_input(image, InputSize()).double())[0]
        parts = assembled(model, image, InputSize(), 192, tiles.margin(config))
        assert (parts - whole).abs().max() < 1e-10


def test_a_smaller_margin_is_noticed() -> None:
    model, image = network(VARIANTS[0]).double(), picture(70, 670)
    with torch.inference_mode():
        whole = model(network_input(image, InputSize()).double())[0]
    parts = assembled(model, image, InputSize(), 192, 192)
    assert (parts - whole).abs().max() > 1e-6


@pytest.mark.parametrize(
    "policy", [InputSize(0.65), InputSize(1.3), InputSize(1.0, 500), InputSize(size=(500, 360))], ids=str
)
def test_tiles_equal_the_whole_picture_at_another_input_size(policy: InputSize) -> None:
    config = VARIANTS[0]
    model, image = network(config).double(), picture(61, 801)
    with torch.inference_mode():
        whole = model(network_input(image, policy).double())
        whole = F.interpolate(whole, image.shape[:2], mode="bilinear", align_corners=False)[0]
    parts = assembled(model, image, policy, 192, tiles.margin(config))
    # Where pixels come from is computed in float32 on both sides.
    assert (parts - whole).abs().max() < 1e-3 * whole.abs().max()
    assert (parts.argmax(0) == whole.argmax(0)).double().mean() > 0.9999


@pytest.mark.parametrize("config", VARIANTS, ids=lambda c: f"{c.stride}-{c.alignment}-{c.upsampling}")
def test_receptive_field_is_what_gradients_find(config: FCNConfig) -> None:
    # With positive weights no path is switched off by a ReLU; pooling passes only its largest input, so the picture
    # is constant, where the first of equals wins: gradients may stop short of it by the windows' width.
    model = network(config).double()
    for parameter in model.parameters():
        parameter.data.abs_()
    expected, found = tiles.receptive_field_radius(config), 0
    for pixel in (512, 531):
        image = torch.full((1, 3, 64, 1056), 200.0, dtype=torch.float64, requires_grad=True)
        model(image)[0, 0, 32, pixel].backward()
        assert image.grad is not None
        columns = image.grad[0].abs().sum((0, 1)).nonzero().flatten()
        found = max(found, pixel - int(columns[0]), int(columns[-1]) - pixel)
    assert expected - 62 <= found <= expected


def test_filter_taps_are_those_of_torch() -> None:
    for before, after in ((100, 65), (97, 13), (50, 80), (40, 40), (7, 1)):
        index, weights = tiles.filter_taps(before, after, 0, after)
        matrix = np.zeros((after, before), np.float64)
        np.add.at(matrix, (np.arange(after)[:, None], index), weights)
        columns = torch.eye(before)[None, None]
        expected = F.interpolate(columns, (after, before), mode="bilinear", align_corners=False, antialias=True)[0, 0]
        np.testing.assert_allclose(matrix, expected, atol=2e-6)


def test_spans_cover_an_axis_once_from_multiples_of_32() -> None:
    for length in (1, 31, 64, 65, 1000):
        found = tiles.spans(length, 64, 256)
        assert [s.start for s in found] == list(range(0, length, 64))
        assert [s.stop for s in found] == [*range(64, length, 64), length]
        assert all(s.first % 32 == 0 and s.first <= s.start and s.last >= s.stop for s in found)


@pytest.fixture
def predictor(monkeypatch: pytest.MonkeyPatch) -> NetworkPredictor:
    monkeypatch.setattr(tiles, "_SMALLEST_CORE", 128)
    monkeypatch.setattr(tiles, "_TILE_BYTES", 1)
    return NetworkPredictor(ModelFile(network(VARIANTS[0]), LabelSpec.from_names("abcd")), device="cpu")


def test_large_pictures_give_the_same_result(predictor: NetworkPredictor, monkeypatch: pytest.MonkeyPatch) -> None:
    image = picture(140, 330)
    whole = predictor(image)
    monkeypatch.setattr(tiles, "WHOLE_PIXELS", 1000)
    steps: list[tuple[int, int]] = []
    parts = predictor(image, lambda done, total: steps.append((done, total)))
    torch.testing.assert_close(parts.logits, whole.logits, atol=1e-4, rtol=1e-4)
    assert steps == [(i, 6) for i in range(1, 7)]


def test_thin_pictures_do_not_fill_the_memory_with_their_border(
    predictor: NetworkPredictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A row of a megapixel is 32 when it has been padded to the network's 32 rows: gigabytes of activations.
    image = picture(1, 3200)
    whole = predictor(image)
    widths: list[int] = []
    network = predictor._network

    def watched(pixels: torch.Tensor) -> torch.Tensor:
        widths.append(pixels.shape[-1])
        return network(pixels)

    monkeypatch.setattr(predictor, "_network", watched)
    monkeypatch.setattr(tiles, "WHOLE_PIXELS", 32 * 3000)
    torch.testing.assert_close(predictor(image).logits, whole.logits, atol=1e-4, rtol=1e-4)
    assert max(widths) < 3200
    assert tiles.computed_pixels(FCNConfig(alignment="caffe"), 1, 3200) == 201 * 3400


def test_huge_pictures_give_labels_only(predictor: NetworkPredictor, monkeypatch: pytest.MonkeyPatch) -> None:
    image = picture(140, 330)
    whole = predictor(image)
    monkeypatch.setattr(tiles, "LOGIT_PIXELS", 1000)
    parts = predictor(image)
    assert parts.labels_only
    assert (parts.labels == whole.labels).mean() > 0.9999
    assert parts.overlay().size == parts.label_image().size == (330, 140)
    with pytest.raises(UserError, match="no probabilities"):
        _ = parts.probabilities


def test_probabilities_of_huge_pictures_go_to_a_file(
    predictor: NetworkPredictor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from PIL import Image

    image = picture(140, 330)
    whole = predictor(image).probabilities
    Image.fromarray(image).save(tmp_path / "large.png")
    monkeypatch.setattr(tiles, "LOGIT_PIXELS", 1000)
    jobs = find_pictures([tmp_path / "large.png"])
    assert not predict_files(predictor, jobs, tmp_path / "out", OutputOptions(probabilities=True)).broken
    found = np.load(tmp_path / "out" / "probabilities" / "large.npy")
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, whole, atol=1e-5)
