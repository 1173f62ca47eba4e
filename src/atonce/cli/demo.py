"""atonce demo, atonce streets: five minutes from nothing to a trained network and a report."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from atonce.cli.app import app
from atonce.cli.options import Json, Quiet, out_option
from atonce.threads import decoding_threads

DEMO_TRAIN, DEMO_VAL = 700, 60
_SIZE = (180, 240)


@app.command()
def streets(
    out: Annotated[Path, typer.Argument(help="Folder for train/, val/ and classes.yaml.")],
    train: Annotated[int, typer.Option(min=1, help="Training scenes.")] = DEMO_TRAIN,
    val: Annotated[int, typer.Option(min=1, help="Validation scenes.")] = DEMO_VAL,
    seed: Annotated[int, typer.Option(min=0, help="Other seeds, other streets.")] = 0,
    height: Annotated[int, typer.Option(min=32, help="Of the pictures, in pixels.")] = _SIZE[0],
    width: Annotated[int, typer.Option(min=32, help="Of the pictures, in pixels.")] = _SIZE[1],
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Generate street scenes with exact masks in CamVid's eleven classes, as a folder of images/ and masks/."""
    draw_streets(out, train=train, val=val, seed=seed, size=(height, width))
    if json_:
        from atonce.cli.show import print_json

        print_json({"folder": str(out), "train": train, "val": val})
    else:
        typer.echo(f"{train} training and {val} validation scenes in {out}")


def draw_streets(out: Path, *, train: int, val: int, seed: int, size: tuple[int, int]) -> None:
    """Write generated streets, with a bar, by all cores; where no bar is seen, a line says at once how many."""
    from atonce.progress import progress_bar
    from atonce.streets import write_streets

    with progress_bar("drawing streets", first_line=0) as progress:
        write_streets(
            out,
            train=train,
            val=val,
            seed=seed,
            size=size,
            progress=progress,
            workers=decoding_threads(),
        )


@app.command()
def demo(
    out: Annotated[Path, out_option("Run directory; a demo that is there already is gone on with.")] = Path(
        "runs/demo"
    ),
    seed: Annotated[int, typer.Option(min=0, help="Of the scenes and of the training.")] = 0,
    train: Annotated[int, typer.Option(min=1, help="Training scenes.")] = DEMO_TRAIN,
    val: Annotated[int, typer.Option(min=1, help="Unseen scenes.")] = DEMO_VAL,
    max_minutes: Annotated[
        float | None, typer.Option(help="Train for this time at the most; by default as long as 1,050 steps take.")
    ] = None,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Generate streets, train a small FCN-8s on them, evaluate it on unseen ones, draw overlays, report."""
    from atonce.cli.train import train_and_print
    from atonce.inference.folders import predict
    from atonce.progress import progress_bar
    from atonce.training import train as train_network
    from atonce.training.run_folder import RunFolder

    data = out / "data"
    RunFolder(out).require_place(data)
    draw_streets(data, train=train, val=val, seed=seed, size=_SIZE)
    if not json_:
        typer.echo(f"{train} training and {val} validation scenes in {data}")
    # A run that has been begun goes on by its own recipe: from its beginning where there is no state yet.
    resume = (out / "recipe.yaml").is_file()
    recipe = None if resume else "streets"
    start = partial(train_network, data, recipe=recipe, out=out, seed=seed, max_minutes=max_minutes, resume=resume)
    train_and_print(data, start, goes_on_by_itself=True, as_json=json_)
    with progress_bar("segmenting unseen scenes") as progress:
        predict(out, data / "val" / "images", out=out, overwrite=True, progress=progress)
    if not json_:
        typer.echo(f"overlays {out / 'overlays'}")
