"""Small networks and model files, untrained; `tests/tiny.py` has a run that trains one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from atonce.data.input_size import InputSize
from atonce.labels import CAMVID, KITTI_ROAD, LabelSpec
from atonce.model import FCN, initialise
from atonce.model.preprocessing import FROM_SCRATCH, TORCHVISION, Preprocessing
from atonce.model_file import ModelFile
from atonce.recipes import FCNConfig


def small_network(num_classes: int = 3, preprocessing: Preprocessing = FROM_SCRATCH, **config: Any) -> FCN:
    """A network of an eighth of VGG-16's width, initialised as its config says."""
    settings = {"width": 0.125, "head_width": 8, **config}
    return initialise(FCN(FCNConfig.model_validate(settings), num_classes, preprocessing))


def randomise_biases(network: FCN, std: float) -> FCN:
    """Give every bias a value other than zero, so that a graph that loses one gives other scores."""
    for parameter in network.parameters():
        if parameter.ndim == 1:
            torch.nn.init.normal_(parameter, std=std)
    return network


def small_model_file(
    input_size: InputSize | None = None,
    labels: LabelSpec = CAMVID,
    preprocessing: Preprocessing = TORCHVISION,
    **config: Any,
) -> ModelFile:
    """A model file whose scores differ enough to tell a wrong graph from a right one."""
    settings = {"width": 0.1, "head_width": 16, "skip_scales": (0.7, 0.4), "head_scale": 0.8, "score_init": "glorot"}
    network = small_network(labels.num_classes, preprocessing, **{**settings, **config}).eval()
    return ModelFile(
        randomise_biases(network, 0.2),
        labels,
        input_size or InputSize(),
        recipe={"data": {"split_seed": 0}},
        scores={"step": 1},
    )


def save_model(path: Path, labels: LabelSpec = KITTI_ROAD, **data: object) -> Path:
    """Write the model file of a tiny FCN-32s at its random start; `data` is the section of its recipe."""
    network = FCN(FCNConfig(stride=32, width=0.05, head_width=4), labels.num_classes)
    ModelFile(network, labels, recipe={"data": data} if data else {}).save(path)
    return path
