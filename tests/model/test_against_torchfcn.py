"""The `caffe` alignment is the published geometry: torchfcn's networks give the same logits."""

from __future__ import annotations

import pytest
import torch

from atonce.model import FCN, Preprocessing
from atonce.recipes import FCNConfig
from tests.model.torchfcn_peer import copy_weights, load_network, randomise

PLAIN = Preprocessing(mean=(0.0, 0.0, 0.0), std=(100.0, 100.0, 100.0))

VARIANTS = {
    "FCN32s": FCNConfig(stride=32, alignment="caffe"),
    "FCN16s": FCNConfig(stride=16, alignment="caffe", skip_scales="unit"),
    "FCN8s": FCNConfig(stride=8, alignment="caffe", skip_scales="unit"),
    "FCN8sAtOnce": FCNConfig(stride=8, alignment="caffe", skip_scales="at-once"),
}


@pytest.mark.parametrize("upsampling", ["fixed", "learned"])
@pytest.mark.parametrize("name", VARIANTS)
@torch.inference_mode()
def test_same_logits_as_torchfcn(name: str, upsampling: str) -> None:
    ours = FCN(VARIANTS[name].model_copy(update={"upsampling": upsampling}), num_classes=5, preprocessing=PLAIN)
    randomise(ours)
    theirs = load_network(name)(n_class=5)
    copy_weights(ours, theirs)
    image = torch.rand(1, 3, 41, 70) * 255
    expected = theirs.eval()(image / 100)
    actual = ours.eval()(image)
    assert actual.shape == expected.shape == (1, 5, 41, 70)
    assert expected.std() > 0.05, "the oracle's logits are flat: the comparison would show nothing"
    torch.testing.assert_close(actual, expected, atol=1e-4, rtol=0)
