"""Train networks: read `loop.py` first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from atonce.training.callbacks import Callback, CallbackList, StepRecord
    from atonce.training.loop import fit
    from atonce.training.recipe_choice import choose_recipe, choose_run
    from atonce.training.setup import set_up
    from atonce.training.train_network import TrainedRun, run_training, train
    from atonce.training.training_plan import TrainingPlan, plan
    from atonce.training.training_run import TrainingRun

__all__ = [
    "Callback",
    "CallbackList",
    "StepRecord",
    "TrainedRun",
    "TrainingPlan",
    "TrainingRun",
    "choose_recipe",
    "choose_run",
    "fit",
    "plan",
    "run_training",
    "set_up",
    "train",
]

_MODULES = {
    "Callback": "callbacks",
    "CallbackList": "callbacks",
    "StepRecord": "callbacks",
    "TrainedRun": "train_network",
    "TrainingPlan": "training_plan",
    "TrainingRun": "training_run",
    "choose_recipe": "recipe_choice",
    "choose_run": "recipe_choice",
    "fit": "loop",
    "plan": "training_plan",
    "run_training": "train_network",
    "set_up": "setup",
    "train": "train_network",
}


def __getattr__(name: str) -> Any:
    # Names load with their first use: what is mistyped is refused without waiting for torch.
    if name not in _MODULES:
        raise AttributeError(f"module 'atonce.training' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(f"atonce.training.{_MODULES[name]}"), name)
