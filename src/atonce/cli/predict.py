"""atonce predict"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from atonce.cli.app import app
from atonce.cli.options import Device, Engine, Model


@app.command()
def predict(
    model: Model,
    inputs: Annotated[list[Path], typer.Argument(help="Pictures and folders of pictures.")],
    out: Annotated[Path, typer.Option(help="Folder for overlays/, labels/ and probabilities/.")] = Path("out"),
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help="Also write float32 (C, H, W) as .npy.")
    ] = False,
    opacity: Annotated[float, typer.Option(min=0, max=1, help="Of the colours in the overlay.")] = 0.5,
    device: Device = None,
    engine: Engine = None,
) -> None:
    """Segment pictures: an overlay and a label picture of the same size for each."""
    from atonce.cli.show import console, progress_of
    from atonce.predict import Predictor
    from atonce.predict.batch import find_pictures, predict_files
    from atonce.storage import make_folder

    jobs = find_pictures(inputs)
    make_folder(out)
    predictor = Predictor.from_file(model, device, engine)
    with progress_of("predicting") as progress:
        broken = predict_files(predictor, jobs, out, opacity, probabilities, progress)
    for error in broken:
        console.print(f"atonce: {error}", highlight=False, markup=False, soft_wrap=True)
    typer.echo(f"{len(jobs) - len(broken)} of {len(jobs)} pictures segmented: {out}")
    if broken:
        raise typer.Exit(2)
