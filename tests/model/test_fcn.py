"""The network's contract, over every variant."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch

from atonce.model import FCN, Preprocessing, initialise
from atonce.model.upsampling import FixedUpsample
from atonce.recipes import FCNConfig
from tests.model.torchfcn_peer import randomise
from tests.networks import small_network

VARIANTS = [
    FCNConfig.model_validate(
        {"stride": stride, "alignment": alignment, "upsampling": upsampling, "skip_scales": scales}
        | {"width": 0.125, "head_width": 16}
    )
    for stride, alignment, upsampling, scales in itertools.product(
        (8, 16, 32), ("same", "caffe"), ("fixed", "learned"), ("at-once", "unit", (0.5, 0.25))
    )
]


def name(config: FCNConfig) -> str:
    return f"{config.stride}s-{config.alignment}-{config.upsampling}-{config.skip_scales}"


@pytest.mark.parametrize("config", VARIANTS, ids=name)
@torch.inference_mode()
def test_any_size_in_the_same_size_out(config: FCNConfig) -> None:
    model = initialise(FCN(config, num_classes=3)).eval()
    for height, width in ((1, 1), (33, 47), (64, 32)):
        image = torch.randint(0, 256, (2, 3, height, width), dtype=torch.uint8)
        logits = model(image)
        assert logits.shape == (2, 3, height, width)
        assert logits.isfinite().all()
        torch.testing.assert_close(logits, model(image.float()))


@pytest.mark.parametrize("config", VARIANTS, ids=name)
def test_every_parameter_learns(config: FCNConfig) -> None:
    """Nothing is frozen by default, and each layer of the variant takes part in the result."""
    model = FCN(config, num_classes=3)
    randomise(model)
    model.seed_dropout([1])
    model(torch.rand(1, 3, 64, 96) * 255).square().mean().backward()
    silent = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert silent == []


def test_shifted_scene_gives_shifted_scores() -> None:
    """Away from the border, moving the picture by the stride moves the scores by as much: nothing is misaligned."""
    model = FCN(FCNConfig(width=0.125, head_width=16, stride=8), num_classes=3).eval()
    randomise(model)
    scene = torch.rand(1, 3, 640, 704) * 255
    with torch.inference_mode():
        first, second = model(scene[..., :640]), model(scene[..., 32:672])
    torch.testing.assert_close(
        first[..., 288:352, 320:352], second[..., 288:352, 288:320], atol=1e-4 * float(first.abs().max()), rtol=0
    )


def test_a_spot_is_scored_where_it_is() -> None:
    """Only pool3 speaks, with a 1x1 score of what is bright: the scores' centre of mass is the spot's."""
    model = small_network(1, skip_scales="unit", score_init="zeros").eval()
    with torch.no_grad():
        for layer in model.trunk.children():
            assert isinstance(layer, torch.nn.Conv2d)
            layer.weight.zero_()[:, :, 1, 1] = 1 / layer.in_channels
            torch.nn.init.zeros_(layer.get_parameter("bias"))
        model.get_parameter("score_pools.pool3.weight").fill_(1.0)
        model.normalise.set(Preprocessing(mean=(0.0, 0.0, 0.0)))
        image = torch.zeros(1, 3, 128, 160)
        image[..., 40:56, 96:112] = 255
        scores = model(image)[0, 0].clamp_min(0)
    rows, columns = torch.meshgrid(torch.arange(128.0), torch.arange(160.0), indexing="ij")
    assert float((scores * rows).sum() / scores.sum()) == pytest.approx(47.5, abs=0.01)
    assert float((scores * columns).sum() / scores.sum()) == pytest.approx(103.5, abs=0.01)


@torch.inference_mode()
def test_at_once_is_unit_with_scaled_score_weights() -> None:
    at_once = small_network(4, head_width=16, skip_scales="at-once").eval()
    randomise(at_once)
    unit = small_network(4, head_width=16, skip_scales="unit").eval()
    unit.load_state_dict(at_once.state_dict())
    unit.get_parameter("score_pools.pool4.weight").mul_(0.01)
    unit.get_parameter("score_pools.pool3.weight").mul_(0.0001)
    image = torch.rand(1, 3, 70, 90) * 255
    torch.testing.assert_close(at_once(image), unit(image), atol=1e-5, rtol=1e-5)


def test_scales_are_the_authors_constants() -> None:
    assert FCN(FCNConfig(width=0.125, head_width=8), 2).scales == {4: 0.01, 3: 0.0001}
    assert FCN(FCNConfig(width=0.125, head_width=8, stride=16), 2).scales == {4: 0.01}
    assert FCN(FCNConfig(width=0.125, head_width=8, stride=32), 2).scales == {}


@torch.inference_mode()
def test_score_layers_mix_channels_and_never_positions() -> None:
    """What the added 1x1 convolutions are for: C linear scores of each position. They neither keep nor add layout: the
    same scores come out if positions are shuffled before or after, or features are upsampled instead of scores."""
    model = FCN(FCNConfig(width=0.125, head_width=16), num_classes=5)
    assert len(list(model.score_layers())) == 3
    for layer in model.score_layers():
        assert (layer.kernel_size, layer.out_channels) == ((1, 1), 5)
        features = torch.randn(2, layer.in_channels, 6, 7)
        shuffled = torch.randperm(42)
        torch.testing.assert_close(
            layer(features.flatten(2)[..., shuffled].unflatten(2, (6, 7))),
            layer(features).flatten(2)[..., shuffled].unflatten(2, (6, 7)),
        )
        up = FixedUpsample(8, keep_border=False)
        torch.testing.assert_close(layer(up(features)), up(layer(features)), rtol=1e-4, atol=1e-4)


def test_frozen_trunk_is_an_option() -> None:
    model = small_network(2, freeze_trunk=True)
    assert not any(p.requires_grad for p in model.trunk.parameters())
    assert all(p.requires_grad for n, p in model.named_parameters() if not n.startswith("trunk."))


def test_dropout_masks_belong_to_samples() -> None:
    model = small_network(head_width=64, score_init="glorot").train()
    images = torch.rand(4, 3, 32, 32) * 255
    model.seed_dropout([11, 12, 13, 14])
    together = model(images)
    torch.testing.assert_close(model(images), together)
    model.seed_dropout([13, 14])
    torch.testing.assert_close(model(images[2:]), together[2:], atol=1e-5, rtol=1e-4)
    model.seed_dropout([1, 2])
    assert not torch.allclose(model(images[2:]), together[2:], atol=1e-5, rtol=1e-4)
    model.seed_dropout([1])
    with pytest.raises(ValueError, match="1 dropout seeds for a batch of 2"):
        model(images[2:])


@pytest.mark.parametrize("upsampling", ["fixed", "learned"])
@pytest.mark.parametrize("alignment", ["caffe", "same"])
def test_bf16_copy_is_nearly_the_same_and_leaves_the_original_alone(upsampling: str, alignment: str) -> None:
    torch.manual_seed(0)
    model = small_network(head_width=16, upsampling=upsampling, alignment=alignment).eval()
    move: Any = model.to  # torch's own stubs leave the memory format out
    move(memory_format=torch.channels_last)
    images = torch.randint(256, (1, 3, 50, 70), dtype=torch.uint8)
    model(images).sum().backward()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    copy = model.bf16_copy()
    with torch.no_grad():
        exact, rounded = model(images), copy(images)
    assert rounded.dtype == torch.float32
    assert 0 < (exact - rounded).abs().mean() < 0.02 * exact.std()
    assert copy.get_parameter("trunk.conv1_1.weight").dtype == torch.bfloat16
    assert all(p.grad is None for p in copy.parameters())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
