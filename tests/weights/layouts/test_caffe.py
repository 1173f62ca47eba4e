"""Caffe's files give the activations that OpenCV computes with them: VGG_ILSVRC_16, and the FCN authors' four nets."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from atonce.errors import WeightsError
from atonce.inference import load
from atonce.model.fcn import AT_ONCE
from atonce.weights import build_network, read_weights
from tests.commands import Command
from tests.weights.conftest import ToolFile
from tests.weights.pattern import picture
from tests.weights.reproduction import assert_reproduces, image_tensor
from tests.weights.tables import field, varint

NETS = {"fcn32s": 32, "fcn16s": 16, "fcn8s": 8, "fcn8s-atonce": 8}


@pytest.mark.parametrize("name", ["vgg16.caffemodel", "vgg16-v1.caffemodel"])
def test_both_dialects_give_opencvs_activations(name: str, tool_file: ToolFile, expected: dict[str, Tensor]) -> None:
    report = assert_reproduces(tool_file(name), expected, name)
    assert report.layout == "caffe" and report.fresh[0] == "score_fc7"
    assert read_weights(tool_file(name)).preprocessing.mean == (123.68, 116.779, 103.939)


@torch.inference_mode()
@pytest.mark.parametrize("name", NETS)
def test_the_authors_nets_give_opencvs_logits(name: str, tool_file: ToolFile, expected: dict[str, Tensor]) -> None:
    imported = read_weights(tool_file(f"{name}.caffemodel"))
    assert imported.network is not None and imported.network.stride == NETS[name]
    assert imported.network.alignment == "caffe" and imported.network.upsampling == "fixed"
    logits = build_network(imported)(image_tensor(41, 70))[0, :, ::3, ::3]
    theirs = expected[f"{name}/logits"]
    assert theirs.std() > 1
    torch.testing.assert_close(logits, theirs, atol=3e-4, rtol=1e-5)


def test_at_once_is_recognised_without_a_flag(
    tool_file: ToolFile, tmp_path: Path, atonce: Command, expected: dict[str, Tensor]
) -> None:
    """The Scale layers say it; without them a net was trained in stages, and there is nothing to add or to guess."""
    for name, scales in (("fcn8s-atonce", AT_ONCE), ("fcn8s", (1.0, 1.0))):
        out = tmp_path / f"{name}.safetensors"
        ran = atonce("weights", "convert", tool_file(f"{name}.caffemodel"), "--out", out)
        assert ran.code == 0 and "at-once" not in ran.err, ran
        predictor = load(out, device="cpu")
        model = predictor.model_file.model
        assert tuple(model.scales.values()) == scales
        logits = predictor(picture(41, 70)).logits[:, ::3, ::3]
        torch.testing.assert_close(torch.as_tensor(logits), expected[f"{name}/logits"], atol=3e-4, rtol=1e-5)
    at_once = atonce("weights", "verify", tool_file("fcn8s-atonce.caffemodel"))
    assert "FCN-8s, 5 classes, fixed upsampling, skip scales at-once (its Scale layers)" in at_once.out


# --- a writer of our own, for what the authors' nets do not show ----------------------------------------------------------


def blob(values: Tensor, *, double: bool = False) -> bytes:
    dims = b"".join(varint(size) for size in values.shape)
    data = values.double().numpy().tobytes() if double else values.float().numpy().tobytes()
    return field(7, field(1, dims)) + field(8 if double else 5, data)


def layer(name: str, kind: str, *blobs: bytes) -> bytes:
    return field(100, field(1, name.encode()) + field(2, kind.encode()) + b"".join(field(7, b) for b in blobs))


@pytest.fixture
def fcn8s(tool_file: ToolFile) -> bytes:
    return tool_file("fcn8s.caffemodel").read_bytes()


def test_other_scales_are_taken_over(fcn8s: bytes, tmp_path: Path) -> None:
    path = tmp_path / "own.caffemodel"
    scales = (
        layer("scale_pool4", "Scale", blob(torch.full((512,), 0.25))),
        layer("scale_pool3", "Scale", blob(torch.full((256,), 0.5))),
    )
    path.write_bytes(fcn8s + b"".join(scales))
    assert build_network(read_weights(path)).scales == {4: 0.25, 3: 0.5}
    for wrong, said in (
        (layer("scale_pool3", "Scale", blob(torch.arange(256) + 1.0)), "scale_pool3 scales each channel differently"),
        (layer("scale_pool3", "Scale", blob(-torch.ones(256))), "scale_pool3 scales each channel differently"),
        (layer("scale_pool3", "Scale", blob(torch.ones(256)), blob(torch.ones(256))), "scale_pool3 adds a bias"),
    ):
        path.write_bytes(fcn8s + scales[0] + wrong)
        with pytest.raises(WeightsError, match=said):
            read_weights(path)


def test_a_grouped_deconvolution_is_a_dense_one_without_crosstalk(tool_file: ToolFile, tmp_path: Path) -> None:
    """Some nets upsample with `group: C`, whose kernel is (C, 1, k, k); doubles are numbers, too."""
    path = tmp_path / "own.caffemodel"
    kernel = torch.rand(5, 1, 64, 64)
    content = tool_file("fcn32s.caffemodel").read_bytes().replace(b"\n\x07upscore", b"\n\x07ignored")
    path.write_bytes(content + layer("upscore", "Deconvolution", blob(kernel, double=True)))
    with pytest.raises(WeightsError, match=r"unexpected ignored\.weight"):
        read_weights(path)
    start = content.index(b"\n\x07ignored")
    path.write_bytes(content[: start - 5] + layer("upscore", "Deconvolution", blob(kernel, double=True)))
    imported = read_weights(path)
    assert imported.network is not None and imported.network.upsampling == "learned"
    dense = imported.tensors["up_output.weight"]
    assert dense.shape == (5, 5, 64, 64) and torch.equal(dense[3, 3], kernel[3, 0]) and not dense[3, 2].any()


def test_other_networks_on_vgg_give_their_convolutions(tool_file: ToolFile, tmp_path: Path) -> None:
    """DeepLab's fc6 is a 3x3 convolution: not VGG-16's."""
    path = tmp_path / "own.caffemodel"
    vgg = tool_file("vgg16.caffemodel").read_bytes()
    path.write_bytes(
        vgg.replace(b"\n\x03fc6", b"\n\x03fcX")
        + layer("fc6", "Convolution", blob(torch.ones(8, 512, 3, 3)), blob(torch.ones(8)))
    )
    assert read_weights(path).head_width is None
    for name, kind, said in (("conv3_4", "Convolution", "holds VGG-19"), ("bn1", "BatchNorm", "batch normalisation")):
        path.write_bytes(vgg + layer(name, kind, blob(torch.ones(1))))
        with pytest.raises(WeightsError, match=said):
            read_weights(path)
    path.write_bytes(vgg + layer("fc7", "InnerProduct", blob(torch.ones(8, 8))))
    with pytest.raises(WeightsError, match="two layers called fc7"):
        read_weights(path)


def test_a_prototxt_is_called_one(tmp_path: Path) -> None:
    path = tmp_path / "VGG_ILSVRC_16_layers_deploy.prototxt"
    path.write_text('name: "VGG_ILSVRC_16_layers"\ninput: "data"\nlayers {\n  name: "conv1_1"\n}\n')
    with pytest.raises(WeightsError, match=r"is a network definition of Caffe \(prototxt\).*give the .caffemodel"):
        read_weights(path)
