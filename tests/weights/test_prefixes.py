"""Prefixes and wrappers that training scripts leave around a state dict."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from atonce.errors import WeightsError
from atonce.model import FCN, initialise
from atonce.recipes import FCNConfig
from atonce.weights import load_into, read_weights
from tests.weights.torchvision_vgg import HEAD, TorchvisionVGG

MEAN, STD = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1), torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
V1_ROW = torch.tensor([[-0.5537, 0.1427, 0.5290], [0.1755, 0.0099, -0.0814], [0.3130, -0.1659, -0.4275]])
"""vgg16-397923af.pth, conv1_1.weight[0, :, 0]: a file without a classifier is recognised by it."""


@pytest.fixture(scope="module")
def vgg() -> TorchvisionVGG:
    network = TorchvisionVGG().randomise(1.0)
    with torch.no_grad():
        next(network.parameters())[0, :, 0] = V1_ROW
    return network


class Wrapped(nn.Module):
    """Any network around VGG-16's convolutions, with parts of its own."""

    def __init__(self, name: str, inner: nn.Module) -> None:
        super().__init__()
        self.add_module(name, inner)
        self.decoder = nn.Conv2d(2, 2, 1)


@torch.inference_mode()
def assert_same_pool5(vgg: TorchvisionVGG, path: Path) -> None:
    imported = read_weights(path)
    assert imported.layout == "torchvision-v1"
    model = initialise(FCN(FCNConfig(head_width=HEAD), 2)).eval()
    load_into(model, imported)
    image = torch.randint(0, 256, (1, 3, 32, 64), dtype=torch.uint8)
    theirs = vgg.pools((image / 255 - MEAN) / STD)[-1]
    assert theirs.std() > 0.05
    torch.testing.assert_close(model.trunk(model.normalise(image))[5], theirs, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    "made",
    ["module", "_orig_mod", "encoder", "backbone", "pretrained_net", "module._orig_mod.encoder", "a.b.c"],
)
def test_prefixes(made: str, vgg: TorchvisionVGG, tmp_path: Path) -> None:
    state = {f"{made}.{key}": value for key, value in vgg.state_dict().items()}
    if made not in ("module", "_orig_mod"):
        state["module.decoder.weight"] = torch.zeros(1)
    torch.save(state, tmp_path / "f.pth")
    assert_same_pool5(vgg, tmp_path / "f.pth")


def test_what_torch_itself_writes(vgg: TorchvisionVGG, tmp_path: Path) -> None:
    """DataParallel of the convolutions alone, as the classic ImageNet script wraps them; torch.compile of a network."""
    inner = TorchvisionVGG()
    inner.load_state_dict(vgg.state_dict())
    inner.add_module("features", nn.DataParallel(inner.features))
    compiled: nn.Module = torch.compile(Wrapped("encoder", vgg), backend="eager")  # type: ignore[assignment]
    for number, state in enumerate((inner.state_dict(), compiled.state_dict())):
        torch.save(state, tmp_path / f"{number}.pth")
        assert_same_pool5(vgg, tmp_path / f"{number}.pth")
    assert "features.module.0.weight" in inner.state_dict()
    assert "_orig_mod.encoder.features.0.weight" in compiled.state_dict()


@pytest.mark.parametrize("prefix", ["", "vgg."])
def test_a_bare_sequential(prefix: str, vgg: TorchvisionVGG, tmp_path: Path) -> None:
    """vgg.features.state_dict(): 0.weight, 2.weight, ..."""
    torch.save({f"{prefix}{key}": v for key, v in vgg.features.state_dict().items()}, tmp_path / "f.pth")
    assert_same_pool5(vgg, tmp_path / "f.pth")


@pytest.mark.parametrize("wrapper", ["state_dict", "model", "net", "model_state_dict"])
def test_wrappers(wrapper: str, vgg: TorchvisionVGG, tmp_path: Path) -> None:
    torch.save({"epoch": 3, wrapper: {f"module.{k}": v for k, v in vgg.state_dict().items()}}, tmp_path / "f.pth")
    assert_same_pool5(vgg, tmp_path / "f.pth")
    torch.save({"model": {wrapper: vgg.state_dict()}}, tmp_path / "f.pth")
    assert_same_pool5(vgg, tmp_path / "f.pth")


def save_twice(vgg: TorchvisionVGG, one: str, other: str, path: Path) -> Path:
    state: dict[str, Tensor] = {}
    for prefix in (one, other):
        state |= {f"{prefix}{key}": value for key, value in vgg.state_dict().items()}
    torch.save(state, path)
    return path


def test_two_of_them_are_not_chosen_between(vgg: TorchvisionVGG, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"holds 2 of VGG-16, as student\. and as teacher\.; expected one"):
        read_weights(save_twice(vgg, "student.", "teacher.", tmp_path / "f.pth"))
    with pytest.raises(WeightsError, match=r"holds features.0.weight twice: also as module.features.0.weight"):
        read_weights(save_twice(vgg, "", "module.", tmp_path / "f.pth"))


def test_a_dict_in_itself_ends(tmp_path: Path) -> None:
    endless: dict[str, object] = {}
    endless["state_dict"] = endless
    torch.save(endless, tmp_path / "f.pth")
    with pytest.raises(WeightsError, match="nests dicts in dicts"):
        read_weights(tmp_path / "f.pth")


@pytest.mark.parametrize("dtype", [torch.int8, torch.complex64])
def test_what_is_no_floating_point_number_is_no_weight(vgg: TorchvisionVGG, tmp_path: Path, dtype: torch.dtype) -> None:
    state = {k: v.to(dtype) if k == "features.2.weight" else v for k, v in vgg.state_dict().items()}
    torch.save(state, tmp_path / "f.pth")
    with pytest.raises(WeightsError, match=rf"f\.pth: features\.2\.weight is {dtype}; expected floating point"):
        read_weights(tmp_path / "f.pth")
