"""Memory for time: intermediate results that are computed again in the backward pass instead of being kept.

Chen et al., "Training Deep Nets with Sublinear Memory Cost", 2016; also called activation checkpointing.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint


def recomputed(part: Callable[[Tensor], Tensor], x: Tensor, wanted: bool) -> Tensor:
    """part(x); where it is wanted and there will be a backward pass, nothing but x is kept for that.

    The second computation has the first one's autocast and random state, so its gradients are the same.
    """
    if not wanted or not torch.is_grad_enabled():
        return part(x)
    result: Tensor = checkpoint(part, x, use_reentrant=False)
    return result
