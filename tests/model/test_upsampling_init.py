"""model.upsampling_init: what learned upsampling starts with."""

from __future__ import annotations

import pytest
import torch

from atonce.model import FCN, initialise
from atonce.model.upsampling import LearnedUpsample, bilinear_kernel
from atonce.recipes import FCNConfig
from atonce.training.stages import extend_to_stride


def network(**config: object) -> FCN:
    torch.manual_seed(0)
    settings = {"width": 0.125, "head_width": 8, "upsampling": "learned", **config}
    return initialise(FCN(FCNConfig.model_validate(settings), 5))


def upsampling(model: FCN) -> list[LearnedUpsample]:
    return [module for module in model.modules() if isinstance(module, LearnedUpsample)]


def test_bilinear_is_the_default() -> None:
    layers = upsampling(network())
    assert len(layers) == 3
    for layer in layers:
        kernel = layer.weight.detach()
        assert torch.equal(kernel[2, 2], bilinear_kernel(layer.stride[0])) and not kernel[2, 1].any()


@pytest.mark.parametrize("sigma", [0.01, 0.1])
def test_normal_is_truncated_at_two_standard_deviations(sigma: float) -> None:
    for layer in upsampling(network(upsampling_init="normal", upsampling_init_sigma=sigma)):
        kernel = layer.weight.detach()
        assert kernel.abs().max() <= 2 * sigma
        # Cut at two standard deviations, a normal distribution keeps 0.88 of its own.
        assert float(kernel.std()) == pytest.approx(0.88 * sigma, rel=0.1)
        assert abs(float(kernel.mean())) < 0.1 * sigma and kernel[0, 1].any(), "classes are mixed from the start"


@pytest.mark.parametrize("sigma", [0.01, 0.1])
def test_a_normal_start_passes_on_a_share_of_the_scores(sigma: float) -> None:
    """Docs/experiments.md: 0.88 sigma sqrt(4 C), since each output adds up 2 x 2 positions of C classes."""
    model = network(upsampling_init="normal", upsampling_init_sigma=sigma)
    for layer in upsampling(model):
        scores = torch.randn(8, layer.in_channels, 20, 20)
        with torch.no_grad():
            inner = layer(scores)[..., layer.stride[0] : -layer.stride[0], layer.stride[0] : -layer.stride[0]]
        share = float(inner.square().mean().sqrt() / scores.square().mean().sqrt())
        assert share == pytest.approx(0.88 * sigma * (4 * layer.in_channels) ** 0.5, rel=0.15)


def test_other_layers_start_as_they_did() -> None:
    """The draws for the trunk, the head and the scores come first, so that runs differ in nothing else."""
    one, other = network().state_dict(), network(upsampling_init="normal").state_dict()
    assert all(torch.equal(one[key], other[key]) for key in one if not key.startswith("up_"))
    fixed = network(upsampling="fixed", upsampling_init="normal").state_dict()
    assert all(torch.equal(fixed[key], one[key]) for key in fixed)


def test_a_later_stage_starts_with_the_predictions_of_the_one_before() -> None:
    coarse = network(upsampling_init="normal", stride=16)
    finer = extend_to_stride(coarse, 8)
    one, other = coarse.state_dict(), finer.state_dict()
    assert torch.equal(one["up_pools.pool4.weight"], other["up_pools.pool4.weight"])
    assert torch.equal(other["up_pools.pool3.weight"][1, 1], bilinear_kernel(2))
