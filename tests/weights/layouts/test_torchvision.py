"""torchvision's files give the outputs of torchvision's network."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from atonce.errors import WeightsError
from atonce.model import FCN, initialise
from atonce.recipes import FCNConfig
from atonce.weights import load_into, load_weights, read_weights
from tests.networks import small_network
from tests.weights.torchvision_vgg import HEAD, VGG19, TorchvisionVGG

MEAN, STD = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1), torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
ORIGINAL_MEAN = torch.tensor([123.68, 116.779, 103.939]).view(3, 1, 1)
ORIGINAL = torch.tensor([[0.4800, 0.4085, -0.0651], [0.5504, 0.4401, -0.0814], [0.4295, 0.3735, -0.0614]])
"""The published conv1_1.weight[0, :, 0], of vgg16_features.pth."""


@pytest.fixture(scope="module")
def trained() -> TorchvisionVGG:
    """A network for values 0..1, mean and deviation."""
    return TorchvisionVGG().randomise(first=1.0)


@pytest.fixture(scope="module")
def original() -> TorchvisionVGG:
    """A network for values 0..255 minus the mean, with the first numbers of the published file."""
    vgg = TorchvisionVGG().randomise(first=0.01, seed=1)
    with torch.no_grad():
        weights = dict(vgg.named_parameters())
        weights["features.0.weight"][0, :, 0] = ORIGINAL
        # That row answers to values of +-100 with as much; back to ordinary size, so that 1e-4 means something.
        weights["features.2.weight"][:, 0] /= 100
    return vgg


def picture(height: int, width: int) -> Tensor:
    return torch.randint(0, 256, (1, 3, height, width), dtype=torch.uint8)


def network() -> FCN:
    return initialise(FCN(FCNConfig(head_width=HEAD), 2)).eval()


def features(vgg: TorchvisionVGG) -> dict[str, Tensor]:
    return {key: value for key, value in vgg.state_dict().items() if key.startswith("features.")}


def fc7(model: FCN, image: Tensor) -> Tensor:
    """The head's output at the one place of a 224x224 picture where its 7x7 kernel sees all of pool5."""
    pools = model.trunk(model.pad(model.normalise(image)))
    return model.head(pools[5] * model.head_scale)[:, :, 3, 3]


@torch.inference_mode()
def same_pools(model: FCN, vgg: TorchvisionVGG, image: Tensor, normalised: Tensor) -> None:
    for ours, theirs in zip(model.trunk(model.normalise(image)).values(), vgg.pools(normalised), strict=True):
        assert theirs.std() > 0.05, "the oracle is flat: the comparison would show nothing"
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=0)


@torch.inference_mode()
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_its_own_training_with_head(trained: TorchvisionVGG, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"vgg16{suffix}"
    save = save_file if suffix == ".safetensors" else torch.save
    save(trained.state_dict(), path)
    model = network()
    report = load_weights(model, path)
    assert report.layout == "torchvision-v1"
    assert report.fresh == ("score_fc7", "score_pools.pool4", "score_pools.pool3")
    image = picture(224, 224)
    expected = trained.fc7((image / 255 - MEAN) / STD)
    assert expected.std() > 0.05
    torch.testing.assert_close(fc7(model, image), expected, atol=1e-4, rtol=0)


@torch.inference_mode()
def test_original_convolutions_with_nan_classifier(original: TorchvisionVGG, tmp_path: Path) -> None:
    """IMAGENET1K_FEATURES is published like this."""
    state = original.state_dict()
    state |= {key: torch.full_like(value, torch.nan) for key, value in state.items() if "classifier" in key}
    torch.save(state, tmp_path / "f.pth")
    model = network()
    before = model.head.fc6.weight.clone()
    report = load_weights(model, tmp_path / "f.pth")
    assert report.layout == "torchvision-features"
    assert report.fresh[:2] == ("head.fc6", "head.fc7")
    assert torch.equal(model.head.fc6.weight, before)
    image = picture(64, 96)
    same_pools(model, original, image, image - ORIGINAL_MEAN)


@torch.inference_mode()
def test_original_from_caffe_takes_bgr(original: TorchvisionVGG, tmp_path: Path) -> None:
    """pytorch-fcn's vgg16_from_caffe.pth: torchvision's names, conv1_1 over BGR, recognised by its numbers."""
    state = original.state_dict()
    # The same kernels stored as Caffe stores them: a network that is given BGR.
    bgr = TorchvisionVGG().eval()
    bgr.load_state_dict({**state, "features.0.weight": state["features.0.weight"].flip(1)})
    torch.save(bgr.state_dict(), tmp_path / "vgg16_from_caffe.pth")
    model = network()
    report = load_weights(model, tmp_path / "vgg16_from_caffe.pth")
    assert report.layout == "torchvision-caffe"
    image = picture(224, 224)
    expected = bgr.fc7((image - ORIGINAL_MEAN).flip(1))
    torch.testing.assert_close(fc7(model, image), expected, atol=1e-4, rtol=0)


@torch.inference_mode()
def test_fine_tuned_original_keeps_its_preprocessing(original: TorchvisionVGG, tmp_path: Path) -> None:
    state = features(original)
    state["features.0.weight"] = state["features.0.weight"] + 0.01
    torch.save({"epoch": 3, "state_dict": {f"module.{key}": value for key, value in state.items()}}, tmp_path / "f.pth")
    imported = read_weights(tmp_path / "f.pth")
    assert imported.layout == "torchvision-features" and imported.head_width is None
    assert imported.preprocessing.mean == (123.68, 116.779, 103.939)


def test_published_v1_is_known_without_its_classifier(trained: TorchvisionVGG, tmp_path: Path) -> None:
    state = features(trained)
    # vgg16-397923af.pth, conv1_1.weight[0, :, 0].
    row = [[-0.5537, 0.1427, 0.5290], [0.1755, 0.0099, -0.0814], [0.3130, -0.1659, -0.4275]]
    state["features.0.weight"] = state["features.0.weight"].clone()
    state["features.0.weight"][0, :, 0] = torch.tensor(row)
    torch.save(state, tmp_path / "f.pth")
    imported = read_weights(tmp_path / "f.pth")
    assert imported.layout == "torchvision-v1" and imported.preprocessing.std == (58.395, 57.12, 57.375)


def test_unknown_convolutions_are_not_guessed_at(trained: TorchvisionVGG, tmp_path: Path) -> None:
    """Wrong preprocessing would not fail, it would only be worse; so the user is asked."""
    torch.save(features(trained), tmp_path / "f.pth")
    with pytest.raises(
        WeightsError, match=r"preprocessing is unknown.*layout='torchvision-v1'.*layout='torchvision-feat"
    ):
        read_weights(tmp_path / "f.pth")
    assert read_weights(tmp_path / "f.pth", layout="torchvision-v1").preprocessing.mean == (123.675, 116.28, 103.53)
    with pytest.raises(WeightsError, match=r"no layout 'torchvision-1'.*did you mean 'torchvision-v1'"):
        read_weights(tmp_path / "f.pth", layout="torchvision-1")


def test_classifier_of_ones_own_is_left_out(trained: TorchvisionVGG, tmp_path: Path) -> None:
    state = features(trained) | {"classifier.0.weight": torch.zeros(5, 512), "classifier.0.bias": torch.zeros(5)}
    torch.save(state, tmp_path / "f.pth")
    assert read_weights(tmp_path / "f.pth").head_width is None


def test_every_missing_and_unexpected_key_is_named(trained: TorchvisionVGG, tmp_path: Path) -> None:
    state = trained.state_dict()
    for key in ("features.2.weight", "features.28.bias", "classifier.3.bias"):
        del state[key]
    state |= {"decoder.weight": torch.zeros(1), "features.3.scale": torch.zeros(1)}
    torch.save(state, tmp_path / "f.pth")
    with pytest.raises(WeightsError) as caught:
        read_weights(tmp_path / "f.pth")
    for key in ("features.2.weight", "features.28.bias", "classifier.3.bias", "decoder.weight", "features.3.scale"):
        assert key in str(caught.value)
    assert "features.0.weight" not in str(caught.value)


def test_every_wrong_shape_is_named(trained: TorchvisionVGG, tmp_path: Path) -> None:
    state = trained.state_dict() | {"features.2.weight": torch.zeros(64, 3, 3, 3), "features.5.bias": torch.zeros(2, 2)}
    torch.save(state, tmp_path / "f.pth")
    with pytest.raises(WeightsError, match=r"features.2.weight is \(64, 3, 3, 3\) instead of .*; features.5.bias is"):
        read_weights(tmp_path / "f.pth")


@pytest.mark.parametrize("key", ["features.0.weight", "features.28.bias", "classifier.0.bias"])
def test_nan_is_named(trained: TorchvisionVGG, tmp_path: Path, key: str) -> None:
    state = trained.state_dict()
    state[key] = state[key].clone()
    state[key].view(-1)[-1] = torch.nan
    torch.save(state, tmp_path / "f.pth")
    with pytest.raises(WeightsError, match=f"NaN or infinity in {key}"):
        read_weights(tmp_path / "f.pth")


@pytest.mark.parametrize(
    ("layers", "batch_norm", "named"),
    [(VGG19, False, "VGG-19"), (VGG19, True, "batch normalisation"), (None, True, "batch normalisation")],
)
def test_other_vggs_are_called_by_their_names(
    tmp_path: Path, layers: tuple[int | str, ...] | None, batch_norm: bool, named: str
) -> None:
    vgg = TorchvisionVGG(layers, batch_norm) if layers else TorchvisionVGG(batch_norm=batch_norm)
    torch.save(vgg.state_dict(), tmp_path / "f.pth")
    with pytest.raises(WeightsError, match=f"holds (a VGG with )?{named}; expected VGG-16"):
        read_weights(tmp_path / "f.pth")


def test_a_narrower_network_says_what_is_wrong(trained: TorchvisionVGG, tmp_path: Path) -> None:
    torch.save(trained.state_dict(), tmp_path / "f.pth")
    model = small_network(2, width=0.25)
    with pytest.raises(WeightsError, match=r"trunk.conv1_1.weight is .*trunk.conv5_3.bias is .*model.width is 0.25"):
        load_weights(model, tmp_path / "f.pth")


@torch.inference_mode()
def test_head_keeps_computing_what_it_did_at_any_scale(trained: TorchvisionVGG, tmp_path: Path) -> None:
    torch.save(trained.state_dict(), tmp_path / "f.pth")
    imported = read_weights(tmp_path / "f.pth")
    image = picture(224, 224)
    expected = trained.fc7((image / 255 - MEAN) / STD)
    for scale in (0.1, "calibrate"):
        model = FCN(FCNConfig(head_width=HEAD, head_scale=scale), 2).eval()
        load_into(model, imported)
        torch.testing.assert_close(fc7(model, image), expected, atol=1e-4, rtol=0)
    assert model.config.head_scale == 1.0, "calibration would have changed what a pretrained head computes"


@torch.inference_mode()
def test_the_published_convolutions(real_data: Path) -> None:
    """The real file: the outputs of a network written torchvision's way, and the row that tells it from others."""
    state = torch.load(real_data / "weights" / "vgg16_features.pth", weights_only=True)
    torch.testing.assert_close(state["features.0.weight"][0, :, 0], ORIGINAL, atol=1e-4, rtol=0)
    vgg = TorchvisionVGG().eval()
    vgg.load_state_dict(state, strict=False)
    model = network()
    assert load_weights(model, real_data / "weights" / "vgg16_features.pth").layout == "torchvision-features"
    image = picture(64, 96)
    ours = model.trunk(model.normalise(image))[5]
    theirs = vgg.pools(image - ORIGINAL_MEAN)[-1]
    assert theirs.max() > 5
    # Values are in the thousands on the way there: relative to those, 1e-4.
    assert max(pool.max() for pool in vgg.pools(image - ORIGINAL_MEAN)) > 1000
    torch.testing.assert_close(ours, theirs, atol=2e-3, rtol=1e-4)
