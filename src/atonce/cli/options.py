"""Arguments and options that several commands share."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from enum import Enum
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer

from atonce.cli.completion import (
    complete_device,
    complete_engine,
    complete_format,
    complete_override,
    complete_recipe,
    complete_weights,
)
from atonce.threads import set_threads


class GroundTruth(str, Enum):
    """The ground truth of KITTI road: all of the road, or the lane that the car is in."""

    ROAD = "road"
    LANE = "lane"


def out_option(help: str) -> Any:
    """Declare --out, which is -o everywhere."""
    return typer.Option("--out", "-o", help=help)


def weights_option(help: str) -> Any:
    """Declare --weights."""
    return typer.Option("--weights", help=help, autocompletion=complete_weights)


def set_option(help: str) -> Any:
    """Declare --set."""
    return typer.Option("--set", help=help, autocompletion=complete_override)


def be_quiet(context: typer.Context, quiet: bool) -> bool:
    """Silence progress and notes, as long as the command runs."""
    if quiet and not context.resilient_parsing:
        from atonce.progress import console

        before, console.quiet = console.quiet, True
        context.call_on_close(lambda: setattr(console, "quiet", before))
    return quiet


Data = Annotated[Path, typer.Argument(help='Folder of pictures and labels, of any tool on the page "Your own data".')]
RecipeName = Annotated[
    str | None,
    typer.Option(
        "--recipe", help="A shipped recipe's name or a YAML file; by the data's format.", autocompletion=complete_recipe
    ),
]
Format = Annotated[
    str | None,
    typer.Option(help="The data's format; recognised from the folder by default.", autocompletion=complete_format),
]
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
        "model that is installed, by its name, or hf://user/name."
    ),
]
Device = Annotated[
    str | None,
    typer.Option(help="cpu, cuda, cuda:1, ...; a GPU by default where there is one.", autocompletion=complete_device),
]
Truth = Annotated[GroundTruth | None, typer.Option(help="KITTI road: road or lane; what the model learned by default.")]
Engine = Annotated[
    str | None,
    typer.Option(
        help="torch, torch-bf16, onnxruntime, openvino, openvino-bf16, or auto for the fastest in fp32, measured once; "
        "torch by default.",
        autocompletion=complete_engine,
    ),
]
TTA = Annotated[
    str | None,
    typer.Option(
        metavar="VIEWS",
        help="Average several views of each picture: flip (twice the time), flip,scales (0.8 and 1.3 of the size, too: "
        "seven times), or factors: flip,0.75,1.25.",
    ),
]
Json = Annotated[
    bool,
    typer.Option("--json", help='The result as one JSON document on stdout; the page "The command line" has its keys.'),
]
Quiet = Annotated[
    bool,
    typer.Option("--quiet", "-q", callback=be_quiet, help="No progress, no notes: the result and errors alone."),
]
Threads = Annotated[
    int | None,
    typer.Option(min=1, help="Threads that compute and decode, whatever else runs; one for each free core by default."),
]


def with_threads(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --threads to a command, which is obeyed before the command imports torch; one that has it keeps its own."""
    signature = inspect.signature(command, eval_str=True)
    if "threads" in signature.parameters:
        return command

    @wraps(command)
    def run(*, threads: int | None = None, **given: Any) -> Any:
        if threads is not None:
            set_threads(threads)
        return command(**given)

    own = inspect.Parameter("threads", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Threads)
    parameters = [*signature.parameters.values(), own]
    run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    # Evaluated once: typer asks several times for each command, and evaluates text anew each time.
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run


def bands_of(text: str | None) -> tuple[int, ...] | None:
    """Read "4,3,2". Raises UserError: something else."""
    if text is None:
        return None
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        from atonce.errors import UserError, option

        raise UserError(f"{option('bands', text)}", "numbers from 1 on, such as 4,3,2") from None
