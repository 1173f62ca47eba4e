"""atonce train"""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from atonce.cli.app import app
from atonce.cli.options import Data, Format, GroundTruth

if TYPE_CHECKING:
    from atonce.recipes import Recipe


@app.command()
def train(
    data: Data,
    recipe: Annotated[
        str | None, typer.Option(help="A shipped recipe's name or a YAML file; by the data's format.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Run directory; runs/<data>-<recipe> by default.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Change the recipe: section.key=value. May be repeated.")
    ] = None,
    weights: Annotated[
        str | None, typer.Option(help="Pretrained VGG-16: a file or a name; 'none' starts afresh.")
    ] = None,
    teacher: Annotated[
        str | None, typer.Option(help="Learn from this model file, too (distillation); 'none' from the masks alone.")
    ] = None,
    format: Format = None,
    ground_truth: Annotated[
        GroundTruth | None, typer.Option(help="KITTI road only: the whole road, or the lane that the car is in.")
    ] = None,
    max_minutes: Annotated[float | None, typer.Option(help="Stop after this time at the latest.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of all that is random.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")] = False,
) -> None:
    """Train a network on a folder of data and report on it."""
    overrides = list(set_ or [])
    overrides += [f"train.max_minutes={max_minutes}"] if max_minutes is not None else []
    overrides += [f"train.seed={seed}"] if seed is not None else []
    # The values of --set are YAML; what is meant as a word is quoted, since "my #1.pth" is another word in YAML.
    overrides += [f"data.ground_truth={ground_truth.value}"] if ground_truth is not None else []
    overrides += [f"data.format={json.dumps(format)}"] if format is not None else []
    overrides += [f"weights={_name(weights)}"] if weights is not None else []
    overrides += [f"distill.teacher={_name(teacher)}"] if teacher is not None else []
    folder, chosen = _resolve(data, recipe, out, overrides, resume)
    run(chosen, data, folder, resume)


def _name(value: str) -> str:
    return "null" if value == "none" else json.dumps(value)


def _resolve(data: Path, name: str | None, out: Path | None, overrides: list[str], resume: bool) -> tuple[Path, Recipe]:
    """The run directory and the recipe; a resumed run keeps its own, changed by --set."""
    from atonce.errors import TrainingError
    from atonce.recipes import load_recipe
    from atonce.training.recipe_choice import default_recipe_name, recipe_for

    if resume and out and (out / "recipe.yaml").is_file():
        if name is not None:
            raise TrainingError(
                f"--resume with --recipe {name}", f"the recipe of the run, {out / 'recipe.yaml'}", "leave out --recipe"
            )
        return out, load_recipe(out / "recipe.yaml", overrides)
    if name is None:
        name = default_recipe_name(data, overrides)
    folder = out or Path("runs") / f"{data.resolve().name}-{Path(name).stem}"
    if resume and not (folder / "recipe.yaml").is_file():
        raise TrainingError(f"{folder} holds no run", "a run directory to resume", "name it with --out")
    if resume:
        return folder, load_recipe(folder / "recipe.yaml", overrides)
    return folder, recipe_for(data, name, overrides)


def run(recipe: Recipe, data: Path, folder: Path, resume: bool) -> None:
    """Train, evaluate the best model, report; prints where things are."""
    from atonce.cli.finish import finish
    from atonce.cli.show import console, watching
    from atonce.training import train as train_network

    try:
        with watching() as watcher:
            trained = train_network(recipe, data, folder, resume, watcher)
    except KeyboardInterrupt:
        again = shlex.join(["atonce", "train", str(data), "--out", str(folder), "--resume"])
        console.print(f"stopped; the state is kept, go on with: {again}", highlight=False, markup=False, soft_wrap=True)
        raise typer.Exit(130) from None
    if trained.main:
        finish(trained)
