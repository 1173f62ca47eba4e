"""atonce push"""

from __future__ import annotations

from typing import Annotated

import typer

from atonce.cli.app import app
from atonce.cli.card import Licence
from atonce.cli.options import Json, Model, Quiet


@app.command()
def push(
    model: Model,
    repo: Annotated[str, typer.Argument(help="user/name on the hub; it is made where there is none.")],
    licence: Licence = None,
    private: Annotated[bool, typer.Option("--private", help="Make the repository a private one.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the model and the card that are there.")] = (
        False
    ),
    message: Annotated[str | None, typer.Option(help="Of the commit.")] = None,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Upload a model and its card to the Hugging Face hub (or that of HF_ENDPOINT), for hf://user/name.

    Log in first: `hf auth login`, or HF_TOKEN.
    """
    from atonce.model_location import require_model_file

    # What is mistyped is said here, before the seconds that importing torch takes.
    require_model_file(model)
    from atonce.exporting.push_model import push as push_model

    address = push_model(model, repo, licence=licence, private=private, overwrite=overwrite, message=message)
    if json_:
        from atonce.cli.show import print_json

        print_json({"address": str(address)})
    else:
        typer.echo(f"pushed   {address}")
