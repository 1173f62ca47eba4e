"""The reference of all knobs: the page docs/recipes.md, the text for a terminal, the JSON schema for editors.

From the folder of the source, after a change of schema.py (`make docs-recipes` does both):

    python -m atonce.recipes.reference > docs/recipes.md
    python -m atonce.recipes.reference --annotate src/atonce/recipes/shipped/*.yaml
"""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from atonce.recipes.knobs import Knob, KnobSection, knob_sections, yaml_value
from atonce.recipes.recipe_files import shipped_recipes
from atonce.recipes.schema import Recipe
from atonce.recipes.yaml_comments import annotate
from atonce.storage import write_text

_PAGE = """\
# Recipes

<!-- Made by `make docs-recipes` from src/atonce/recipes/schema.py: change it there. -->

A recipe is a YAML file with all that a training run is made of. `atonce train DATA` takes the one that fits the data;
`--recipe` chooses another, by name or by file, and `--set` changes single knobs:

```
atonce recipes                                    # names of the recipes that come with the package
atonce recipes folder --explain                   # every knob of one: value, default, type and range, meaning
atonce recipes folder > mine.yaml                 # a copy to change, with the same explanations as comments
atonce train DATA --recipe mine.yaml --set optim.lr=1e-4 --set 'data.crop=[320, 416]'
```

What a recipe leaves out has the default below; a key that is misspelt is an error. The `recipe.yaml` of a run is
complete: with it, the same data and the same seed, the run can be done again.

**Editors.** `atonce recipes --schema > recipe.schema.json` writes the JSON schema. With this first line in a recipe,
editors with the YAML language server (VS Code, Neovim, ...) complete keys, show their meaning and mark mistakes:

```yaml
# yaml-language-server: $schema=recipe.schema.json
```

**Recipes that come with the package**

{shipped}

{sections}"""


def markdown() -> str:
    """Write the page docs/recipes.md: how to use recipes, and a table of knobs for each section."""
    shipped = "\n".join(f"- `{name}`: {about}" for name, about in shipped_recipes().items())
    return _PAGE.format(shipped=shipped, sections="\n".join(map(_markdown_section, knob_sections())))


def _markdown_section(section: KnobSection) -> str:
    title, about = (f"## {section.name}", section.meaning) if section.name else ("## Outside of sections", "")
    rows = [
        f"| `{knob.name}` | {_cell(knob.meaning)} | {_cell(knob.kind)} | `{yaml_value(knob.default)}` |"
        for knob in section.knobs
    ]
    table = ["| knob | meaning | values | default |", "|---|---|---|---|", *rows]
    return "\n".join([title, "", *([_escaped(about), ""] if about else []), *table, ""])


def _cell(text: str) -> str:
    return _escaped(text).replace("|", "\\|")


def _escaped(text: str) -> str:
    """Text in which stars are stars, not marks of Markdown; there are none in backticks."""
    return text.replace("*", "\\*")


def explain(recipe: Recipe, title: str, width: int) -> str:
    """Write every knob of a recipe for a terminal: value, default if it differs, type and range, meaning.

    Args:
        title: what the recipe is, for the first line.
        width: columns; 40 at least are used.
    """
    width = max(40, width)
    values = recipe.model_dump(mode="json")
    lines = textwrap.wrap(title, width, break_on_hyphens=False)
    for section in knob_sections():
        here = values[section.name] if section.name else values
        if section.name:
            lines += ["", *textwrap.wrap(f"{section.name}: {section.meaning}", width, break_on_hyphens=False)]
        for knob in section.knobs:
            lines += ["", *_explain_knob(knob, here[knob.key], width)]
    return "\n".join([*lines, ""])


def _explain_knob(knob: Knob, value: object, width: int) -> list[str]:
    shown, default = yaml_value(value), yaml_value(knob.default)
    head = f"{knob.name} = {shown}" + ("" if shown == default else f" (default {default})")

    def indented(text: str) -> list[str]:
        """Wrap a text below the name of the knob."""
        return textwrap.wrap(text, width, initial_indent="    ", subsequent_indent="    ", break_on_hyphens=False)

    return [f"  {head}", *indented(knob.meaning), *indented(f"Values: {knob.kind}.")]


def describe_recipes() -> list[dict[str, str]]:
    """List name and purpose of the recipes that come with the package."""
    return [{"name": name, "about": about} for name, about in shipped_recipes().items()]


def describe_knobs(recipe: Recipe) -> list[dict[str, Any]]:
    """List every knob of a recipe: name, value, default, type and range in words, meaning."""
    values, defaults = recipe.model_dump(mode="json"), Recipe().model_dump(mode="json")
    return [
        {
            "name": knob.name,
            "value": (values[section.name] if section.name else values)[knob.key],
            "default": (defaults[section.name] if section.name else defaults)[knob.key],
            "values": knob.kind,
            "meaning": knob.meaning,
        }
        for section in knob_sections()
        for knob in section.knobs
    ]


def json_schema() -> dict[str, Any]:
    """Return the JSON schema of a recipe (draft 2020-12), with the meaning of each knob as its description."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **Recipe.model_json_schema()}
    schema["title"] = "Recipe of atonce"
    result: dict[str, Any] = _on_one_line(schema)
    return result


def _on_one_line(part: Any) -> Any:
    """Descriptions in docstrings are broken where the source's lines end."""
    if isinstance(part, list):
        return [_on_one_line(item) for item in part]
    if not isinstance(part, dict):
        return part
    return {
        key: " ".join(value.split()) if key == "description" and isinstance(value, str) else _on_one_line(value)
        for key, value in part.items()
    }


def main(arguments: Sequence[str]) -> None:
    """Write docs/recipes.md to standard output, or, after `--annotate`, the comments into the YAML files named."""
    if arguments[:1] != ["--annotate"]:
        sys.stdout.write(markdown())
        return
    for path in map(Path, arguments[1:]):
        write_text(path, annotate(path.read_text("utf-8")))


if __name__ == "__main__":
    main(sys.argv[1:])
