"""The command `atonce doctor`."""

from __future__ import annotations

import sys
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from atonce.cli.app import app
from atonce.cli.options import (
    Bands,
    Data,
    Format,
    GroundTruth,
    Images,
    Json,
    Masks,
    Quiet,
    bands_of,
    out_option,
)
from atonce.cli.terminal import columns_of
from atonce.errors import as_command_line
from atonce.text import count_of, wrapped

if TYPE_CHECKING:
    from atonce.doctor import FixedMasks


_MAX_BROKEN = 5
"""The most masks that are named one by one where they could not be corrected."""


class Borders(str, Enum):
    """The choices of --borders: what becomes of pixels of no class along borders."""

    NEAREST = "nearest"
    VOID = "void"


@app.command()
def doctor(
    data: Data,
    format: Format = None,
    images: Images = None,
    masks: Masks = None,
    ground_truth: Annotated[GroundTruth | None, typer.Option(help="KITTI road: road (by default) or lane.")] = None,
    bands: Bands = None,
    json_: Json = False,
    out: Annotated[Path | None, out_option("Also write a page with overlays: page.html.")] = None,
    fix_classes: Annotated[
        Path | None, typer.Option(help="Write a classes.yaml with all names, values and colours found.")
    ] = None,
    fix_masks: Annotated[
        Path | None, typer.Option(help="Folder for corrected copies of the masks: soft borders made hard.")
    ] = None,
    borders: Annotated[
        Borders | None,
        typer.Option(help="What --fix-masks makes of soft borders; by classes.yaml, or nearest (class)."),
    ] = None,
    border_width: Annotated[
        int | None, typer.Option(min=1, max=32, help="How soft they are, in pixels; by classes.yaml, or 3.")
    ] = None,
    write_masks: Annotated[
        Path | None, typer.Option(help="Folder for what was understood: images/, masks/ of class ids, classes.yaml.")
    ] = None,
    class_weights: Annotated[
        bool, typer.Option("--class-weights", help="Print weights of the classes, ready for a recipe.")
    ] = False,
    write_split: Annotated[
        Path | None, typer.Option(help="Folder for train.txt and val.txt: a split that keeps near copies together.")
    ] = None,
    val_fraction: Annotated[float, typer.Option(min=0.01, max=0.99, help="Share of val where a split is made.")] = 0.2,
    seed: Annotated[int, typer.Option(help="Of a split that is made: data.split_seed.")] = 0,
    workers: Annotated[int | None, typer.Option(min=1, help="Threads that read; one per core by default.")] = None,
    quiet: Quiet = False,
) -> None:
    """Examine a folder of data: what is in it, what is wrong, what to do. Exit code 2 when training would be wrong."""
    from atonce.data.formats import require_folder

    # What is mistyped is said here, before a bar is drawn, and before the seconds that importing torch takes.
    require_folder(data.expanduser())
    from atonce.cli.diagnosis import print_examination, print_verdict
    from atonce.cli.show import print_json
    from atonce.doctor import examine, write_classes_file, write_fixed_masks
    from atonce.doctor import write_masks as write_masks_of
    from atonce.doctor import write_split as write_split_of
    from atonce.doctor.doctor_page import require_page_path
    from atonce.doctor.fix_classes import is_classes_file_of
    from atonce.doctor.split_proposal import about_split, split_files
    from atonce.progress import progress_bar

    _refuse_existing(fix_classes, write_split, write_masks)
    if out is not None:
        require_page_path(out)
    opened: dict[str, Any] = {
        "ground_truth": ground_truth.value if ground_truth else None,
        "images": images,
        "masks": masks,
    }
    made: dict[str, Any] = {"seed": seed, "val_fraction": val_fraction}
    chosen = bands_of(bands)
    with progress_bar("reading the data") as progress:
        if fix_classes is None:
            examination = examine(data, format, **opened, **made, bands=chosen, workers=workers, progress=progress)
        else:
            examination = write_classes_file(
                data, fix_classes, format, **opened, **made, bands=chosen, workers=workers, progress=progress
            )
    if fix_classes is not None:
        own = is_classes_file_of(examination.root, fix_classes)
        where = examination.root / "classes.yaml"
        _written(f"classes  {fix_classes} (give them names{'' if own else f'; it counts once it is {where}'})")
    if json_:
        print_json(examination.to_json())
    else:
        print_examination(examination, class_weights=class_weights, notes=not quiet)
    wrong, fixed = examination.wrong, None
    if fix_masks is not None:
        with progress_bar("correcting the masks") as progress:
            fixed = write_fixed_masks(
                data,
                fix_masks,
                format,
                borders=borders.value if borders else None,
                border_width=border_width,
                **opened,
                workers=workers,
                progress=progress,
            )
        _print_fixed(fixed, examination.root)
        wrong = examination.wrong_beside_masks or bool(fixed.broken)
    if not json_:
        print_verdict(examination, corrected=fixed is not None and not wrong)
    if write_masks is not None:
        with progress_bar("writing masks") as progress:
            written = write_masks_of(examination, write_masks, workers=workers, progress=progress)
        what = f"{count_of(written.pictures, 'picture')}, {count_of(written.masks, 'mask')}"
        _written(f"masks    {written.folder} ({what}, classes.yaml)")
        for error in written.broken:
            _error(f"not written: {error.for_command_line()}")
        wrong = wrong or bool(written.broken)
    if write_split is not None:
        split = write_split_of(examination, write_split, **made)
        files = " ".join(str(path) for path in split_files(write_split).values())
        _written(f"split    {files} ({', '.join(f'{len(items)} {name}' for name, items in split.items())})")
        for line in about_split(examination, split, write_split, **made):
            _written(line)
    if out is not None:
        from atonce.doctor import write_page

        write_page(examination, out)
        _written(f"page     {out}")
    if wrong:
        raise typer.Exit(2)


def _print_fixed(fixed: FixedMasks, root: Path) -> None:
    """Print what has become of the masks, and where the copies belong."""
    becomes = "the nearest class" if fixed.rule.to == "nearest" else "void"
    what = f"{count_of(fixed.masks, 'mask')}, {fixed.changed} of them corrected: {count_of(fixed.pixels, 'pixel')}"
    _written(f"masks    {fixed.folder} ({what} to {becomes}); use them in the place of those in {root}")
    if fixed.classes_file is not None:
        _written(f"classes  {fixed.classes_file} (give them names; it counts once it is {root / 'classes.yaml'})")
    for error in fixed.broken[:_MAX_BROKEN]:
        _error(f"not corrected: {error.for_command_line()}")
    if len(fixed.broken) > _MAX_BROKEN:
        _error(f"... and {len(fixed.broken) - _MAX_BROKEN} more were not corrected")


def _written(text: str) -> None:
    """Say on stderr what was written, which is a result: in quiet, too."""
    typer.echo(wrapped(as_command_line(text), columns_of(sys.stderr)), err=True)


def _error(text: str) -> None:
    """Print on stderr, in quiet, too."""
    _written(f"atonce: {text}")


def _refuse_existing(classes: Path | None, split: Path | None, masks: Path | None) -> None:
    """Refuse to overwrite a file before minutes of reading, not after."""
    from atonce.doctor.split_proposal import split_files
    from atonce.storage import refuse_existing

    masks_files = (masks / "images", masks / "masks", masks / "classes.yaml") if masks else ()
    for target in (classes, *masks_files, *(split_files(split).values() if split else ())):
        if target is not None:
            refuse_existing(target)
