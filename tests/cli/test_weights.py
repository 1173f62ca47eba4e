"""atonce weights list, verify, convert: what they say, and the user's mistakes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from atonce.weights import LAYOUTS, REGISTRY
from tests.commands import Command
from tests.weights.torchvision_vgg import TorchvisionVGG


@pytest.fixture(scope="module")
def vgg(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("vgg") / "vgg16.pth"
    torch.save(TorchvisionVGG().randomise(1.0).state_dict(), path)
    return path


def test_list_names_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, atonce: Command) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "80")
    ran = atonce("weights", "list")
    words = ran.out.split()
    assert ran.code == 0 and all(name in words for name in (*REGISTRY, *LAYOUTS))
    assert all(entry.file_name in words for entry in REGISTRY.values())
    told = [line for line in ran.out.splitlines() if not line.startswith("kept in")]
    assert max(map(len, told)) <= 80


def test_verify_looks_into_a_file(vgg: Path, atonce: Command) -> None:
    ran = atonce("weights", "verify", vgg)
    assert ran.code == 0
    for said in ("torchvision-v1", "13 convolutions, fc6 and fc7 of 24; all values finite", "minus (123.675", "sha256"):
        assert said in ran.out


def test_verify_refuses_nan(vgg: Path, tmp_path: Path, atonce: Command) -> None:
    state = torch.load(vgg, weights_only=True)
    state["features.10.bias"][3] = torch.inf
    torch.save(state, tmp_path / "f.pth")
    ran = atonce("weights", "verify", tmp_path / "f.pth")
    assert ran.code == 2 and "NaN or infinity in features.10.bias" in ran.err and ran.err.count("\n") == 1


def test_mistakes_in_convert(vgg: Path, tmp_path: Path, atonce: Command) -> None:
    classes, file, taken = tmp_path / "classes.yaml", tmp_path / "file", tmp_path / "own.safetensors"
    classes.write_text("[a, b]")
    file.write_text("")
    assert atonce("weights", "convert", vgg, "--out", taken).code == 0
    out = tmp_path / "o.safetensors"
    for arguments, said in (
        ([vgg, "--out", tmp_path / "o.pth"], "expected a name that ends in .safetensors"),
        ([vgg, "--out", file / "o.safetensors"], "cannot write"),
        ([vgg, "--out", out, "--at-once"], "--at-once with VGG-16 (torchvision-v1); expected an FCN-8s"),
        ([vgg, "--out", out, "--classes", classes], "--classes with a VGG-16"),
        ([vgg, "--out", out, "--from", "kears"], "no layout 'kears'"),
        ([vgg, "--out", out, "--from", "keras"], "lacks block1_conv1/block1_conv1/kernel:0"),
        ([vgg, "--out", out, "--from", "pytorch-fcn"], "no upsampling"),
        ([taken, "--out", taken], "is the file to convert"),
        ([taken, "--out", out], "is a file of atonce already"),
        (["vgg16-imagenet1k", "--out", out], "did you mean 'vgg16-imagenet1k-"),
    ):
        ran = atonce("weights", "convert", *arguments)
        assert ran.code == 2 and said in ran.err and ran.err.count("\n") == 1, (arguments, ran)
        assert not out.exists()
