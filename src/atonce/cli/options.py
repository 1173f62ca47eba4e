"""Arguments and options that several commands share."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer


class GroundTruth(str, Enum):
    """The ground truth of KITTI road: all of the road, or the lane that the car is in."""

    ROAD = "road"
    LANE = "lane"


Data = Annotated[Path, typer.Argument(help="Folder of pictures and labels, of any tool in docs/own-data.md.")]
Format = Annotated[str | None, typer.Option(help="The data's format; recognised from the folder by default.")]
Images = Annotated[
    str | None, typer.Option(help="Folder of the pictures, in DATA or elsewhere, where the layout is not recognised.")
]
Masks = Annotated[str | None, typer.Option(help="Folder of their masks; with --images.")]
Bands = Annotated[
    str | None,
    typer.Option(help="Bands of the pictures to read, from 1 on: 4,3,2 as red, green, blue, or one; 1,2,3 by default."),
]
Model = Annotated[
    Path,
    typer.Argument(
        help="A run folder (its best model), a model file (.safetensors), an exported one (.onnx, .xml), a packaged "
        "model such as camvid-slim, or hf://user/name."
    ),
]
Device = Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1, ...; a GPU by default where there is one.")]
Truth = Annotated[GroundTruth | None, typer.Option(help="KITTI road: road or lane; what the model learned by default.")]
Engine = Annotated[
    str | None,
    typer.Option(help="torch, torch-bf16, onnxruntime, openvino, or auto for the fastest in fp32; torch by default."),
]

TTA = Annotated[
    str | None,
    typer.Option(
        metavar="VIEWS",
        help="Average several views of each picture: flip (twice the time), flip,scales (0.8 and 1.3 of the size, too: "
        "seven times), or factors: flip,0.75,1.25.",
    ),
]


def bands_of(text: str | None) -> tuple[int, ...] | None:
    """Read "4,3,2". Raises UserError: something else."""
    if text is None:
        return None
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        from atonce.errors import UserError, option

        raise UserError(f"{option('bands', text)}", "numbers from 1 on, such as 4,3,2") from None
