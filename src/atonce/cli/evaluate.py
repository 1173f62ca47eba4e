"""atonce evaluate"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from atonce.cli.app import app
from atonce.cli.train import Data, Format

if TYPE_CHECKING:
    from atonce.data import Dataset
    from atonce.predict import Predictor

Model = Annotated[Path, typer.Argument(help="A model file (model.safetensors).")]
Device = Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1, ...; a GPU by default where there is one.")]


@app.command()
def evaluate(
    model: Model,
    data: Data,
    split: Annotated[str, typer.Option(help="Which split: val, train or test.")] = "val",
    json_: Annotated[bool, typer.Option("--json", help="Scores as JSON on stdout instead of a table.")] = False,
    out: Annotated[Path | None, typer.Option(help="Folder for evaluation.json, CSV, gallery and report.html.")] = None,
    format: Format = None,
    device: Device = None,
) -> None:
    """Score a model on a split: one confusion matrix over all pictures, at the pictures' own size."""
    import json

    from atonce.cli.finish import evaluate_into
    from atonce.cli.show import print_scores, progress_of
    from atonce.evaluate.run import evaluate as evaluate_items
    from atonce.predict import Predictor

    predictor = Predictor.from_file(model, device)
    dataset = open_as_trained(predictor, data, format)
    if out:
        evaluation = evaluate_into(out, predictor, dataset, split, {"model": str(model)})
    else:
        with progress_of("evaluating") as progress:
            evaluation = evaluate_items(predictor, dataset, dataset.split(split), progress)
    scores = evaluation.to_json()
    if json_:
        typer.echo(json.dumps({"data": str(data), "split": split, "model": str(model), **scores}))
    else:
        print_scores(scores, f"{data} ({split})")
        if out:
            typer.echo(f"report   {out / 'report.html'}")


def open_as_trained(predictor: Predictor, data: Path, format: str | None) -> Dataset:
    """Open data with the split and ground truth that the model was trained with, so that val is what val was."""
    from atonce.data import open_dataset

    trained: dict[str, Any] = predictor.bundle.recipe.get("data", {})
    dataset = open_dataset(
        data, format, seed=trained.get("split_seed", 0), val_fraction=trained.get("val_fraction", 0.2)
    )
    if trained.get("ground_truth") and dataset.format == "kitti-road":
        return open_dataset(
            data,
            format,
            ground_truth=trained["ground_truth"],
            seed=trained["split_seed"],
            val_fraction=trained["val_fraction"],
        )
    return dataset
