"""The network's contract, over every variant."""

from __future__ import annotations

import itertools

import pytest
import torch
import torch.nn.functional as F

from atonce.model import FCN, Preprocessing, initialise
from atonce.model.initialization import data_dependent_init
from atonce.model.skip_scaling import pool_standard_deviations
from atonce.model.upsampling import FixedUpsample, LearnedUpsample, bilinear_kernel
from atonce.model.vgg import TRUNK_LAYERS, VGG16_CHANNELS, Trunk
from atonce.recipes import FCNConfig
from tests.model.torchfcn_peer import randomise

VARIANTS = [
    FCNConfig(stride=stride, alignment=alignment, upsampling=upsampling, skip_scales=scales, width=0.125, head_width=16)
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
    model = initialise(FCN(FCNConfig(width=0.125, head_width=8, skip_scales="unit", score_init="zeros"), 1)).eval()
    with torch.no_grad():
        for layer in model.trunk.children():
            assert isinstance(layer, torch.nn.Conv2d)
            layer.weight.zero_()[:, :, 1, 1] = 1 / layer.in_channels
            layer.bias.fill_(0)
        model.score_pools["pool3"].weight.fill_(1.0)
        model.normalise.set(Preprocessing(mean=(0.0, 0.0, 0.0)))
        image = torch.zeros(1, 3, 128, 160)
        image[..., 40:56, 96:112] = 255
        scores = model(image)[0, 0].clamp_min(0)
    rows, columns = torch.meshgrid(torch.arange(128.0), torch.arange(160.0), indexing="ij")
    assert float((scores * rows).sum() / scores.sum()) == pytest.approx(47.5, abs=0.01)
    assert float((scores * columns).sum() / scores.sum()) == pytest.approx(103.5, abs=0.01)


@torch.inference_mode()
def test_at_once_is_unit_with_scaled_score_weights() -> None:
    small = {"width": 0.125, "head_width": 16}
    at_once = FCN(FCNConfig(skip_scales="at-once", **small), 4).eval()
    randomise(at_once)
    unit = FCN(FCNConfig(skip_scales="unit", **small), 4).eval()
    unit.load_state_dict(at_once.state_dict())
    unit.score_pools["pool4"].weight.mul_(0.01)
    unit.score_pools["pool3"].weight.mul_(0.0001)
    image = torch.rand(1, 3, 70, 90) * 255
    torch.testing.assert_close(at_once(image), unit(image), atol=1e-5, rtol=1e-5)


def test_scales_are_the_authors_constants() -> None:
    assert FCN(FCNConfig(width=0.125, head_width=8), 2).scales == {4: 0.01, 3: 0.0001}
    assert FCN(FCNConfig(width=0.125, head_width=8, stride=16), 2).scales == {4: 0.01}
    assert FCN(FCNConfig(width=0.125, head_width=8, stride=32), 2).scales == {}


def test_the_trunk_names_its_convolutions_block_by_block() -> None:
    trunk = FCN(FCNConfig(width=0.125, head_width=8), 2).trunk
    blocks = trunk.convolutions()
    assert [len(block) for block in blocks] == [2, 2, 3, 3, 3]
    assert {name: layer for block in blocks for name, layer in block.items()} == dict(trunk.named_children())
    wide = {
        name: (layer.out_channels, layer.in_channels)
        for block in Trunk().convolutions()
        for name, layer in block.items()
    }
    assert wide == VGG16_CHANNELS and tuple(wide) == TRUNK_LAYERS


@pytest.mark.parametrize("factor", [2, 8, 16, 32])
def test_fixed_kernel_is_bilinear_interpolation(factor: int) -> None:
    x = torch.rand(1, 3, 6, 9)
    ours = FixedUpsample(factor, keep_border=True)(x)
    half = factor // 2
    cropped = ours[..., half : half + 6 * factor, half : half + 9 * factor]
    torch_ = F.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)
    inner = slice(half, -half)
    torch.testing.assert_close(cropped[..., inner, inner], torch_[..., inner, inner])
    torch.testing.assert_close(FixedUpsample(factor, keep_border=False)(x), torch_)


@pytest.mark.parametrize("keep_border", [True, False])
def test_learned_upsampling_starts_as_the_fixed_one(keep_border: bool) -> None:
    x = torch.rand(1, 3, 6, 9)
    learned, fixed = LearnedUpsample(3, 4, keep_border=keep_border)(x), FixedUpsample(4, keep_border=keep_border)(x)
    inner = slice(4, -4)
    assert learned.shape == fixed.shape
    torch.testing.assert_close(learned[..., inner, inner], fixed[..., inner, inner])


def test_bilinear_kernel_sums_to_one_per_output() -> None:
    kernel = bilinear_kernel(4)
    assert kernel.shape == (8, 8)
    # Each output pixel receives every fourth weight of the kernel in both directions.
    for row, column in itertools.product(range(4), range(4)):
        assert float(kernel[row::4, column::4].sum()) == pytest.approx(1.0)


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


def test_initialisers() -> None:
    torch.manual_seed(1)
    wide = {"width": 1.0, "head_width": 512}
    zeros = initialise(FCN(FCNConfig(score_init="zeros", **wide), 21))
    assert all(not layer.weight.any() and not layer.bias.any() for layer in zeros.score_layers())
    for sigma in (0.01, 0.001):
        normal = initialise(FCN(FCNConfig(score_init="normal", score_init_sigma=sigma, **wide), 21))
        for weight in (layer.weight.detach() for layer in normal.score_layers()):
            assert float(weight.abs().max()) <= 2 * sigma + 1e-9
            # A normal cut at two deviations has 0.880 of its deviation left.
            assert float(weight.std()) == pytest.approx(0.880 * sigma, rel=0.05)
    glorot = initialise(FCN(FCNConfig(score_init="glorot", **wide), 21))
    limit = (6 / (512 + 21)) ** 0.5
    assert float(glorot.score_fc7.weight.detach().abs().max()) == pytest.approx(limit, rel=0.02)
    # He: the activations neither vanish nor explode through the trunk.
    deviations = pool_standard_deviations(glorot.eval(), [torch.rand(1, 3, 64, 64) * 255])
    assert 0.05 < deviations[5] < 20


def test_data_dependent_trunk_has_zero_mean_and_unit_variance_in_every_channel() -> None:
    torch.manual_seed(3)
    model = initialise(FCN(FCNConfig(width=0.125, head_width=8), 2))
    images = [torch.rand(1, 3, 64, 96) * 255, torch.rand(1, 3, 96, 64) * 120]
    before: dict[str, torch.Tensor] = {}
    for name, layer in model.trunk.named_children():
        layer.register_forward_hook(
            lambda _m, _i, y, name=name: before.__setitem__(name, y.clone())
        )  # ReLU works in place
    data_dependent_init(model, images)
    with torch.no_grad():
        seen = [
            {name: values.transpose(0, 1).flatten(1) for name, values in before.items()}
            for image in images
            if model.trunk(model.pad(model.normalise(image)))
        ]
    assert set(seen[0]) == set(TRUNK_LAYERS)
    for name in TRUNK_LAYERS:
        values = torch.cat([s[name] for s in seen], dim=1)
        torch.testing.assert_close(values.mean(1), torch.zeros(len(values)), atol=1e-3, rtol=0)
        torch.testing.assert_close(values.std(1), torch.ones(len(values)), atol=1e-2, rtol=0)


def test_frozen_trunk_is_an_option() -> None:
    model = initialise(FCN(FCNConfig(freeze_trunk=True, width=0.125, head_width=8), 2))
    assert not any(p.requires_grad for p in model.trunk.parameters())
    assert all(p.requires_grad for n, p in model.named_parameters() if not n.startswith("trunk."))


def test_preprocessing_is_in_the_model() -> None:
    plain = FCN(FCNConfig(width=0.125, head_width=8), 2, Preprocessing((0.0, 0.0, 0.0))).eval()
    randomise(plain)
    shifted = FCN(plain.config, 2, Preprocessing((10.0, 20.0, 30.0), (2.0, 4.0, 5.0))).eval()
    buffers = {k: v for k, v in plain.state_dict().items() if not k.startswith("normalise")}
    shifted.load_state_dict(buffers, strict=False)
    image = torch.rand(1, 3, 40, 40) * 200
    other = image * torch.tensor([2.0, 4, 5]).view(1, 3, 1, 1) + torch.tensor([10.0, 20, 30]).view(1, 3, 1, 1)
    torch.testing.assert_close(plain(image), shifted(other), atol=1e-4, rtol=1e-4)


def test_dropout_masks_belong_to_samples() -> None:
    model = initialise(FCN(FCNConfig(width=0.125, head_width=64, score_init="glorot"), 3)).train()
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


def test_dropout_keeps_the_mean() -> None:
    from atonce.model.vgg import SampleDropout

    layer = SampleDropout(0.5, stream=6).train()
    layer.seeds = [3]
    dropped = layer(torch.ones(1, 64, 32, 32))
    assert set(dropped.unique().tolist()) == {0.0, 2.0}
    assert float(dropped.mean()) == pytest.approx(1.0, abs=0.02)


def test_calibration_uses_the_original_statistics(real_data) -> None:  # type: ignore[no-untyped-def]
    """The issue's measurement: 538 at pool3, 111 at pool4, 7 at pool5 on CamVid with the original weights."""
    from atonce.data.images import read_image
    from atonce.weights import load_weights

    model = initialise(FCN(FCNConfig(head_width=8), 2))
    load_weights(model, real_data / "weights" / "vgg16_features.pth")
    pictures = sorted((real_data / "data" / "camvid" / "train").glob("*.png"))[::60]
    images = [torch.from_numpy(read_image(p).copy()).permute(2, 0, 1)[None] for p in pictures]
    deviations = pool_standard_deviations(model.eval(), images)
    assert deviations[3] == pytest.approx(538, rel=0.1)
    assert deviations[4] == pytest.approx(111, rel=0.1)
    assert deviations[5] == pytest.approx(7.4, rel=0.15)
