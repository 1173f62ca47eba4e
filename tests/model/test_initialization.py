"""The initialisers: of score layers by the recipe, of the trunk by He or by the data."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from atonce.model import FCN
from atonce.model.initialization import data_dependent_init
from atonce.model.skip_scaling import pool_standard_deviations
from atonce.model.vgg import TRUNK_LAYERS
from tests.networks import small_network


def wide_network(**config: Any) -> FCN:
    """A network of VGG-16's own width, for 21 classes."""
    return small_network(21, width=1.0, head_width=512, **config)


def test_initialisers() -> None:
    torch.manual_seed(1)
    zeros = wide_network(score_init="zeros")
    assert all(not parameter.any() for layer in zeros.score_layers() for parameter in layer.parameters())
    for sigma in (0.01, 0.001):
        normal = wide_network(score_init="normal", score_init_sigma=sigma)
        for weight in (layer.weight.detach() for layer in normal.score_layers()):
            assert float(weight.abs().max()) <= 2 * sigma + 1e-9
            # A normal cut at two deviations has 0.880 of its deviation left.
            assert float(weight.std()) == pytest.approx(0.880 * sigma, rel=0.05)
    glorot = wide_network(score_init="glorot")
    limit = (6 / (512 + 21)) ** 0.5
    assert float(glorot.score_fc7.weight.detach().abs().max()) == pytest.approx(limit, rel=0.02)
    # He: the activations neither vanish nor explode through the trunk.
    deviations = pool_standard_deviations(glorot.eval(), [torch.rand(1, 3, 64, 64) * 255])
    assert 0.05 < deviations[5] < 20


def test_data_dependent_trunk_has_zero_mean_and_unit_variance_in_every_channel() -> None:
    torch.manual_seed(3)
    model = small_network(2)
    images = [torch.rand(1, 3, 64, 96) * 255, torch.rand(1, 3, 96, 64) * 120]
    before: dict[str, torch.Tensor] = {}
    for name, layer in model.trunk.named_children():
        layer.register_forward_hook(
            lambda _m, _i, y, name=name: before.__setitem__(name, y.clone())
        )  # ReLU works in place
    data_dependent_init(model, images)
    seen = []
    for image in images:
        with torch.no_grad():
            model.trunk(model.pad(model.normalise(image)))
        seen.append({name: values.transpose(0, 1).flatten(1) for name, values in before.items()})
    assert set(seen[0]) == set(TRUNK_LAYERS)
    for name in TRUNK_LAYERS:
        values = torch.cat([s[name] for s in seen], dim=1)
        torch.testing.assert_close(values.mean(1), torch.zeros(len(values)), atol=1e-3, rtol=0)
        torch.testing.assert_close(values.std(1), torch.ones(len(values)), atol=1e-2, rtol=0)
