"""Keras 3's files of keras.applications.VGG16 give Keras' activations."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import h5py
import pytest
from torch import Tensor

from atonce.errors import WeightsError
from atonce.weights import read_weights
from tests.weights.conftest import ToolFile
from tests.weights.reproduction import assert_reproduces


@pytest.mark.parametrize("name", ["vgg16.keras", "vgg16.weights.h5"])
def test_both_kinds_give_keras_activations(name: str, tool_file: ToolFile, expected: dict[str, Tensor]) -> None:
    report = assert_reproduces(tool_file(name), expected, "keras-3")
    assert report.layout == "keras-3" and report.fresh[0] == "score_fc7"


def test_a_deflated_archive_is_the_same(tool_file: ToolFile, expected: dict[str, Tensor], tmp_path: Path) -> None:
    """Keras stores; whoever packs the archive anew may compress."""
    with (
        zipfile.ZipFile(tool_file("vgg16.keras")) as source,
        zipfile.ZipFile(tmp_path / "v.keras", "w", zipfile.ZIP_DEFLATED) as out,
    ):
        for info in source.infolist():
            out.writestr(info.filename, source.read(info))
    assert (tmp_path / "v.keras").stat().st_size < 1 << 20
    assert_reproduces(tmp_path / "v.keras", expected, "keras-3")


def test_vgg_as_a_layer_of_another_network(tool_file: ToolFile) -> None:
    """Its own fc1 is not VGG-16's."""
    imported = read_weights(tool_file("nested.weights.h5"))
    assert imported.layout == "keras-3" and imported.head_width is None


def without_notes(source: Path, out: Path) -> Path:
    """The file as Keras 3.0 wrote it: layers by their class and number alone."""
    shutil.copy(source, out)
    with h5py.File(out, "a") as file:
        file.visititems(lambda name, item: item.attrs.pop("name", None) and None)
    return out


def test_older_files_without_the_layers_names(tool_file: ToolFile, expected: dict[str, Tensor], tmp_path: Path) -> None:
    path = without_notes(tool_file("vgg16.weights.h5"), tmp_path / "old.weights.h5")
    assert assert_reproduces(path, expected, "keras-3").layout == "keras-3"


def test_mistakes(tool_file: ToolFile, tmp_path: Path) -> None:
    path = Path(shutil.copy(tool_file("vgg16.weights.h5"), tmp_path / "w.weights.h5"))
    with h5py.File(path, "a") as file:
        del file["layers/conv2d_4/vars/1"]
    with pytest.raises(WeightsError, match=r"lacks layers/conv2d_4/vars/1; expected the tensors of VGG-16 as Keras 3"):
        read_weights(path)
    with h5py.File(path, "a") as file:
        file["layers/conv2d_13/vars/0"] = file["layers/conv2d_6/vars/0"][()]
        file["layers/conv2d_13/vars"].attrs["name"] = "block3_conv4"
    with pytest.raises(WeightsError, match="holds VGG-19"):
        read_weights(path)
    with h5py.File(path, "a") as file:
        file.copy("layers", "layers/functional/layers")
    with pytest.raises(WeightsError, match=r"holds 2 of VGG-16, in .*layers/functional/"):
        read_weights(path)
    with zipfile.ZipFile(tmp_path / "empty.keras", "w") as archive:
        archive.writestr("config.json", "{}")
        archive.writestr("metadata.json", "{}")
    with pytest.raises(
        WeightsError, match=r"is a Keras archive without model\.weights\.h5; expected a file of weights"
    ):
        read_weights(tmp_path / "empty.keras")
