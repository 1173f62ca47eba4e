"""Keras' files give the outputs of Keras' network: channels last, blue first."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from atonce.errors import UserError, WeightsError
from atonce.extras import how_to_install
from atonce.model import FCN, initialise
from atonce.recipes import FCNConfig
from atonce.weights import load_weights, read_weights
from tests.weights.keras_vgg import keras_arrays, keras_vgg, newer, older, whole_model, write_keras
from tests.weights.torchvision_vgg import HEAD

Arrays = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def arrays() -> Arrays:
    return keras_arrays()


@pytest.fixture(scope="module")
def notop(arrays: Arrays) -> Arrays:
    return {key: array for key, array in arrays.items() if not key.startswith("fc")}


def network() -> FCN:
    return initialise(FCN(FCNConfig(head_width=HEAD), 2)).eval()


@torch.inference_mode()
def test_with_top(arrays: Arrays, tmp_path: Path) -> None:
    model = network()
    report = load_weights(model, write_keras(tmp_path / "vgg16_weights_tf_dim_ordering_tf_kernels.h5", arrays))
    assert report.layout == "keras"
    assert report.fresh == ("score_fc7", "score_pools.pool4", "score_pools.pool3")
    image = np.random.default_rng(1).integers(0, 256, (224, 224, 3), np.uint8)
    pool5, fc2 = keras_vgg(arrays, image)
    ours = model.trunk(model.normalise(torch.from_numpy(image).permute(2, 0, 1)[None]))[5]
    assert pool5.std() > 0.05 and fc2 is not None and fc2.std() > 0.05
    torch.testing.assert_close(ours[0].permute(1, 2, 0), pool5, atol=1e-4, rtol=0)
    # The one place where the padded 7x7 kernel sees exactly pool5.
    torch.testing.assert_close(model.head(ours)[0, :, 3, 3], fc2, atol=1e-4, rtol=0)


@torch.inference_mode()
@pytest.mark.parametrize("naming", [older, newer, whole_model])
def test_without_top(notop: Arrays, tmp_path: Path, naming: Callable[[str, str], str]) -> None:
    model = network()
    report = load_weights(model, write_keras(tmp_path / "w.h5", notop, naming))
    assert report.layout == "keras" and report.fresh[:2] == ("head.fc6", "head.fc7")
    image = np.random.default_rng(2).integers(0, 256, (64, 96, 3), np.uint8)
    expected, _ = keras_vgg(notop, image)
    ours = model.trunk(model.normalise(torch.from_numpy(image).permute(2, 0, 1)[None]))[5]
    torch.testing.assert_close(ours[0].permute(1, 2, 0), expected, atol=1e-4, rtol=0)


def test_layers_around_it_do_not_matter(notop: Arrays, tmp_path: Path) -> None:
    """A model of one's own on VGG-16: its fc1 is not VGG-16's, its optimiser's arrays are not its weights."""
    path = write_keras(tmp_path / "w.h5", notop, whole_model)
    with h5py.File(path, "a") as file:
        file["model_weights/fc1/fc1/kernel:0"] = np.zeros((8192, 5), np.float32)
        file["model_weights/fc1/fc1/bias:0"] = np.zeros(5, np.float32)
        file["optimizer_weights/block1_conv1/kernel:0"] = np.zeros((3, 3, 3, 64), np.float32)
        file["model_weights/steps"] = np.arange(3)
    assert read_weights(path).head_width is None


def test_missing_arrays_are_all_named(notop: Arrays, tmp_path: Path) -> None:
    gone = ("block2_conv1/bias", "block5_conv3/kernel")
    path = write_keras(tmp_path / "w.h5", {k: v for k, v in notop.items() if k not in gone})
    with pytest.raises(WeightsError, match=r"lacks block2_conv1/block2_conv1/bias:0, block5_conv3/block5_conv3/kernel"):
        read_weights(path)


def test_theano_file(notop: Arrays, tmp_path: Path) -> None:
    theano = {k: v.transpose(3, 2, 0, 1) if k.endswith("kernel") else v for k, v in notop.items()}
    with pytest.raises(WeightsError, match=r"is \(64, 3, 3, 3\) instead of \(3, 3, 3, 64\).*tf_dim_ordering"):
        read_weights(write_keras(tmp_path / "w.h5", theano))


def test_vgg19(notop: Arrays, tmp_path: Path) -> None:
    more = {f"block3_conv4/{part}": notop[f"block3_conv3/{part}"] for part in ("kernel", "bias")}
    with pytest.raises(WeightsError, match="holds VGG-19; expected VGG-16"):
        read_weights(write_keras(tmp_path / "w.h5", notop | more))


def test_twice(notop: Arrays, tmp_path: Path) -> None:
    path = write_keras(tmp_path / "w.h5", notop)
    with h5py.File(path, "a") as file:
        file["encoder/block1_conv1/kernel:0"] = notop["block1_conv1/kernel"]
    with pytest.raises(WeightsError, match="holds block1_conv1 twice"):
        read_weights(path)


def test_other_files_are_not_opened(notop: Arrays, tmp_path: Path) -> None:
    """HDF5 can refer to other files; weights from elsewhere have no business to."""
    secret = write_keras(tmp_path / "secret.h5", notop)
    (tmp_path / "raw").write_bytes(bytes(3 * 3 * 3 * 64 * 4))
    with h5py.File(tmp_path / "linked.h5", "w") as file:
        file["block1_conv1"] = h5py.ExternalLink(str(secret), "/block1_conv1")
    with pytest.raises(WeightsError, match="holds no tensors"):
        read_weights(tmp_path / "linked.h5")
    with h5py.File(tmp_path / "stored.h5", "w") as file:
        outside = [(str(tmp_path / "raw"), 0, h5py.h5f.UNLIMITED)]
        file.create_dataset("block1_conv1/kernel:0", (3, 3, 3, 64), np.float32, external=outside)
    with pytest.raises(WeightsError, match="lies in another file"):
        read_weights(tmp_path / "stored.h5")
    with h5py.File(tmp_path / "huge.h5", "w") as file:
        file.create_dataset("block1_conv1/kernel:0", (1 << 40,), np.float32, chunks=(1 << 10,))
    with pytest.raises(WeightsError, match="has the shape"):
        read_weights(tmp_path / "huge.h5")


def test_without_h5py(notop: Arrays, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_keras(tmp_path / "w.h5", notop)
    monkeypatch.setitem(__import__("sys").modules, "h5py", None)
    with pytest.raises(
        UserError, match=f"HDF5 file of Keras, needs the package h5py, .*{re.escape(how_to_install('keras'))}"
    ):
        read_weights(path)
