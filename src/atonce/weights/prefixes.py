"""Prefixes that training scripts leave on the names of a state dict: `module.`, `_orig_mod.`, `encoder.`, `backbone.`

DataParallel wraps a module as `module`, torch.compile as `_orig_mod`, wherever it is applied; a network around VGG-16
gives it any name at all. What follows the name is the VGG-16's own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from atonce.errors import WeightsError

_WRAPPERS = {"module", "_orig_mod"}

_FIRST_LAYERS = ("trunk.conv1_1.weight", "features.0.weight", "features_0.weight", "conv1_1.weight")
"""The names that the first convolution has in the layouts of state dicts; the more special before those they end in."""


def without_prefixes(path: Path, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a state dict under the names of the VGG-16 in it.

    What lies beside a VGG-16 with a prefix belongs to another part of its network, and is left out. A bare Sequential,
    `0.weight`, `2.weight`, ..., becomes `features.0.weight`, as do timm's `features_0.weight`.

    Raises:
        WeightsError: there are two of them.
    """
    found: dict[str, Tensor] = {}
    for key, tensor in tensors.items():
        name = ".".join(part for part in key.split(".") if part not in _WRAPPERS)
        if name in found:
            raise WeightsError(f"{path} holds {name} twice: also as {key}", "one VGG-16")
        found[name] = tensor
    for first in _FIRST_LAYERS:
        prefixes = [key.removesuffix(first) for key in found if key == first or key.endswith(f".{first}")]
        if prefixes:
            inner = _inside(path, found, prefixes)
            return {re.sub(r"^features_(?=\d)", "features.", key): tensor for key, tensor in inner.items()}
    bare = [key.removesuffix("0.weight") for key, tensor in found.items() if _begins_vgg(found, key, tensor)]
    if bare:
        return {f"features.{key}": tensor for key, tensor in _inside(path, found, bare).items()}
    return found


def _inside(path: Path, tensors: Mapping[str, Tensor], prefixes: list[str]) -> dict[str, Tensor]:
    """The tensors below the one prefix."""
    if "" in prefixes:
        return dict(tensors)
    if len(prefixes) > 1:
        raise WeightsError(f"{path} holds {len(prefixes)} of VGG-16, as {' and as '.join(prefixes[:4])}", "one VGG-16")
    return {key.removeprefix(prefixes[0]): t for key, t in tensors.items() if key.startswith(prefixes[0])}


def _begins_vgg(tensors: Mapping[str, Tensor], key: str, first: Tensor) -> bool:
    """Tell whether a key is the `0.weight` of a Sequential that begins as VGG-16 does."""
    if key != "0.weight" and not key.endswith(".0.weight"):
        return False
    second = tensors.get(f"{key.removesuffix('0.weight')}2.weight")
    return first.shape == (64, 3, 3, 3) and second is not None and second.shape == (64, 64, 3, 3)
