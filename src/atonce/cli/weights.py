"""atonce weights: what there is by name, and weights from elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from atonce.cli.app import Application, Commands, app
from atonce.cli.completion import complete_published_weights
from atonce.cli.options import Json, Quiet, out_option

weights_app = Application(cls=Commands, help="Pretrained weights: names, checks, conversion.", no_args_is_help=True)
app.add_typer(weights_app, name="weights")

Source = Annotated[
    str,
    typer.Argument(
        metavar="SRC",
        help="A file or folder, or a name from `atonce weights list`.",
        autocompletion=complete_published_weights,
    ),
]


@weights_app.command("list")
def list_weights(json_: Json = False, quiet: Quiet = False) -> None:
    """Names for --weights, where their files are kept, and which layouts of files are read."""
    from atonce.cli.show import print_json
    from atonce.weights import LAYOUTS, REGISTRY
    from atonce.weights.registry import cache_folder
    from atonce.weights.verification import describe_weights

    if json_:
        print_json(describe_weights())
        return
    typer.echo("names for --weights, downloaded when first used")
    for entry in REGISTRY.values():
        here = "here" if (cache_folder() / entry.file_name).is_file() else "not here"
        typer.echo(f"\n  {entry.name} ({here})\n    {entry.about}\n    {entry.file_name}")
    typer.echo(f"\nkept in {cache_folder()}\n\nlayouts of files, recognised, or given to `weights convert --from`\n")
    for name, layout in LAYOUTS.items():
        typer.echo(f"  {name}\n    {layout.about}")


@weights_app.command()
def verify(
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME|FILE]", help="All downloaded files by default.", autocompletion=complete_published_weights
        ),
    ] = None,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Check downloaded files against their published sha256, or look into a file."""
    from atonce.cli.show import print_json
    from atonce.weights import REGISTRY
    from atonce.weights.verification import verify_downloads, verify_file

    if source is not None and source not in REGISTRY:
        file = verify_file(source)
        if json_:
            print_json({"file": source, **file.to_json()})
            return
        typer.echo(f"{file.weights.summary()}\nsha256   {file.sha256}")
        if file.published_as:
            typer.echo(f"         as published: {file.published_as}")
        return
    checks = []
    for check in verify_downloads(source):
        checks.append(check)
        if check.error:
            typer.echo(f"atonce: {check.error.for_command_line()}", err=True)
        elif not json_:
            state = f"sha256 {check.sha256} as published" if check.sha256 else "not downloaded"
            typer.echo(f"{check.entry.name}: {state}")
    if json_:
        print_json({"weights": [check.to_json() for check in checks]})
    if any(check.error for check in checks):
        raise typer.Exit(2)


@weights_app.command()
def convert(
    source: Source,
    out: Annotated[Path, out_option("The .safetensors file to write.")],
    from_: Annotated[
        str | None, typer.Option("--from", metavar="LAYOUT", help="Recognised by default; see `atonce weights list`.")
    ] = None,
    at_once: Annotated[
        bool, typer.Option("--at-once", help="An FCN-8s trained at once, not in stages: pools were scaled.")
    ] = False,
    classes: Annotated[
        Path | None, typer.Option(help="classes.yaml or .csv of an FCN's classes; 21 of them are VOC's by default.")
    ] = None,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Turn a VGG-16 into a file for --weights, or an FCN checkpoint into a model for `atonce predict`."""
    from atonce.cli.show import print_json, print_note
    from atonce.exporting.convert_weights import convert_weights
    from atonce.progress import progress_bar

    with progress_bar("reading weights", unit="MB") as progress:
        done = convert_weights(source, out, layout=from_, at_once=at_once, classes=classes, progress=progress)
    for note in done.notes:
        print_note(note)
    if json_:
        print_json(done.to_json())
        return
    typer.echo(f"{done.weights.summary()}\nwritten  {done.path}")
