"""atonce card"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from atonce.cli.app import app
from atonce.cli.options import Json, Model, Quiet, out_option

Name = Annotated[str | None, typer.Option(help="The title; that of the run folder or the file by default.")]
Licence = Annotated[
    str | None,
    typer.Option("--licence", "--license", metavar="SPDX", help="Of the weights, such as CC-BY-4.0; else not stated."),
]


@app.command()
def card(
    model: Model,
    out: Annotated[Path | None, out_option("The file to write, such as README.md; stdout by default.")] = None,
    name: Name = None,
    licence: Licence = None,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write a model card in Markdown from what the model's file knows: scores, data, weaknesses, recipe, sha256."""
    from atonce.model_location import require_model_file

    # What is mistyped is said here, before the seconds that importing torch takes.
    require_model_file(model)
    from atonce.reports.model_card import card as write_card

    text = write_card(model, out=out, name=name, licence=licence)
    if json_:
        from atonce.cli.show import print_json

        print_json({"path": None if out is None else str(out), "card": text})
    elif out is None:
        typer.echo(text, nl=False)
    else:
        typer.echo(f"card     {out}")
