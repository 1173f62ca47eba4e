"""Activation checkpointing, also called gradient checkpointing.

Activations are computed again in the backward pass instead of being kept.
Chen et al., "Training Deep Nets with Sublinear Memory Cost", 2016. It trades time for memory.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint


def checkpointed(part: Callable[[Tensor], Tensor], x: Tensor, *, enabled: bool) -> Tensor:
    """Compute part(x); where checkpointing is enabled and there will be a backward pass, only x is kept for that.

    The second computation has the first one's autocast and random state, so its gradients are the same.
    """
    if not enabled or not torch.is_grad_enabled():
        return part(x)
    result: Tensor = checkpoint(part, x, use_reentrant=False)
    return result
