"""atonce weights, atonce recipes: what there is by name."""

from __future__ import annotations

import typer

from atonce.cli.app import app

weights_app = typer.Typer(help="Pretrained VGG-16 weights.", no_args_is_help=True)
app.add_typer(weights_app, name="weights")


@weights_app.command("list")
def list_weights() -> None:
    """Names for --weights, and where their files are kept."""
    from rich.table import Table

    from atonce.cli.show import results
    from atonce.weights import REGISTRY
    from atonce.weights.registry import cache_folder

    table = Table("name", "file", "here", "about")
    for entry in REGISTRY.values():
        here = "yes" if (cache_folder() / entry.file_name).is_file() else "no"
        table.add_row(entry.name, entry.file_name, here, entry.about)
    results.print(table)
    results.print(f"kept in {cache_folder()}", highlight=False, soft_wrap=True)


@app.command()
def recipes(name: str | None = typer.Argument(None, help="Show this recipe in full.")) -> None:
    """Names for --recipe, or one recipe in full."""
    from atonce.recipe import load_recipe, shipped_recipes, to_yaml

    if name:
        typer.echo(to_yaml(load_recipe(name)), nl=False)
        return
    for recipe, about in shipped_recipes().items():
        typer.echo(f"{recipe:14} {about}")
