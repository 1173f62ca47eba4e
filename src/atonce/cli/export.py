"""atonce export"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from atonce.cli.app import app
from atonce.cli.options import Format

if TYPE_CHECKING:
    from atonce.exporting.check_images import CheckImages
    from atonce.model_file import ModelFile


@app.command()
def export(
    model: Annotated[Path, typer.Argument(help="A model file (model.safetensors).")],
    to: Annotated[Literal["onnx", "openvino"], typer.Option(help="One .onnx file, or OpenVINO's .xml and .bin.")],
    out: Annotated[Path | None, typer.Option(help="The file; beside the model by default.")] = None,
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help="Also give float32 probabilities (N, C, H, W).")
    ] = False,
    int8: Annotated[bool, typer.Option("--int8", help="Eight bits; needs --calibration.")] = False,
    calibration: Annotated[
        Path | None, typer.Option(help="Data or pictures: INT8 is calibrated on them, the file is checked with them.")
    ] = None,
    format: Format = None,
) -> None:
    """Export a network as one graph from picture to labels, and check that it is the same network."""
    from atonce.errors import UserError
    from atonce.exporting import Target
    from atonce.exporting import export as export_bundle
    from atonce.model_file import load_model_file
    from atonce.progress import progress_bar as progress_of

    if int8 and calibration is None:
        raise UserError("--int8 without --calibration", "a data set or a folder of typical pictures")
    target = Target(to)
    bundle = load_model_file(model)
    out = out or model.with_name(f"{model.stem}{'-int8' if int8 else ''}{target.suffix}")
    material = _material(calibration, bundle, format)
    with progress_of("checking") as progress:
        done = export_bundle(bundle, target, out, material, probabilities, int8, progress)
    typer.echo(done.parity.summary())
    typer.echo(f"{done.path} ({done.megabytes:.1f} MB)")


def _material(calibration: Path | None, bundle: ModelFile, format: str | None) -> CheckImages:
    """A picture or a folder of pictures is taken as it is; anything else is a data set."""
    from atonce.data import open_dataset
    from atonce.exporting.check_images import from_dataset, from_pictures, from_scenes
    from atonce.inference.inputs import find_pictures

    if calibration is None:
        return from_scenes()
    if format is None and _holds_pictures(calibration):
        return from_pictures([job.source for job in find_pictures([calibration])])
    trained = bundle.recipe.get("data", {})
    dataset = open_dataset(
        calibration, format, seed=trained.get("split_seed", 0), val_fraction=trained.get("val_fraction", 0.2)
    )
    return from_dataset(dataset, bundle.labels)


def _holds_pictures(path: Path) -> bool:
    from atonce.data.images import IMAGE_SUFFIXES

    if path.is_file():
        return True
    return path.is_dir() and any(p.suffix.lower() in IMAGE_SUFFIXES for p in path.iterdir())
