"""Muon: what its steps are, and what of them is Adam's."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from atonce.recipes.schema import OptimConfig
from atonce.training.muon import Muon, orthogonalise
from atonce.training.optimizers import build_optimizer, parameter_groups
from tests.networks import small_network


def plain_newton_schulz(matrix: Tensor) -> Tensor:
    """As its authors publish it: on the matrix itself, in float64."""
    x: Tensor = matrix.double() / matrix.double().norm()
    for _ in range(5):
        gram = x @ x.T
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    return x


@pytest.mark.parametrize("shape", [(16, 27), (27, 16), (64, 576), (8, 8), (1, 9), (128, 6272)])
def test_the_short_way_round_is_the_published_iteration(shape: tuple[int, int]) -> None:
    matrices = [torch.randn(size) for size in (shape, (16, 144), shape)]
    found = orthogonalise(matrices)
    assert [tuple(m.shape) for m in found] == [shape, (16, 144), shape]
    for one, matrix in zip(found, matrices, strict=True):
        torch.testing.assert_close(one.double(), plain_newton_schulz(matrix), atol=2e-3, rtol=0)


@pytest.mark.parametrize("condition", [1.0, 1e2, 1e5])
def test_singular_values_come_near_one_and_directions_stay(condition: float) -> None:
    u, _ = torch.linalg.qr(torch.randn(24, 24))
    v, _ = torch.linalg.qr(torch.randn(60, 24))
    values = torch.logspace(0, -torch.log10(torch.tensor(condition)), 24)
    found = u.T @ orthogonalise([u @ torch.diag(values) @ v.T])[0] @ v
    seen = torch.diagonal(found)[values / values.norm() > 0.01]
    assert len(seen) >= 8
    assert seen.min() > 0.6
    assert seen.max() < 1.25
    assert (found - torch.diag(torch.diagonal(found))).abs().max() < 0.02


def test_nothing_to_learn_is_no_step_and_no_nan() -> None:
    assert torch.equal(orthogonalise([torch.zeros(4, 9)])[0], torch.zeros(4, 9))


def test_rare_directions_step_as_far_as_frequent_ones() -> None:
    """Adam's and SGD's steps go where the gradient is large; Muon's go everywhere it is not zero."""
    weight = nn.Parameter(torch.zeros(2, 4, 3, 3))
    gradient = torch.zeros(2, 36)
    gradient[0, 0], gradient[1, 1] = 1.0, 0.01
    weight.grad = gradient.view_as(weight)
    Muon([{"params": [weight], "orthogonal": True}], lr=0.1).step()
    step = weight.detach().flatten(1)
    scale = 0.1 * 0.2 * 36**0.5
    assert -step[0, 0] / scale == pytest.approx(1, abs=0.35)
    assert -step[1, 1] / scale == pytest.approx(1, abs=0.35)


def test_the_memory_format_changes_nothing() -> None:
    steps = []
    for layout in (torch.contiguous_format, torch.channels_last):
        torch.manual_seed(1)
        weight = nn.Parameter(torch.randn(8, 4, 3, 3).contiguous(memory_format=layout))
        weight.grad = torch.randn(8, 4, 3, 3).contiguous(memory_format=layout)
        Muon([{"params": [weight], "orthogonal": True}], lr=0.1).step()
        steps.append(weight.detach().clone(memory_format=torch.contiguous_format))
    torch.testing.assert_close(*steps)


def test_what_is_not_orthogonal_steps_as_adamw() -> None:
    ours, theirs = (nn.Parameter(torch.linspace(-1, 1, 6)) for _ in range(2))
    one = Muon([{"params": [ours], "weight_decay": 0.1}], lr=0.01, betas=(0.9, 0.99))
    two = torch.optim.AdamW([theirs], lr=0.01, betas=(0.9, 0.99), weight_decay=0.1)
    for _ in range(5):
        ours.grad = theirs.grad = torch.randn(6)
        one.step()
        two.step()
    torch.testing.assert_close(ours, theirs)


def test_kernels_of_trunk_and_head_alone_are_orthogonal() -> None:
    model = small_network(upsampling="learned")
    groups = parameter_groups(model, OptimConfig(name="muon", weight_decay=0.1))
    assert [g["name"] for g in groups if g["orthogonal"]] == ["trunk kernels", "head kernels"]
    assert all(p.ndim == 4 for g in groups if g["orthogonal"] for p in g["params"])


def test_weights_without_a_gradient_stay() -> None:
    model = small_network()
    optimizer = build_optimizer(model, OptimConfig(name="muon", weight_decay=0.1))
    before = [p.detach().clone() for p in model.parameters()]
    optimizer.step()
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
