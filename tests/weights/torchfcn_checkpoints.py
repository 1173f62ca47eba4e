"""Checkpoints of torchfcn's networks, random, and the logits that belong to them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tests.model.torchfcn_peer import load_network

BGR_MEAN = torch.tensor([104.00698793, 116.66876762, 122.67891434]).view(3, 1, 1)
"""The authors' voc_layers.py."""

HEAD = 16
CLASSES = 5


@dataclass(frozen=True)
class Checkpoint:
    path: Path
    network: Any
    name: str

    @torch.inference_mode()
    def logits(self, image: np.ndarray) -> Tensor:
        """RGB (H, W, 3) -> (C, H, W), as torchfcn's loader and network do it."""
        bgr = torch.from_numpy(image[..., ::-1].copy()).permute(2, 0, 1).float() - BGR_MEAN
        logits: Tensor = self.network(bgr[None])[0]
        assert logits.std() > 0.05, "the oracle's logits are flat: the comparison would show nothing"
        return logits


def save_checkpoint(name: str, path: Path, classes: int = CLASSES, learned: bool = False) -> Checkpoint:
    """A random network of torchfcn with a narrow head, saved as its trainer saves it."""
    network = load_network(name)(n_class=classes)
    network.fc6, network.fc7 = nn.Conv2d(512, HEAD, 7), nn.Conv2d(HEAD, HEAD, 1)
    network.score_fr = nn.Conv2d(HEAD, classes, 1)
    generator = torch.Generator().manual_seed(classes)
    with torch.no_grad():
        for key, parameter in network.named_parameters():
            if key.startswith("upscore"):
                noise = torch.empty_like(parameter).normal_(0, 0.01, generator=generator)
                parameter.add_(noise if learned else 0)
            elif key.endswith("bias"):
                parameter.normal_(0, 0.1, generator=generator)
            else:
                parameter.normal_(0, (2 / parameter[0].numel()) ** 0.5, generator=generator)
        network.conv1_1.weight.mul_(0.01)
        # Scaled pools would leave no trace in the logits of an at-once network, were their scores not larger.
        if name == "FCN8sAtOnce":
            network.score_pool4.weight.mul_(100)
            network.score_pool3.weight.mul_(10000)
    torch.save({"epoch": 1, "model_state_dict": network.state_dict()}, path)
    return Checkpoint(path, network.eval(), name)
