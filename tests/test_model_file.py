"""The model file: exact, self-describing, and read without trust."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from atonce.data.input_size import InputSize
from atonce.errors import WeightsError
from atonce.inference import load
from atonce.labels import KITTI_ROAD, LabelSpec
from atonce.model import FCN
from atonce.model.preprocessing import CAFFE_VGG
from atonce.model_file import ModelFile, load_model_file, read_metadata
from atonce.model_location import find_model_file
from atonce.recipes import Recipe
from tests.networks import save_model, small_network
from tests.systems import needs_any_file_name

VARIANTS: tuple[dict[str, Any], ...] = (
    {},
    {"stride": 16, "skip_scales": (0.25, 0.125)},
    {"stride": 32, "upsampling": "learned"},
    {"alignment": "caffe", "skip_scales": "unit"},
    {"head_scale": 0.3333333333333333, "skip_scales": (0.1, 1e-7)},
)


def tiny(**config: Any) -> FCN:
    return small_network(2, CAFFE_VGG, **config).eval()


def model_file_of(model: FCN) -> ModelFile:
    about = {"format": "kitti-road", "fingerprint": "abc"}
    return ModelFile(
        model,
        KITTI_ROAD,
        InputSize(0.5, 320),
        training_data=about,
        recipe={"train": {"seed": 3}},
        scores={"mean_iou": 0.5, "absent": None},
    )


def test_a_run_folder_stands_for_its_model_file(tmp_path: Path) -> None:
    assert find_model_file(tmp_path / "other.safetensors") == tmp_path / "other.safetensors"
    with pytest.raises(WeightsError, match=r"holds no model\.safetensors; expected a run folder"):
        find_model_file(tmp_path)
    (tmp_path / "recipe.yaml").touch()
    with pytest.raises(WeightsError, match="its run has not come to a validation yet"):
        find_model_file(tmp_path)
    (tmp_path / "model.safetensors").touch()
    assert find_model_file(str(tmp_path)) == tmp_path / "model.safetensors"


def test_the_same_model_is_written_as_the_same_bytes(tmp_path: Path) -> None:
    described = model_file_of(tiny())
    for name in "abcdef":
        described.save(tmp_path / name)
    assert len({(tmp_path / name).read_bytes() for name in "abcdef"}) == 1


@pytest.mark.parametrize("config", VARIANTS, ids=str)
def test_a_model_file_gives_back_every_bit(tmp_path: Path, config: dict[str, Any]) -> None:
    before = model_file_of(tiny(**config))
    before.save(tmp_path / "model.safetensors")
    after = load_model_file(tmp_path / "model.safetensors")
    assert after.describe() == before.describe()
    assert (after.labels, after.input_size, after.model.config) == (
        before.labels,
        before.input_size,
        before.model.config,
    )
    one, other = before.model.state_dict(), after.model.state_dict()
    assert one.keys() == other.keys()
    assert all(torch.equal(one[key], other[key]) for key in one)
    assert not after.model.training
    images = torch.randint(0, 256, (1, 3, 37, 41), dtype=torch.uint8)
    assert torch.equal(before.model(images), after.model(images))


def test_the_file_says_everything_that_the_design_promises(tmp_path: Path) -> None:
    model_file_of(tiny()).save(tmp_path / "x.safetensors")
    with safe_open(tmp_path / "x.safetensors", "pt") as file:
        about = json.loads(file.metadata()["atonce"])
    assert about["architecture"]["stride"] == 8
    assert about["skip_scales"] == {"pool4": 0.01, "pool3": 0.0001}
    assert about["labels"] == {
        "names": ["background", "road"],
        "palette": [[70, 70, 70], [128, 64, 128]],
        "ignore_index": 255,
    }
    assert about["preprocessing"] == {
        "order": "RGB",
        "range": [0, 255],
        "mean": pytest.approx([123.68, 116.779, 103.939]),
        "std": [1.0, 1.0, 1.0],
    }
    assert about["input_size"] == {"scale": 0.5, "max_side": 320}
    assert about["training_data"]["fingerprint"] == "abc"
    assert about["recipe"] == {"train": {"seed": 3}}
    assert about["scores"]["mean_iou"] == 0.5


def test_a_trained_model_describes_its_training(tiny_model: Path) -> None:
    about = read_metadata(tiny_model)
    assert Recipe.model_validate(about["recipe"]).train.steps == 4
    assert about["training_data"]["format"] == "folder"
    assert len(about["training_data"]["fingerprint"]) == 64
    assert about["training_data"]["pictures"] == {"train": 6, "val": 3}
    assert about["scores"]["split"] == "val"
    assert 0 <= about["scores"]["mean_iou"] <= 1
    assert isinstance(about["architecture"]["skip_scales"], list), "calibrated scales are numbers"


def test_the_name_of_the_file_says_nothing(tmp_path: Path) -> None:
    model = tiny()
    model_file_of(model).save(tmp_path / "fcn32s_camvid")
    assert load_model_file(tmp_path / "fcn32s_camvid").model.config == model.config


def test_half_precision_in_the_file_is_full_precision_in_use(tmp_path: Path, tiny_model: Path) -> None:
    with safe_open(tiny_model, "pt") as file:
        metadata = file.metadata()
    path = tmp_path / "half.safetensors"
    save_file({key: tensor.half() for key, tensor in load_file(tiny_model).items()}, path, metadata)
    model = load_model_file(path).model
    assert {tensor.dtype for tensor in model.state_dict().values()} == {torch.float32}
    assert np.isfinite(load(path)(np.zeros((20, 20, 3), np.uint8)).probabilities).all()


def test_every_tensor_that_does_not_fit_is_named_and_many_are_counted(tmp_path: Path, tiny_model: Path) -> None:
    with safe_open(tiny_model, "pt") as file:
        metadata = file.metadata()
    tensors = load_file(tiny_model)
    del tensors["head.fc6.bias"]
    tensors["surplus"] = torch.zeros(1)
    tensors["score_fc7.weight"] = torch.zeros(1, 2)
    path = tmp_path / "x.safetensors"
    save_file(tensors, path, metadata)
    with pytest.raises(WeightsError) as caught:
        load_model_file(path)
    for told in ("head.fc6.bias missing", "surplus unknown", "score_fc7.weight is (1, 2) instead of (11, 16, 1, 1)"):
        assert told in str(caught.value)
    save_file({"a": torch.zeros(1)}, path, metadata)
    with pytest.raises(WeightsError, match=r"and \d+ more"):
        load_model_file(path)


def test_class_names_of_any_alphabet_survive(tmp_path: Path) -> None:
    labels = LabelSpec.from_names(["Straße", "道路"])
    ModelFile(tiny(), labels).save(tmp_path / "x.safetensors")
    assert load_model_file(tmp_path / "x.safetensors").labels == labels


@needs_any_file_name
def test_a_folder_of_any_name_will_do(tmp_path: Path) -> None:
    """safetensors takes names in UTF-8 alone, and file systems whatever bytes they are given."""
    folder = tmp_path / os.fsdecode(b"run\xff")
    folder.mkdir()
    path = save_model(folder / "model.safetensors")
    assert load(path).classes == load(save_model(tmp_path / "model.safetensors")).classes
