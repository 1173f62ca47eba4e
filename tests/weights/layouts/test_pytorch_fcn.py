"""FCN checkpoints become complete models that give the logits of torchfcn's networks, which take BGR minus a mean."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from atonce.data.formats.voc import LABELS as VOC
from atonce.errors import WeightsError
from atonce.inference import load
from atonce.model import FCN, initialise
from atonce.recipes import FCNConfig
from atonce.weights import build_network, load_weights, read_weights, trained_at_once
from tests.model.torchfcn_peer import load_network
from tests.weights.commands import run

BGR_MEAN = torch.tensor([104.00698793, 116.66876762, 122.67891434]).view(3, 1, 1)
"""The authors' voc_layers.py."""

HEAD = 16
CLASSES = 5


@dataclass(frozen=True)
class Checkpoint:
    path: Path
    network: Any
    name: str

    @torch.inference_mode()
    def logits(self, image: np.ndarray) -> Tensor:
        """RGB (H, W, 3) -> (C, H, W), as torchfcn's loader and network do it."""
        bgr = torch.from_numpy(image[..., ::-1].copy()).permute(2, 0, 1).float() - BGR_MEAN
        logits: Tensor = self.network(bgr[None])[0]
        assert logits.std() > 0.05, "the oracle's logits are flat: the comparison would show nothing"
        return logits


def build(name: str, path: Path, classes: int = CLASSES, learned: bool = False) -> Checkpoint:
    """A random network of torchfcn with a narrow head, saved as its trainer saves it."""
    network = load_network(name)(n_class=classes)
    network.fc6, network.fc7 = nn.Conv2d(512, HEAD, 7), nn.Conv2d(HEAD, HEAD, 1)
    network.score_fr = nn.Conv2d(HEAD, classes, 1)
    generator = torch.Generator().manual_seed(classes)
    with torch.no_grad():
        for key, parameter in network.named_parameters():
            if key.startswith("upscore"):
                noise = torch.empty_like(parameter).normal_(0, 0.01, generator=generator)
                parameter.add_(noise if learned else 0)
            elif key.endswith("bias"):
                parameter.normal_(0, 0.1, generator=generator)
            else:
                parameter.normal_(0, (2 / parameter[0].numel()) ** 0.5, generator=generator)
        network.conv1_1.weight.mul_(0.01)
        # Scaled pools would leave no trace in the logits of an at-once network, were their scores not larger.
        if name == "FCN8sAtOnce":
            network.score_pool4.weight.mul_(100)
            network.score_pool3.weight.mul_(10000)
    torch.save({"epoch": 1, "model_state_dict": network.state_dict()}, path)
    return Checkpoint(path, network.eval(), name)


@pytest.fixture(scope="module", params=["FCN32s", "FCN16s", "FCN8s", "FCN8sAtOnce"])
def published(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkpoint]:
    """A checkpoint of each variant, with fixed bilinear upsampling."""
    yield build(request.param, tmp_path_factory.mktemp("fcn") / "fcn.pth")


@pytest.fixture(scope="module")
def staged(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """An FCN-8s with learned upsampling and as many classes as VOC has."""
    return build("FCN8s", tmp_path_factory.mktemp("fcn") / "fcn8s.pth", classes=21, learned=True)


def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (41, 70, 3), np.uint8)


def test_convert_and_predict(published: Checkpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The whole way: checkpoint, `weights convert`, model file, Predictor."""
    out = tmp_path / "new" / "model.safetensors"
    flags = ["--at-once"] if published.name == "FCN8sAtOnce" else []
    ran = run(capsys, "weights", "convert", published.path, "--out", out, *flags)
    assert ran.code == 0, ran.err
    assert f"{CLASSES} classes, fixed upsampling" in ran.out
    assert ("add --at-once" in ran.err) == (published.name == "FCN8s")
    predictor = load(out, device="cpu")
    config = predictor.model_file.model.config
    assert config.alignment == "caffe" and config.upsampling == "fixed" and config.head_width == HEAD
    assert predictor.classes == tuple(f"class {i}" for i in range(CLASSES))
    assert predictor.model_file.training_data["converted_from"]["layout"] == "pytorch-fcn"
    result = predictor(picture())
    torch.testing.assert_close(result.logits, published.logits(picture()), atol=1e-4, rtol=0)


@torch.inference_mode()
def test_learned_upsampling_is_taken_over(staged: Checkpoint) -> None:
    model = build_network(read_weights(staged.path))
    assert model.config.upsampling == "learned" and not model.training
    image = torch.from_numpy(picture()).permute(2, 0, 1)[None]
    torch.testing.assert_close(model(image)[0], staged.logits(picture()), atol=1e-4, rtol=0)


@torch.inference_mode()
def test_at_once_and_staged_differ(staged: Checkpoint) -> None:
    """The same keys, other outputs: why --at-once is asked for."""
    image = torch.from_numpy(picture()).permute(2, 0, 1)[None]
    other = build_network(trained_at_once(read_weights(staged.path)))(image)[0]
    assert (other - staged.logits(picture())).abs().max() > 0.1


def test_twenty_one_classes_are_vocs(staged: Checkpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "model.safetensors"
    assert run(capsys, "weights", "convert", staged.path, "--out", out).code == 0
    assert load(out, device="cpu").labels == VOC


def test_classes_by_name(staged: Checkpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, classes = tmp_path / "model.safetensors", tmp_path / "classes.yaml"
    classes.write_text("\n".join(f"- kind {i}" for i in range(21)))
    assert run(capsys, "weights", "convert", staged.path, "--out", out, "--classes", classes).code == 0
    assert load(out, device="cpu").classes[20] == "kind 20"
    classes.write_text("[road, sky]")
    ran = run(capsys, "weights", "convert", staged.path, "--out", out, "--classes", classes)
    assert ran.code == 2 and "names 2 classes; expected the checkpoint's 21" in ran.err


def test_as_weights_it_gives_trunk_and_head(staged: Checkpoint) -> None:
    model = initialise(FCN(FCNConfig(head_width=HEAD), 3))
    report = load_weights(model, staged.path)
    assert report.layout == "pytorch-fcn" and report.fresh == ("score_fc7", "score_pools.pool4", "score_pools.pool3")
    assert torch.equal(model.trunk.conv1_1.weight, staged.network.conv1_1.weight.flip(1))
    assert model.normalise.mean.flatten().tolist() == pytest.approx([122.679, 116.669, 104.007], abs=1e-3)


def test_keys_that_are_not_its_are_all_named(staged: Checkpoint, tmp_path: Path) -> None:
    state = staged.network.state_dict()
    for key in ("upscore2.weight", "score_pool3.bias", "fc6.bias"):
        del state[key]
    torch.save(state | {"aux.weight": torch.zeros(1)}, tmp_path / "f.pth")
    with pytest.raises(WeightsError) as caught:
        read_weights(tmp_path / "f.pth")
    for key in ("upscore2.weight", "score_pool3.bias", "fc6.bias", "aux.weight", "FCN-8s with 21 classes"):
        assert key in str(caught.value)
    del state["upscore8.weight"]
    torch.save(state, tmp_path / "f.pth")
    with pytest.raises(WeightsError, match="no upsampling of scores to pixels"):
        read_weights(tmp_path / "f.pth")


@torch.inference_mode()
@pytest.mark.parametrize("told_by", ["arch", "name"])
@pytest.mark.parametrize("name", ["FCN8s", "FCN8sAtOnce"])
def test_the_checkpoint_says_how_it_was_trained(
    name: str, told_by: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a flag: taken for staged, an at-once network's pool3 would be ten thousand times too loud."""
    file = (
        "best.pth.tar"
        if told_by == "arch"
        else {"FCN8s": "fcn8s_from_caffe", "FCN8sAtOnce": "fcn8s-atonce_from_caffe"}[name]
    )
    built = build(name, tmp_path / f"{file}.pth")
    if told_by == "arch":
        # As pytorch-fcn's trainer saves it.
        saved = torch.load(built.path, weights_only=True) | {
            "arch": name,
            "iteration": 5,
            "best_mean_iu": np.float64(0.5),
        }
        torch.save(saved, built.path)
    out = tmp_path / "model.safetensors"
    ran = run(capsys, "weights", "convert", built.path, "--out", out)
    assert ran.code == 0 and ("trained at once, because of the name" in ran.err) == (file == "fcn8s-atonce_from_caffe")
    # fcn8s_from_caffe says nothing either way: that assumption is still named.
    assert ("add --at-once" in ran.err) == (name == "FCN8s" and told_by == "name")
    logits = load(out, device="cpu")(picture()).logits
    torch.testing.assert_close(logits, built.logits(picture()), atol=1e-4, rtol=0)
    summary = run(capsys, "weights", "verify", built.path).out
    expected = "at-once" if name == "FCN8sAtOnce" else "unit"
    assert f"skip scales {expected}" in summary and ("arch: " in summary) == (told_by == "arch")


def test_at_once_is_for_fcn8s(published: Checkpoint) -> None:
    imported = read_weights(published.path)
    if published.name in ("FCN32s", "FCN16s"):
        with pytest.raises(WeightsError, match=r"at_once=True with FCN-(32|16)s; expected an FCN-8s") as caught:
            trained_at_once(imported)
        assert caught.value.for_command_line().startswith("--at-once with FCN-")
