"""atonce export"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from atonce.cli.app import app
from atonce.cli.options import Format, Json, Quiet, out_option


@app.command()
def export(
    model: Annotated[Path, typer.Argument(help="A model file (model.safetensors) or a run folder.")],
    to: Annotated[
        Literal["onnx", "openvino"],
        typer.Option(help="One .onnx file, or OpenVINO's .xml and .bin; eight bits: --int8 besides."),
    ],
    out: Annotated[Path | None, out_option("The file; beside the model by default.")] = None,
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help="Also give float32 probabilities (N, C, H, W).")
    ] = False,
    int8: Annotated[bool, typer.Option("--int8", help="Eight bits; needs --calibration.")] = False,
    calibration: Annotated[
        Path | None, typer.Option(help="Data or pictures: INT8 is calibrated on them, the file is checked with them.")
    ] = None,
    format: Format = None,
    device: Annotated[
        str | None, typer.Option(help="cpu, which it is anyway: exported files are made and checked there.")
    ] = None,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Export a network as one graph from picture to labels, and check that it is the same network."""
    from atonce.cli.show import print_json, print_lines, print_note
    from atonce.model_location import require_model_file

    # What is mistyped is said here, before the seconds that importing torch takes.
    require_model_file(model)
    import torch

    from atonce.devices import describe_device
    from atonce.exporting import export as export_model
    from atonce.progress import progress_bar

    print_note(f"on {describe_device(torch.device('cpu'))}")
    with progress_bar("exporting") as progress:
        done = export_model(
            model,
            to=to,
            out=out,
            probabilities=probabilities,
            int8=int8,
            calibration=calibration,
            format=format,
            device=device,
            progress=progress,
            on_note=print_note,
        )
    if json_:
        print_json(done.to_json())
        return
    print_lines(*done.summary(), f"{done.path} ({done.megabytes:.1f} MB)")
