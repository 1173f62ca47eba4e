"""Preprocessing lies in the model, as buffers."""

from __future__ import annotations

import torch

from atonce.model import FCN, Preprocessing
from atonce.recipes import FCNConfig
from tests.model.torchfcn_peer import randomise


def test_preprocessing_is_in_the_model() -> None:
    plain = FCN(FCNConfig(width=0.125, head_width=8), 2, Preprocessing((0.0, 0.0, 0.0))).eval()
    randomise(plain)
    shifted = FCN(plain.config, 2, Preprocessing((10.0, 20.0, 30.0), (2.0, 4.0, 5.0))).eval()
    buffers = {k: v for k, v in plain.state_dict().items() if not k.startswith("normalise")}
    shifted.load_state_dict(buffers, strict=False)
    image = torch.rand(1, 3, 40, 40) * 200
    other = image * torch.tensor([2.0, 4, 5]).view(1, 3, 1, 1) + torch.tensor([10.0, 20, 30]).view(1, 3, 1, 1)
    torch.testing.assert_close(plain(image), shifted(other), atol=1e-4, rtol=1e-4)
