"""atonce submit"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from atonce.cli.app import app
from atonce.cli.options import Device, Model, Truth


@app.command()
def submit(
    model: Model,
    data: Annotated[Path, typer.Argument(help="data_road/testing of the KITTI road benchmark, or data_road.")],
    out: Annotated[Path, typer.Option(help="The zip to write.")] = Path("submission.zip"),
    ground_truth: Truth = None,
    device: Device = None,
) -> None:
    """Write what the KITTI road benchmark takes: confidences of road seen from above, one PNG a picture, in a zip."""
    from atonce.cli.show import progress_of
    from atonce.evaluation.kitti_submission import find_testing, write_submission
    from atonce.inference import Predictor
    from atonce.text import listing

    predictor = Predictor.from_file(model, device)
    learned = predictor.bundle.recipe.get("data", {}).get("ground_truth")
    kind = ground_truth.value if ground_truth else learned or "road"
    pictures = find_testing(data, kind)
    with progress_of("predicting") as progress:
        write_submission(predictor, pictures.entries, out, progress)
    if pictures.left_out:
        typer.echo(f"not part of um_{kind}, left out: {len(pictures.left_out)} ({listing(pictures.left_out)})")
    typer.echo(f"{len(pictures.entries)} views from above ({kind}): {out}")
