"""Arguments and options that several commands share."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer


class GroundTruth(str, Enum):
    """Of KITTI road: all of the road, or the lane that the car is in."""

    ROAD = "road"
    LANE = "lane"


Data = Annotated[Path, typer.Argument(help="Folder of KITTI road, CamVid, Cityscapes, VOC, or images/ and masks/.")]
Format = Annotated[str | None, typer.Option(help="The data's format; recognised from the folder by default.")]
Model = Annotated[
    Path,
    typer.Argument(help="A run folder (its best model), a model file (.safetensors) or an exported one (.onnx, .xml)."),
]
Device = Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1, ...; a GPU by default where there is one.")]
Truth = Annotated[GroundTruth | None, typer.Option(help="KITTI road: road or lane; what the model learned by default.")]
Engine = Annotated[
    str | None,
    typer.Option(help="torch, torch-bf16, onnxruntime, openvino, or auto for the fastest in fp32; torch by default."),
]
