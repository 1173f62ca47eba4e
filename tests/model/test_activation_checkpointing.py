"""Activation checkpointing: the same bits, less memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from atonce.model import FCN
from atonce.training import Callback, run_training, set_up
from tests.networks import small_network
from tests.tiny import log_of, tiny_recipe


def passes(model: FCN, images: Tensor, seeds: list[int] | None, autocast: bool = False) -> tuple[Tensor, list[Tensor]]:
    """Logits and gradients; ordinary dropout draws from the global generator."""
    model.zero_grad()
    torch.manual_seed(5)
    model.seed_dropout(seeds)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        logits = model(images)
    logits.float().square().mean().backward()
    return logits.detach(), [p.grad.clone() for p in model.parameters() if p.grad is not None]


def network(**config: Any) -> FCN:
    return small_network(**{"head_width": 16, **config}).train()


@pytest.mark.parametrize("config", [{}, {"alignment": "caffe", "upsampling": "learned"}, {"freeze_trunk": True}])
@pytest.mark.parametrize("seeds", [[3, 4], None])
@pytest.mark.parametrize("autocast", [False, True])
def test_logits_gradients_and_dropout_masks_are_the_same_bits(
    config: dict[str, object], seeds: list[int] | None, autocast: bool
) -> None:
    model, images = network(**config), torch.rand(2, 3, 64, 96) * 255
    kept, gradients = passes(model, images, seeds, autocast)
    model.set_activation_checkpointing(enabled=True)
    again, again_gradients = passes(model, images, seeds, autocast)
    assert torch.equal(kept, again)
    assert len(gradients) == len(again_gradients) == sum(p.requires_grad for p in model.parameters())
    assert all(torch.equal(one, other) for one, other in zip(gradients, again_gradients, strict=True))
    if seeds:
        assert not torch.equal(passes(model, images, [8, 9], autocast)[0], kept), "the masks do not matter here"


def kept_bytes(model: FCN, images: Tensor) -> int:
    """The bytes that the forward pass keeps for the backward pass, but for the weights."""
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        logits = model(images)
    size = sum(kept.values())
    logits.sum().backward()
    return size


def test_much_less_is_kept_for_the_backward_pass() -> None:
    model, images = network(), torch.rand(2, 3, 128, 160) * 255
    before = kept_bytes(model, images)
    model.set_activation_checkpointing(enabled=True)
    assert kept_bytes(model, images) < before / 4


def test_without_a_backward_pass_nothing_is_computed_twice() -> None:
    model, images = network().eval(), torch.rand(1, 3, 64, 64) * 255
    model.set_activation_checkpointing(enabled=True)
    calls = []
    model.trunk.conv1_1.register_forward_hook(lambda *_: calls.append(1))  # type: ignore[union-attr]
    with torch.no_grad():
        model(images)
    assert len(calls) == 1
    model(images).sum().backward()
    assert len(calls) == 3


@pytest.mark.parametrize("settings", [(), ("train.accumulate=2",), ("schedule=staged", "train.steps=6")])
def test_a_training_is_the_same_to_the_bit(street_data: Path, tmp_path: Path, settings: tuple[str, ...]) -> None:
    common = (*settings, "model.dropout=0.5", "optim.ema_decay=0.9")
    for name in ("false", "true"):
        run_training(tiny_recipe(*common, f"train.activation_checkpointing={name}"), street_data, tmp_path / name)
    kept, again = (log_of(tmp_path / name) for name in ("false", "true"))
    for quantity in ("loss", "grad_norm", "train_mean_iou"):
        assert [row[quantity] for row in kept] == [row[quantity] for row in again]


def test_the_recipe_decides_for_every_stage(street_data: Path, tmp_path: Path) -> None:
    recipe = tiny_recipe("train.activation_checkpointing=true", "schedule=staged", "train.steps=3")
    run = set_up(recipe, street_data, tmp_path / "run", resume=False, callback=Callback())
    assert run.model.trunk.activation_checkpointing
    run.next_stage()
    assert run.model.trunk.activation_checkpointing
