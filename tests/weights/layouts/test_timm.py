"""timm's vgg16.tv_in1k gives timm's activations."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from atonce.errors import WeightsError
from atonce.weights import read_weights
from tests.weights.conftest import ToolFile
from tests.weights.reproduction import assert_reproduces


@pytest.mark.parametrize("prefix", ["", "timm_model.", "backbone."])
def test_the_file_of_the_hub_gives_timms_activations(
    prefix: str, tool_file: ToolFile, expected: dict[str, Tensor], tmp_path: Path
) -> None:
    """Also below the name that a network around it gives it, `timm_model` in Hugging Face's transformers."""
    path = tool_file("timm.safetensors")
    if prefix:
        tensors = {f"{prefix}{key}": value for key, value in load_file(path).items()}
        path = tmp_path / "model.safetensors"
        save_file(tensors | {"classifier.weight": torch.zeros(2)}, path)
    report = assert_reproduces(path, expected, "timm")
    assert report.layout == "timm" and report.fresh[0] == "score_fc7"


def test_preprocessing_is_torchvisions(tool_file: ToolFile) -> None:
    expects = read_weights(tool_file("timm.safetensors")).preprocessing
    assert expects.mean == (123.675, 116.28, 103.53) and expects.std == (58.395, 57.12, 57.375)


def test_features_only_is_recognised_as_torchvisions(tool_file: ToolFile, tmp_path: Path) -> None:
    """timm.create_model(..., features_only=True) writes features_0.weight."""
    tensors = load_file(tool_file("timm.safetensors"))
    flat = {key.replace("features.", "features_"): v for key, v in tensors.items() if key.startswith("features.")}
    # vgg16-397923af.pth, conv1_1.weight[0, :, 0]: without a classifier the numbers tell which weights they are.
    row = [[-0.5537, 0.1427, 0.5290], [0.1755, 0.0099, -0.0814], [0.3130, -0.1659, -0.4275]]
    flat["features_0.weight"][0, :, 0] = torch.tensor(row)
    save_file(flat, tmp_path / "model.safetensors")
    assert read_weights(tmp_path / "model.safetensors").layout == "torchvision-v1"


def test_mistakes(tool_file: ToolFile, tmp_path: Path) -> None:
    tensors = load_file(tool_file("timm.safetensors"))
    norm = tensors | {"features.1.running_mean": torch.zeros(64)}
    save_file(norm, tmp_path / "bn.safetensors")
    with pytest.raises(WeightsError, match="batch normalisation"):
        read_weights(tmp_path / "bn.safetensors")
    tensors.pop("pre_logits.fc2.bias")
    save_file(tensors, tmp_path / "part.safetensors")
    with pytest.raises(WeightsError, match=r"lacks pre_logits.fc2.bias; expected the tensors of VGG-16 as timm has it"):
        read_weights(tmp_path / "part.safetensors")
