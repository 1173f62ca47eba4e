"""atonce doctor"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from atonce.cli.app import app
from atonce.cli.options import Data, Format, GroundTruth

if TYPE_CHECKING:
    from atonce.doctor import Examination


@app.command()
def doctor(
    data: Data,
    format: Format = None,
    ground_truth: Annotated[GroundTruth | None, typer.Option(help="KITTI road: road (by default) or lane.")] = None,
    json_: Annotated[bool, typer.Option("--json", help="Everything as JSON on stdout, instead of tables.")] = False,
    out: Annotated[Path | None, typer.Option(help="Also write a page with overlays: page.html.")] = None,
    fix_classes: Annotated[
        Path | None, typer.Option(help="Write a classes.yaml with all names, values and colours found.")
    ] = None,
    class_weights: Annotated[
        bool, typer.Option("--class-weights", help="Print weights of the classes, ready for a recipe.")
    ] = False,
    write_split: Annotated[
        Path | None, typer.Option(help="Folder for train.txt and val.txt: a split that keeps near copies together.")
    ] = None,
    val_fraction: Annotated[float, typer.Option(min=0.01, max=0.99, help="Share of val in that split.")] = 0.2,
    seed: Annotated[int, typer.Option(help="Of that split.")] = 0,
    workers: Annotated[int | None, typer.Option(min=1, help="Threads that read; one per core by default.")] = None,
) -> None:
    """What is in a folder of data, what is wrong with it, what to do. Exit code 2 when training would be wrong."""
    import json

    from atonce.cli.diagnosis import print_examination
    from atonce.doctor.doctor_page import write_page
    from atonce.doctor.examination import to_json

    _refuse_existing(fix_classes, write_split)

    def look() -> Examination:
        return _examine(data, format, ground_truth, workers)

    examination = look() if fix_classes is None else _fix_classes(look, fix_classes)
    weights = _weights(examination)
    if json_:
        typer.echo(json.dumps({**to_json(examination), "class_weights": weights}))
    else:
        print_examination(examination, weights if class_weights else {})
    if write_split is not None:
        _write_split(examination, write_split, val_fraction, seed)
    if out is not None:
        write_page(examination, out, weights)
        _say(f"page     {out}")
    if examination.wrong:
        raise typer.Exit(2)


def _say(text: str) -> None:
    """On stderr, so that stdout is the report alone."""
    typer.echo(text, err=True)


def _refuse_existing(classes: Path | None, split: Path | None) -> None:
    """Before minutes of reading, not after."""
    from atonce.doctor.remedies import refuse_existing

    for target in (classes, *((split / "train.txt", split / "val.txt") if split else ())):
        if target is not None:
            refuse_existing(target)


def _examine(data: Path, format: str | None, ground_truth: GroundTruth | None, workers: int | None) -> Examination:
    from atonce.doctor import examine
    from atonce.progress import progress_bar as progress_of

    truth: Literal["road", "lane"] | None = ground_truth.value if ground_truth else None
    with progress_of("reading the data") as progress:
        return examine(data, format, ground_truth=truth, workers=workers, progress=progress)


def _fix_classes(look: Callable[[], Examination], path: Path) -> Examination:
    """Write the classes file; where the data set reads it from there, look again with it."""
    from atonce.errors import DataError
    from atonce.storage import write_text

    examination = look()
    own = path.resolve() in {(examination.root / name).resolve() for name in ("classes.yaml", "classes.yml")}
    # Opening looked at some masks only; reading all with the first proposal may bring up more.
    for _ in range(2):
        if not examination.classes_yaml:
            message = f"the masks of {examination.root} are of a layout with classes of its own"
            raise DataError(message, "images/ and masks/", "leave out --fix-classes; see the findings without it")
        write_text(path, examination.classes_yaml)
        if not own:
            break
        examination = look()
        if not examination.wrong:
            break
    _say(f"classes  {path}" + ("" if own else f" (it counts as {examination.root / 'classes.yaml'})"))
    return examination


def _weights(examination: Examination) -> dict[str, list[float]]:
    """Both rules of the recipe, computed as training computes them, from the same counts."""
    from atonce.recipes.schema import LossConfig
    from atonce.training.losses import class_weights

    train = examination.statistics.get("train")
    if train is None or not train.pixel_count.any():
        return {}
    found: dict[str, list[float]] = {}
    for rule in ("median-frequency", "sqrt-median-frequency"):
        config = LossConfig.model_validate({"class_weights": rule})
        weights = class_weights(config, train.pixel_count, train.pixels_of_pictures_with_class)
        assert weights is not None
        found[rule] = [float(f"{weight:.4g}") for weight in weights.tolist()]
    return found


def _write_split(examination: Examination, folder: Path, val_fraction: float, seed: int) -> None:
    from atonce.doctor.remedies import propose_split, write_split
    from atonce.errors import DataError

    if examination.dataset is None or examination.pairs is None:
        raise DataError(f"{examination.root} could not be opened, so there is nothing to split", remedy="mend it first")
    split = propose_split(examination.dataset, examination.pairs, val_fraction, seed)
    paths = write_split(examination.dataset, split, folder)
    counts = ", ".join(f"{len(items)} {name}" for name, items in split.items())
    _say(f"split    {' '.join(map(str, paths))} ({counts})")
