"""Train networks: read `loop.py` first."""

from atonce.training.callbacks import Callback, CallbackList, StepRecord
from atonce.training.loop import fit
from atonce.training.setup import set_up
from atonce.training.train_network import TrainedRun, run_training, train
from atonce.training.training_run import TrainingRun

__all__ = [
    "Callback",
    "CallbackList",
    "StepRecord",
    "TrainedRun",
    "TrainingRun",
    "fit",
    "run_training",
    "set_up",
    "train",
]
