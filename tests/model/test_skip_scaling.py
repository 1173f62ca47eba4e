"""Calibrated scales: what the derivation in docs/skip-scaling.md promises, measured."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from atonce.errors import TrainingError
from atonce.model import FCN, initialise
from atonce.model.skip_scaling import calibrate, head_mean_squared_norm, pool_standard_deviations, pool_statistics
from atonce.recipes import FCNConfig
from tests.model.rescaled import network, score_gradients, steps_of_logits, streets, train
from tests.networks import small_network

SMALL: dict[str, Any] = {"head_width": 16, "skip_scales": "calibrate"}


@pytest.fixture(scope="module")
def scenes() -> tuple[Tensor, Tensor]:
    return streets()


def ratio_of_extremes(values: Sequence[float]) -> float:
    return max(values) / min(values)


@pytest.mark.parametrize("gain", [1.0, 300.0])
def test_each_score_layer_is_given_the_same_mean_squared_norm(gain: float) -> None:
    images = [torch.rand(2, 3, 64, 96) * 255 for _ in range(3)]
    model = small_network(2, **SMALL, head_scale="calibrate").train()
    with torch.no_grad():
        model.get_parameter("trunk.conv3_3.weight").mul_(gain)
    resolved = calibrate(model, images)
    statistics = pool_statistics(model, images)
    head = head_mean_squared_norm(model, statistics.pool5, model.head_scale)
    for pool, scale in model.scales.items():
        assert statistics.pools[pool].mean_squared_norm * scale**2 == pytest.approx(head, rel=1e-6)
    assert statistics.pools[5].mean_square * model.head_scale**2 == pytest.approx(1.0, rel=1e-6)
    assert resolved.skip_scales == (model.scales[4], model.scales[3])
    assert model.head.training, "calibration leaves the network as it was"


def test_the_order_and_grouping_of_the_pictures_do_not_matter() -> None:
    images = torch.rand(4, 3, 64, 96) * 255
    model = small_network(2, **SMALL)
    whole = pool_statistics(model, [images])
    parts = pool_statistics(model, [images[2:], images[:2]])
    for pool, moments in whole.pools.items():
        assert parts.pools[pool].mean_squared_norm == pytest.approx(moments.mean_squared_norm, rel=1e-6)
        assert moments.mean_squared_norm == pytest.approx(moments.mean_square * model.trunk.channels[pool - 1])


def test_numbers_that_are_given_are_left_alone() -> None:
    model = small_network(2, skip_scales=(0.5, 0.25), head_scale=2.0)
    assert calibrate(model, [torch.rand(1, 3, 64, 64) * 255]) == model.config
    assert model.scales == {4: 0.5, 3: 0.25}
    assert model.head_scale == 2.0


def test_nothing_to_calibrate_on() -> None:
    model = small_network(2, **SMALL)
    with pytest.raises(TrainingError, match="standard deviation of nan"):
        calibrate(model, [])
    with torch.no_grad():
        torch.nn.init.constant_(model.get_parameter("head.fc7.bias"), -1e9)
    with pytest.raises(TrainingError, match="fc7 have a mean square of 0"):
        calibrate(model, [torch.rand(1, 3, 64, 64) * 255])


def test_gradients_and_steps_of_the_three_branches_are_of_one_size(scenes: tuple[Tensor, Tensor]) -> None:
    """The measure of the rule. The constants and no scales miss it by orders of magnitude on the same network."""
    calibrated = network("calibrate", scenes[0])
    assert ratio_of_extremes(score_gradients(calibrated, *scenes)) < 1.5
    assert ratio_of_extremes(steps_of_logits(calibrated, *scenes, adam=False)) < 2
    assert ratio_of_extremes(steps_of_logits(calibrated, *scenes, adam=True)) < 2
    for scales in ("at-once", "unit"):
        other = network(scales, scenes[0])
        assert ratio_of_extremes(score_gradients(other, *scenes)) > 20
        assert ratio_of_extremes(steps_of_logits(other, *scenes, adam=False)) > 400
        assert ratio_of_extremes(steps_of_logits(other, *scenes, adam=True)) > 25


@pytest.mark.parametrize(("pool3", "pool4"), [(128.0, 128.0), (1 / 128, 1 / 128), (128.0, 1 / 128)])
def test_in_a_rescaled_trunk_calibrated_training_is_the_same_to_the_bit(
    scenes: tuple[Tensor, Tensor], pool3: float, pool4: float
) -> None:
    """A power of two changes no mantissa: the scaled activations are the same numbers."""
    plain, rescaled = network("calibrate", scenes[0]), network("calibrate", scenes[0], pool3, pool4)
    assert rescaled.scales == {4: plain.scales[4] / pool4, 3: plain.scales[3] / pool3}
    assert train(rescaled, *scenes, steps=20) == train(plain, *scenes, steps=20)


def test_in_a_rescaled_trunk_the_constants_fail_and_calibration_does_not(scenes: tuple[Tensor, Tensor]) -> None:
    """A trunk with VGG-16's statistics; pool3 and pool4 times and divided by 100; 60 steps; the final losses.

    times 100: the constants diverge. divided by 100: what they let through is nothing, and all that is left is an
    FCN-32s.
    """

    def final(scales: str, factor: float, stride: int = 8) -> tuple[float, float]:
        """Loss, and the share of the logits that the skips make."""
        model = network(scales, scenes[0], factor, factor, stride)
        return train(model, *scenes)[-1], skip_share(model, scenes[0])

    calibrated, share = final("calibrate", 1)
    coarse, _ = final("calibrate", 1, stride=32)
    assert calibrated < coarse < 1.0
    assert share > 0.02
    assert final("at-once", 1)[0] < coarse, "the constants fit statistics like the original ones"
    for factor in (100, 1 / 100):
        assert final("calibrate", factor) == pytest.approx((calibrated, share), rel=1e-4)
    blown_up, _ = final("at-once", 100)
    assert not math.isfinite(blown_up) or blown_up > 20 * math.log(11), "worse than guessing, by far"
    dead, share = final("at-once", 1 / 100)
    assert dead > calibrated + 0.005
    assert share < 1e-5


@torch.inference_mode()
def skip_share(model: FCN, images: Tensor) -> float:
    """The share of the variance of the logits over the pixels that is gone without the skips' kernels."""
    full = model(images)
    for name, parameter in model.named_parameters():
        if name.startswith("score_pools.") and name.endswith(".weight"):
            parameter.zero_()
    mean = full.mean((0, 2, 3), keepdim=True)
    return float((full - model(images)).square().mean() / (full - mean).square().mean())


def test_calibration_uses_the_original_statistics(real_data: Path) -> None:
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


def test_progress_is_at_its_end_when_all_has_been_computed() -> None:
    """The head, which takes as long as the trunk, is counted, too."""
    model, told = small_network(2, **SMALL, head_scale="calibrate"), list[tuple[int, int]]()
    calibrate(model, list(torch.rand(2, 1, 3, 64, 64) * 255), lambda done, total: told.append((done, total)))
    assert told == [(0, 4), (1, 4), (2, 4), (2, 4), (3, 4), (4, 4)]
