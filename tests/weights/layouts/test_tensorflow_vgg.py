"""The student project's VGG-16, a SavedModel that TensorFlow wrote, gives TensorFlow's activations without it."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import pytest
from torch import Tensor

from atonce.errors import WeightsError
from atonce.weights import read_weights
from tests.commands import Command
from tests.weights.conftest import ToolFile
from tests.weights.reproduction import assert_reproduces
from tests.weights.tables import bundle


@pytest.fixture(scope="module")
def folder(tool_file: ToolFile, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """vgg/, as it is unpacked. Not to be changed: copy it."""
    out = tmp_path_factory.mktemp("project")
    with zipfile.ZipFile(tool_file("vgg.zip")) as archive:
        archive.extractall(out)
    return out / "vgg"


@pytest.mark.parametrize(
    "form", ["vgg.zip", "deflated.zip", "vgg", "vgg/variables", "vgg/variables/variables", "index"]
)
def test_every_form_gives_tensorflows_activations(
    form: str, folder: Path, tool_file: ToolFile, tmp_path: Path, expected: dict[str, Tensor]
) -> None:
    """pool3, pool4 and fc7 are what the project calls layer3_out, layer4_out and layer7_out."""
    path = folder.parent / form
    if form == "vgg.zip":
        path = tool_file(form)
    elif form == "index":
        path = folder / "variables" / "variables.index"
    elif form == "deflated.zip":
        path = tmp_path / form
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("__MACOSX/vgg/variables/._variables.index", b"a resource fork")
            for file in sorted(folder.rglob("*")):
                archive.write(file, file.relative_to(folder.parent))
        assert path.stat().st_size < 1 << 20
    report = assert_reproduces(path, expected, "tensorflow-vgg")
    assert report.layout == "tensorflow-vgg"
    assert report.fresh == ("score_fc7", "score_pools.pool4", "score_pools.pool3")


def test_preprocessing_and_name(folder: Path, atonce: Command) -> None:
    ran = atonce("weights", "verify", folder)
    assert ran.code == 0 and "tensorflow-vgg" in ran.out and "13 convolutions, fc6 and fc7 of 8" in ran.out
    assert "RGB 0..255, minus (123.68, 116.779, 103.939), divided by (1, 1, 1)" in ran.out
    # The digest is that of the files, index first, one after the other, whichever way they are named.
    prefix = atonce("weights", "verify", folder / "variables" / "variables")
    assert prefix.out == ran.out


def test_converted_it_is_the_same(folder: Path, tmp_path: Path, expected: dict[str, Tensor], atonce: Command) -> None:
    out = tmp_path / "vgg.safetensors"
    assert atonce("weights", "convert", folder, "--out", out).code == 0
    assert assert_reproduces(out, expected, "tensorflow-vgg").layout == "atonce"


def test_a_network_trained_from_it_is_read_below_its_scope(folder: Path, tmp_path: Path) -> None:
    """KittiSeg's checkpoints: other variables beside VGG-16's, an optimiser's among them."""
    from atonce.weights.tensorflow_checkpoint import read_bundle

    variables = {f"net/{name}": value for name, value in read_bundle(folder / "variables" / "variables").items()}
    variables["net/conv1_1/filter/Adam"] = variables["net/conv1_1/filter"]
    variables["net/score_fr/weights"] = variables["net/fc7/biases"]
    bundle(tmp_path / "model.ckpt-9", variables)
    # A folder of training: the file `checkpoint` says which is the latest of several.
    bundle(tmp_path / "model.ckpt-1", {"a": variables["net/fc7/biases"]})
    with pytest.raises(WeightsError, match=r"holds 2 checkpoints \(model.ckpt-1, model.ckpt-9\).*give it as"):
        read_weights(tmp_path)
    (tmp_path / "checkpoint").write_text('model_checkpoint_path: "/home/me/runs/model.ckpt-9"\n')
    imported = read_weights(tmp_path)
    assert imported.layout == "tensorflow-vgg" and imported.head_width == 8
    bundle(tmp_path / "two.ckpt", variables | {key.replace("net/", "twin/"): v for key, v in variables.items()})
    with pytest.raises(WeightsError, match=r"holds 2 of VGG-16, in net/ and in twin/; expected one"):
        read_weights(tmp_path / "two.ckpt")


def test_what_is_missing_is_said(folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "vgg"))
    (copy / "variables" / "variables.data-00000-of-00001").unlink()
    with pytest.raises(WeightsError, match=r"variables.data-00000-of-00001 does not exist"):
        read_weights(copy)
    shutil.rmtree(copy / "variables")
    with pytest.raises(WeightsError, match="is a TensorFlow SavedModel without variables"):
        read_weights(copy)
    with pytest.raises(WeightsError, match="is a TensorFlow graph; expected variables; give the folder"):
        read_weights(copy / "saved_model.pb")
    with pytest.raises(WeightsError, match=r"lacks conv1_1/biases, conv1_2/filter, .*; expected the tensors of VGG-16"):
        read_weights(bundle(tmp_path / "part", {"conv1_1/filter": read_weights(folder).tensors["head.fc7.bias"]}))
