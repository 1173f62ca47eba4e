"""The command `atonce doctor`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from atonce.cli.app import app
from atonce.cli.options import Data, Format, GroundTruth


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
    """Examine a folder of data: what is in it, what is wrong, what to do. Exit code 2 when training would be wrong."""
    import json

    from atonce.cli.diagnosis import print_examination
    from atonce.doctor import examine, write_classes_file
    from atonce.doctor import write_split as write_split_of
    from atonce.doctor.doctor_page import require_page_path
    from atonce.doctor.fix_classes import is_classes_file_of
    from atonce.doctor.split_proposal import split_files
    from atonce.progress import progress_bar

    _refuse_existing(fix_classes, write_split)
    if out is not None:
        require_page_path(out)
    truth: Literal["road", "lane"] | None = ground_truth.value if ground_truth else None
    with progress_bar("reading the data") as progress:
        if fix_classes is None:
            examination = examine(data, format, ground_truth=truth, workers=workers, progress=progress)
        else:
            examination = write_classes_file(
                data, fix_classes, format, ground_truth=truth, workers=workers, progress=progress
            )
    if fix_classes is not None:
        own = is_classes_file_of(examination.root, fix_classes)
        _note(f"classes  {fix_classes}" + ("" if own else f" (it counts as {examination.root / 'classes.yaml'})"))
    if json_:
        typer.echo(json.dumps(examination.to_json()))
    else:
        print_examination(examination, class_weights=class_weights)
    if write_split is not None:
        split = write_split_of(examination, write_split, val_fraction=val_fraction, seed=seed)
        files = " ".join(str(path) for path in split_files(write_split).values())
        _note(f"split    {files} ({', '.join(f'{len(items)} {name}' for name, items in split.items())})")
    if out is not None:
        from atonce.doctor import write_page

        write_page(examination, out)
        _note(f"page     {out}")
    if examination.wrong:
        raise typer.Exit(2)


def _note(text: str) -> None:
    """Print on stderr, so that stdout is the report alone."""
    typer.echo(text, err=True)


def _refuse_existing(classes: Path | None, split: Path | None) -> None:
    """Refuse to overwrite a file before minutes of reading, not after."""
    from atonce.doctor.split_proposal import split_files
    from atonce.storage import refuse_existing

    for target in (classes, *(split_files(split).values() if split else ())):
        if target is not None:
            refuse_existing(target)
