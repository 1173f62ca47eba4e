"""Training in stages: FCN-32s, then FCN-16s from it, then FCN-8s from that.

Shelhamer et al., PAMI 2017, section 4.3, and the authors' solvers of voc-fcn32s, voc-fcn16s and voc-fcn8s: each net
starts from the weights of the coarser one, its new score layer from zero, its solver without a history.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from atonce.errors import RecipeError
from atonce.model import FCN
from atonce.recipes import Recipe

_STRIDES = (32, 16, 8)


@dataclass(frozen=True)
class Stage:
    """A part of a run, in which a network of one stride is trained.

    Attributes:
        stride: 32, 16 or 8.
        begin, end: shares of the whole run, 0..1.
        lr_factor: the factor on every learning rate.
    """

    stride: int
    begin: float = 0.0
    end: float = 1.0
    lr_factor: float = 1.0

    def within(self, share: float) -> float:
        """Convert a share of the run to a share of this stage."""
        return (share - self.begin) / (self.end - self.begin)


def stages_of(recipe: Recipe) -> tuple[Stage, ...]:
    """List the stages of a run, the coarsest first; one for `schedule: at-once`.

    Raises:
        RecipeError: a stage would be shorter than one step.
    """
    if recipe.schedule == "at-once":
        return (Stage(recipe.model.stride),)
    knobs = zip(_STRIDES, recipe.stages.shares, recipe.stages.lr_factors, strict=True)
    used = [(stride, share, factor) for stride, share, factor in knobs if stride >= recipe.model.stride]
    total, before, stages = sum(share for _, share, _ in used), 0.0, []
    for stride, share, factor in used:
        stages.append(Stage(stride, before / total, (before + share) / total, factor))
        before += share
        # A hair of tolerance: 3 steps in 3 stages are 0.99999 steps each. Of epochs the steps are known later.
        if recipe.train.epochs is None and share / total * recipe.train.steps < 1 - 1e-9:
            raise RecipeError(
                f"stages.shares leave FCN-{stride}s {share / total * recipe.train.steps:.2g} of "
                f"{recipe.train.steps} steps",
                "a step or more for every stage",
            )
    return tuple(stages)


def extend_to_stride(model: FCN, stride: int) -> FCN:
    """Extend a trained network to a finer stride, on the CPU.

    It starts with the coarser one's predictions, but for the upsampling: what is new is a score layer of zeros.
    Learned upsampling whose factor is another starts bilinear.
    """
    config = model.config.model_copy(update={"stride": stride})
    finer = FCN(config, model.num_classes)
    target = finer.state_dict()
    known = {k: v for k, v in model.state_dict().items() if k in target and v.shape == target[k].shape}
    finer.load_state_dict({**target, **known})
    with torch.no_grad():
        for name, layer in finer.score_pools.items():
            if name not in model.score_pools:
                assert isinstance(layer, nn.Conv2d)
                layer.weight.zero_()
                assert layer.bias is not None
                layer.bias.zero_()
    finer.trunk.requires_grad_(not config.freeze_trunk)
    return finer
