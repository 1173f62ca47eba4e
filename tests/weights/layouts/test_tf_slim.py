"""TF-slim's vgg_16.ckpt, as TensorFlow wrote it in its old format and in its new one, gives TensorFlow's activations."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from atonce.errors import WeightsError
from atonce.weights import read_weights
from atonce.weights.tensor_files import open_weights
from tests.weights.conftest import ToolFile
from tests.weights.reproduction import assert_reproduces
from tests.weights.tables import bundle

SHARDS = [f"slim-v2.ckpt.data-0000{i}-of-00002" for i in range(2)]


@pytest.mark.parametrize("name", ["slim-v1.ckpt", "slim-v2.ckpt", "slim-v2.ckpt.index", SHARDS[1]])
def test_both_formats_give_tensorflows_activations(name: str, tool_file: ToolFile, expected: dict[str, Tensor]) -> None:
    """The new format has two data files here, and each of its files stands for all, as does the prefix."""
    if name == "slim-v1.ckpt":
        path = tool_file(name)
    else:
        path = tool_file("slim-v2.ckpt.index").with_name(name)
        assert all(tool_file(shard).is_file() for shard in SHARDS)
    report = assert_reproduces(path, expected, "tf-slim")
    assert report.layout == "tf-slim" and report.fresh[0] == "score_fc7"


def test_its_mean_is_slims(tool_file: ToolFile) -> None:
    """Not 116.779 and 103.939: slim's own preprocessing has two decimals."""
    assert read_weights(tool_file("slim-v1.ckpt")).preprocessing.mean == (123.68, 116.78, 103.94)


def test_old_and_new_hold_the_same_numbers(tool_file: ToolFile) -> None:
    for shard in SHARDS:
        tool_file(shard)
    old, new = open_weights(tool_file("slim-v1.ckpt")), open_weights(tool_file("slim-v2.ckpt.index"))
    assert old.tensors.keys() == new.tensors.keys() and len(old.tensors) == 31
    assert all(torch.equal(old.tensors[name], new.tensors[name]) for name in old.tensors)


def test_vgg19_and_what_is_missing(tool_file: ToolFile, tmp_path: Path) -> None:
    tensors = dict(open_weights(tool_file("slim-v1.ckpt")).tensors)
    del tensors["vgg_16/conv4/conv4_2/biases"]
    with pytest.raises(WeightsError, match=r"lacks vgg_16/conv4/conv4_2/biases; expected the tensors of VGG-16"):
        read_weights(bundle(tmp_path / "part.ckpt", tensors))
    more = tensors | {"vgg_16/conv3/conv3_4/weights": torch.zeros(1)}
    with pytest.raises(WeightsError, match="holds VGG-19; expected VGG-16"):
        read_weights(bundle(tmp_path / "vgg_19.ckpt", more))
