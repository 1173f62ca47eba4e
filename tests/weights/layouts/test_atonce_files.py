"""atonce's own files as weights: model files for fine-tuning, and converted VGG-16s."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from torch import Tensor

from atonce.errors import WeightsError
from atonce.labels import LabelSpec
from atonce.model import FCN, Preprocessing
from atonce.model_file import ModelFile
from atonce.weights import load_weights, read_weights
from tests.commands import Command
from tests.networks import small_network
from tests.weights.keras_vgg import keras_arrays, write_keras
from tests.weights.torchvision_vgg import HEAD, TorchvisionVGG

ODD = Preprocessing(mean=(1.0, 2.0, 3.0), std=(4.0, 5.0, 6.0))


def save(tmp_path: Path, **config: Any) -> tuple[FCN, Path]:
    model = small_network(3, ODD, **config).eval()
    ModelFile(model, LabelSpec.from_names(["a", "b", "c"])).save(tmp_path / "model.safetensors")
    return model, tmp_path / "model.safetensors"


@torch.inference_mode()
def fc7(model: FCN, image: Tensor) -> Tensor:
    return model.head(model.trunk(model.pad(model.normalise(image)))[5] * model.head_scale)


def test_fine_tuning_from_a_model_file(tmp_path: Path) -> None:
    """Trunk, head and preprocessing are taken over; score layers belong to the classes and start fresh."""
    source, path = save(tmp_path)
    model = small_network(7, stride=16).eval()
    report = load_weights(model, path)
    assert report.layout == "atonce" and report.fresh == ("score_fc7", "score_pools.pool4")
    image = torch.rand(1, 3, 64, 96) * 255
    torch.testing.assert_close(fc7(model, image), fc7(source, image), atol=0, rtol=0)


def test_another_head_width_starts_a_fresh_head(tmp_path: Path) -> None:
    _, path = save(tmp_path)
    report = load_weights(small_network(head_width=16), path)
    assert report.fresh[:2] == ("head.fc6", "head.fc7")


def test_head_scale_goes_along(tmp_path: Path) -> None:
    source, path = save(tmp_path, head_scale=0.125)
    image = torch.rand(1, 3, 64, 96) * 255
    for scale in (1.0, 0.5, "calibrate"):
        model = small_network(head_scale=scale).eval()
        load_weights(model, path)
        torch.testing.assert_close(fc7(model, image), fc7(source, image), atol=1e-5, rtol=1e-5)
    assert model.config.head_scale == 0.125


def test_another_trunk_width_is_an_error(tmp_path: Path) -> None:
    _, path = save(tmp_path)
    with pytest.raises(WeightsError, match=r"trunk.conv1_1.weight is \(8, 3, 3, 3\) instead of \(16, 3, 3, 3\); .*"):
        load_weights(small_network(width=0.25), path)


@pytest.mark.parametrize("kind", ["torchvision", "keras"])
def test_converted_vgg_is_the_same_weights(tmp_path: Path, atonce: Command, kind: str) -> None:
    if kind == "keras":
        path = write_keras(tmp_path / "vgg.h5", keras_arrays())
    else:
        path = tmp_path / "vgg.pth"
        torch.save(TorchvisionVGG().randomise(1.0).state_dict(), path)
    out = tmp_path / "trunk.safetensors"
    ran = atonce("weights", "convert", path, "--out", out)
    assert ran.code == 0, ran.err
    assert f"fc6 and fc7 of {HEAD}" in ran.out
    before, after = read_weights(path), read_weights(out)
    assert after.layout == "atonce" and after.preprocessing.mean == pytest.approx(before.preprocessing.mean)
    assert after.preprocessing.std == pytest.approx(before.preprocessing.std)
    assert before.tensors.keys() == after.tensors.keys()
    assert all(torch.equal(after.tensors[key], before.tensors[key]) for key in before.tensors)
    with safe_open(out, "pt") as file:
        about = json.loads(file.metadata()["atonce_weights"])
    assert about["source"]["layout"] == before.layout and about["preprocessing"]["order"] == "RGB"
    # A file that is read with --from comes out the same.
    again = atonce("weights", "convert", path, "--out", tmp_path / "b.safetensors", "--from", before.layout)
    named = read_weights(tmp_path / "b.safetensors").tensors
    assert again.code == 0 and all(torch.equal(named[key], after.tensors[key]) for key in after.tensors)


def test_a_part_of_a_model_file_is_an_error(tmp_path: Path) -> None:
    model, _ = save(tmp_path)
    state = model.state_dict()
    del state["trunk.conv5_3.bias"], state["head.fc7.weight"]
    torch.save(state, tmp_path / "part.pth")
    with pytest.raises(WeightsError, match=r"lacks trunk.conv5_3.bias, head.fc7.weight; expected the tensors of"):
        read_weights(tmp_path / "part.pth")
