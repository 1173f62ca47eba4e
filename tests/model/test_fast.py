"""Faster ways to the same result."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from atonce.model import FCN, initialise
from atonce.model.vgg import im2col_conv2d, im2col_is_faster
from atonce.recipes import FCNConfig


def test_im2col_is_the_convolution() -> None:
    layer = nn.Conv2d(5, 30, 7).to(memory_format=torch.channels_last)
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
        (nn.Conv2d(5, 29, 7).to(memory_format=torch.channels_last), (2, 9, 11)),  # 30 windows
        (nn.Conv2d(5, 30, 1).to(memory_format=torch.channels_last), (1, 3, 3)),
    ],
)
def test_other_layers_are_left_to_the_convolution(layer: nn.Conv2d, size: tuple[int, int, int]) -> None:
    assert not im2col_is_faster(layer, torch.rand(size[0], 5, *size[1:]))


@pytest.mark.parametrize("upsampling", ["fixed", "learned"])
@pytest.mark.parametrize("alignment", ["caffe", "same"])
def test_bf16_copy_is_nearly_the_same_and_leaves_the_original_alone(upsampling: str, alignment: str) -> None:
    torch.manual_seed(0)
    config = FCNConfig.model_validate(
        {"width": 0.125, "head_width": 16, "upsampling": upsampling, "alignment": alignment}
    )
    model = initialise(FCN(config, 3)).to(memory_format=torch.channels_last).eval()
    images = torch.randint(256, (1, 3, 50, 70), dtype=torch.uint8)
    model(images).sum().backward()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    copy = model.bf16_copy()
    with torch.no_grad():
        exact, rounded = model(images), copy(images)
    assert rounded.dtype == torch.float32
    assert 0 < (exact - rounded).abs().mean() < 0.02 * exact.std()
    assert copy.trunk.conv1_1.weight.dtype == torch.bfloat16
    assert all(p.grad is None for p in copy.parameters())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
