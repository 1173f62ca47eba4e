"""Small networks whose scores differ enough to tell a wrong graph from a right one."""

from __future__ import annotations

import numpy as np
import torch

from atonce.data.input_size import InputSize
from atonce.labels import CAMVID, LabelSpec
from atonce.model import FCN, initialise
from atonce.model.preprocessing import TORCHVISION, Preprocessing
from atonce.model_file import ModelFile
from atonce.recipes import FCNConfig


def bundle(
    input_size: InputSize | None = None,
    labels: LabelSpec = CAMVID,
    preprocessing: Preprocessing = TORCHVISION,
    **config: object,
) -> ModelFile:
    settings = {"width": 0.1, "head_width": 16, "skip_scales": (0.7, 0.4), "head_scale": 0.8, "score_init": "glorot"}
    model = initialise(FCN(FCNConfig.model_validate(settings | config), labels.num_classes, preprocessing)).eval()
    for parameter in model.parameters():
        if parameter.ndim == 1:
            torch.nn.init.normal_(parameter, std=0.2)
    return ModelFile(model, labels, input_size or InputSize(), recipe={"data": {"split_seed": 0}}, scores={"step": 1})


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (height // 20 + 1, width // 20 + 1, 3)).repeat(20, 0).repeat(20, 1)[:height, :width]
    return np.clip(coarse + rng.integers(-60, 61, (height, width, 3)), 0, 255).astype(np.uint8)
