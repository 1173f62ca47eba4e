"""Train networks: read `loop.py` first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from atonce.lazy_names import lazy_names

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
    "Callback": "atonce.training.callbacks",
    "CallbackList": "atonce.training.callbacks",
    "StepRecord": "atonce.training.callbacks",
    "TrainedRun": "atonce.training.train_network",
    "TrainingPlan": "atonce.training.training_plan",
    "TrainingRun": "atonce.training.training_run",
    "choose_recipe": "atonce.training.recipe_choice",
    "choose_run": "atonce.training.recipe_choice",
    "fit": "atonce.training.loop",
    "plan": "atonce.training.training_plan",
    "run_training": "atonce.training.train_network",
    "set_up": "atonce.training.setup",
    "train": "atonce.training.train_network",
}

# Names load with their first use: what is mistyped is refused without waiting for torch.
__getattr__ = lazy_names(__name__, _MODULES)
