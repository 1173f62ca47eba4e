"""FCN checkpoints become complete models that give the logits of torchfcn's networks, which take BGR minus a mean."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from atonce.data.formats.voc import LABELS as VOC
from atonce.errors import WeightsError
from atonce.inference import load
from atonce.model import FCN, initialise
from atonce.recipes import FCNConfig
from atonce.weights import build_network, load_weights, read_weights, trained_at_once
from tests.commands import Command
from tests.weights.torchfcn_checkpoints import CLASSES, HEAD, Checkpoint, save_checkpoint


@pytest.fixture(scope="module", params=["FCN32s", "FCN16s", "FCN8s", "FCN8sAtOnce"])
def published(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkpoint]:
    """A checkpoint of each variant, with fixed bilinear upsampling."""
    yield save_checkpoint(request.param, tmp_path_factory.mktemp("fcn") / "fcn.pth")


@pytest.fixture(scope="module")
def staged(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """An FCN-8s with learned upsampling and as many classes as VOC has."""
    return save_checkpoint("FCN8s", tmp_path_factory.mktemp("fcn") / "fcn8s.pth", classes=21, learned=True)


def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (41, 70, 3), np.uint8)


def test_convert_and_predict(published: Checkpoint, tmp_path: Path, atonce: Command) -> None:
    """The whole way: checkpoint, `weights convert`, model file, Predictor."""
    out = tmp_path / "new" / "model.safetensors"
    flags = ["--at-once"] if published.name == "FCN8sAtOnce" else []
    ran = atonce("weights", "convert", published.path, "--out", out, *flags)
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


def test_twenty_one_classes_are_vocs(staged: Checkpoint, tmp_path: Path, atonce: Command) -> None:
    out = tmp_path / "model.safetensors"
    assert atonce("weights", "convert", staged.path, "--out", out).code == 0
    assert load(out, device="cpu").labels == VOC


def test_classes_by_name(staged: Checkpoint, tmp_path: Path, atonce: Command) -> None:
    out, classes = tmp_path / "model.safetensors", tmp_path / "classes.yaml"
    classes.write_text("\n".join(f"- kind {i}" for i in range(21)))
    assert atonce("weights", "convert", staged.path, "--out", out, "--classes", classes).code == 0
    assert load(out, device="cpu").classes[20] == "kind 20"
    classes.write_text("[road, sky]")
    ran = atonce("weights", "convert", staged.path, "--out", out, "--classes", classes)
    assert ran.code == 2 and "names 2 classes; expected the checkpoint's 21" in ran.err


def test_as_weights_it_gives_trunk_and_head(staged: Checkpoint) -> None:
    model = initialise(FCN(FCNConfig(head_width=HEAD), 3))
    report = load_weights(model, staged.path)
    assert report.layout == "pytorch-fcn" and report.fresh == ("score_fc7", "score_pools.pool4", "score_pools.pool3")
    assert torch.equal(model.get_parameter("trunk.conv1_1.weight"), staged.network.conv1_1.weight.flip(1))
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
def test_the_checkpoint_says_how_it_was_trained(name: str, told_by: str, tmp_path: Path, atonce: Command) -> None:
    """Without a flag: taken for staged, an at-once network's pool3 would be ten thousand times too loud."""
    file = (
        "best.pth.tar"
        if told_by == "arch"
        else {"FCN8s": "fcn8s_from_caffe", "FCN8sAtOnce": "fcn8s-atonce_from_caffe"}[name]
    )
    built = save_checkpoint(name, tmp_path / f"{file}.pth")
    if told_by == "arch":
        # As pytorch-fcn's trainer saves it.
        saved = torch.load(built.path, weights_only=True) | {
            "arch": name,
            "iteration": 5,
            "best_mean_iu": np.float64(0.5),
        }
        torch.save(saved, built.path)
    out = tmp_path / "model.safetensors"
    ran = atonce("weights", "convert", built.path, "--out", out)
    assert ran.code == 0 and ("trained at once, because of the name" in ran.err) == (file == "fcn8s-atonce_from_caffe")
    # fcn8s_from_caffe says nothing either way: that assumption is still named.
    assert ("add --at-once" in ran.err) == (name == "FCN8s" and told_by == "name")
    logits = load(out, device="cpu")(picture()).logits
    torch.testing.assert_close(logits, built.logits(picture()), atol=1e-4, rtol=0)
    summary = atonce("weights", "verify", built.path).out
    expected = "at-once" if name == "FCN8sAtOnce" else "unit"
    assert f"skip scales {expected}" in summary and ("arch: " in summary) == (told_by == "arch")


@pytest.fixture(scope="module", params=["FCN32s", "FCN16s"])
def without_pool3(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return save_checkpoint(request.param, tmp_path_factory.mktemp("fcn") / "fcn.pth")


def test_at_once_is_refused_for_a_variant_that_never_was_trained_so(without_pool3: Checkpoint) -> None:
    with pytest.raises(WeightsError, match=r"at_once=True with FCN-(32|16)s; expected an FCN-8s") as caught:
        trained_at_once(read_weights(without_pool3.path))
    assert caught.value.for_command_line().startswith("--at-once with FCN-")


def test_at_once_gives_an_fcn8s_the_authors_scales(staged: Checkpoint) -> None:
    imported = read_weights(staged.path)
    assert build_network(imported).scales == {4: 1.0, 3: 1.0}
    assert build_network(trained_at_once(imported)).scales == {4: 0.01, 3: 0.0001}
