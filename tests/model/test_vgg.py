"""Faster ways to the same result."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from atonce.model import FCN
from atonce.model.vgg import TRUNK_LAYERS, VGG16_CHANNELS, Trunk, im2col_conv2d, im2col_is_faster
from atonce.recipes import FCNConfig


def in_channels_last(layer: Any) -> nn.Conv2d:
    # torch's own stubs leave the memory format out of Module.to.
    moved: nn.Conv2d = layer.to(memory_format=torch.channels_last)
    return moved


def test_im2col_is_the_convolution() -> None:
    layer = in_channels_last(nn.Conv2d(5, 30, 7))
    x = torch.rand(2, 5, 9, 11).contiguous(memory_format=torch.channels_last).requires_grad_()
    y = x.detach().clone(memory_format=torch.preserve_format).requires_grad_()
    assert im2col_is_faster(layer, x)
    expected = layer(x)
    expected.square().sum().backward()
    gradients = [p.grad for p in layer.parameters()]
    layer.zero_grad()
    found = im2col_conv2d(layer, y)
    found.square().sum().backward()
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(y.grad, x.grad)
    for parameter, gradient in zip(layer.parameters(), gradients, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)


@pytest.mark.parametrize(
    ("layer", "size"),
    [
        (nn.Conv2d(5, 30, 7), (2, 9, 11)),  # its kernel would have to be copied
        (in_channels_last(nn.Conv2d(5, 29, 7)), (2, 9, 11)),  # 30 windows
        (in_channels_last(nn.Conv2d(5, 30, 1)), (1, 3, 3)),
    ],
)
def test_other_layers_are_left_to_the_convolution(layer: nn.Conv2d, size: tuple[int, int, int]) -> None:
    assert not im2col_is_faster(layer, torch.rand(size[0], 5, *size[1:]))


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


def test_dropout_keeps_the_mean() -> None:
    from atonce.model.vgg import SampleDropout

    layer = SampleDropout(0.5, stream=6).train()
    layer.seeds = [3]
    dropped = layer(torch.ones(1, 64, 32, 32))
    assert set(dropped.unique().tolist()) == {0.0, 2.0}
    assert float(dropped.mean()) == pytest.approx(1.0, abs=0.02)
