"""atonce recipes: what there is by name, one in full, every knob explained, the JSON schema for editors."""

from __future__ import annotations

import json
import shutil
from typing import Annotated

import typer

from atonce.cli.app import app
from atonce.cli.completion import complete_recipe
from atonce.cli.options import Json, Quiet


@app.command()
def recipes(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME|FILE]",
            help="Show this recipe in full, as YAML with comments.",
            autocompletion=complete_recipe,
        ),
    ] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Show every knob: value, default, type and range, meaning.")
    ] = False,
    schema: Annotated[bool, typer.Option("--schema", help="Write the JSON schema, for editors.")] = False,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Names for --recipe; one recipe in full; what every knob means."""
    from atonce.errors import UserError, option
    from atonce.recipes import Recipe, load_recipe, shipped_recipes, to_yaml
    from atonce.recipes.reference import describe_knobs, describe_recipes, json_schema
    from atonce.recipes.reference import explain as explain_recipe

    if schema:
        if name or explain:
            other = name or option("explain", value=True)
            raise UserError(f"{option('schema', value=True)} with {other}", remedy="leave one of them out")
        typer.echo(json.dumps(json_schema(), indent=2))
    elif json_:
        from atonce.cli.show import print_json

        recipe = load_recipe(name) if name else Recipe()
        if explain:
            print_json({"name": name, "knobs": describe_knobs(recipe)})
        elif name:
            print_json({"name": name, "recipe": recipe.model_dump(mode="json")})
        else:
            print_json({"recipes": describe_recipes()})
    elif explain:
        about = shipped_recipes().get(name, "") if name else "the defaults, which hold for what a recipe leaves out"
        title = f"{name}{': ' * bool(about)}{about}" if name else about
        recipe = load_recipe(name) if name else Recipe()
        typer.echo(explain_recipe(recipe, title, shutil.get_terminal_size().columns), nl=False)
    elif name:
        typer.echo(to_yaml(load_recipe(name)), nl=False)
    else:
        from atonce.cli.show import print_lines

        names = shipped_recipes()
        print_lines(*(f"{recipe_name:{max(map(len, names))}}  {about}" for recipe_name, about in names.items()))
