"""torchfcn's networks as an oracle."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from atonce.errors import UserError
from atonce.model import FCN
from benchmarks.peers import torchfcn_class


def load_network(name: str) -> Any:
    """One of torchfcn's network classes."""
    try:
        return torchfcn_class(name)
    except UserError as error:
        pytest.skip(str(error))


def copy_weights(ours: FCN, theirs: Any) -> None:
    """Give torchfcn's network our weights, upsampling kernels included where we have any."""
    pairs = {f"trunk.{name}": name for name, _ in ours.trunk.named_children()}
    pairs |= {"head.fc6": "fc6", "head.fc7": "fc7", "score_fc7": "score_fr"}
    pairs |= {f"score_pools.{pool}": f"score_{pool}" for pool in ours.score_pools}
    target, source = theirs.state_dict(), ours.state_dict()
    for our_name, their_name in pairs.items():
        for part in ("weight", "bias"):
            target[f"{their_name}.{part}"].copy_(source[f"{our_name}.{part}"])
    ups = {8: ["upscore2", "upscore_pool4", "upscore8"], 16: ["upscore2", "upscore16"], 32: ["upscore"]}
    if ours.config.upsampling == "learned":
        names = [*(f"up_pools.{pool}" for pool in ours.up_pools), "up_output"]
        for our_name, their_name in zip(names, ups[ours.config.stride], strict=True):
            target[f"{their_name}.weight"].copy_(source[f"{our_name}.weight"])


def randomise(model: FCN, seed: int = 0) -> None:
    """Weights of ordinary size everywhere, biases and upsampling kernels too, so that each one matters."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter.normal_(0, 0.1, generator=generator)
            elif name.startswith("up_"):
                parameter.add_(torch.empty_like(parameter).normal_(0, 0.01, generator=generator))
            else:
                fan_in = parameter[0].numel()
                parameter.normal_(0, (2 / fan_in) ** 0.5, generator=generator)
