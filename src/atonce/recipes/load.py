"""Reading recipes: shipped by name or from a file, overridden key by key, all mistakes in one message."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from atonce.errors import RecipeError, option
from atonce.recipes.schema import Recipe
from atonce.text import did_you_mean

_SHIPPED = resources.files("atonce.recipes") / "shipped"


def shipped_recipes() -> dict[str, str]:
    """Names of the recipes that come with atonce, and the first comment line of each."""
    files = sorted((f for f in _SHIPPED.iterdir() if f.name.endswith(".yaml")), key=lambda f: f.name)
    return {f.name.removesuffix(".yaml"): f.read_text("utf-8").partition("\n")[0].lstrip("# ") for f in files}


def load_recipe(source: str | Path = "folder", overrides: Sequence[str] = ()) -> Recipe:
    """A shipped recipe's name or a YAML file, with `section.key=value` overrides (values are YAML).

    Raises:
        RecipeError: no such recipe, broken YAML, unknown keys (with the nearest name), values out of range.
    """
    data = _read(source)
    for override in overrides:
        _apply(data, override)
    return build(data, str(source))


def build(data: Mapping[str, Any], source: str) -> Recipe:
    """Mapping -> Recipe. Raises RecipeError that names every wrong key at once."""
    try:
        return Recipe.model_validate(data)
    except ValidationError as error:
        # A union reports once per member; the path and message of the first say enough.
        lines = list(dict.fromkeys(_explain(e["type"], e["loc"], e["msg"], e["input"]) for e in error.errors()))
        raise RecipeError(f"recipe {source}: " + "; ".join(lines)) from None


def to_yaml(recipe: Recipe) -> str:
    """The full recipe, defaults included, as YAML that `load_recipe` reads back."""
    return yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False)


def _read(source: str | Path) -> dict[str, Any]:
    path = Path(source)
    if path.suffix in {".yaml", ".yml"}:
        if not path.is_file():
            raise RecipeError(f"{path} does not exist", "a recipe file", f"or a name: {', '.join(shipped_recipes())}")
        try:
            text = path.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise RecipeError(f"{path} cannot be read ({error})", "a recipe: YAML, text in UTF-8") from None
    else:
        names = list(shipped_recipes())
        if str(source) not in names:
            hint = did_you_mean(str(source), names)
            raise RecipeError(f"no recipe '{source}'", f"one of {', '.join(names)}, or a .yaml file", hint)
        text = (_SHIPPED / f"{source}.yaml").read_text("utf-8")
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise RecipeError(f"{source} is not valid YAML: {' '.join(str(error).split())}") from None
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise RecipeError(f"{source} holds a {type(data).__name__}", "sections such as 'model:' and 'train:'")
    # A section of which every line is commented out is a section all the same.
    return {str(key): {} if value is None and key != "weights" else value for key, value in data.items()}


def _apply(data: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise RecipeError(option("set", override), "section.key=value, such as optim.lr=1e-4")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        raise RecipeError(f"{option('set', override)}: the value is not valid YAML") from None
    *sections, last = key.strip().split(".")
    for section in sections:
        below = data.setdefault(section, {})
        if not isinstance(below, dict):
            raise RecipeError(f"{option('set', override)}: '{section}' is not a section")
        data = below
    data[last] = value


def _explain(kind: str, location: tuple[int | str, ...], message: str, value: Any) -> str:
    keys = [str(part) for part in location]
    if kind != "extra_forbidden":
        shown = [k for k in keys if not k.startswith(("literal[", "tuple["))]
        return f"{'.'.join(shown)} = {value!r}: {message[0].lower()}{message[1:]}"
    known = dict(_known_keys(Recipe))
    options = [name for name, parent in known.items() if parent == ".".join(keys[:-1])]
    same_room = difflib.get_close_matches(keys[-1], [o.rpartition(".")[2] for o in options], 1, 0.5)
    anywhere = [name for name in known if name.rpartition(".")[2] == keys[-1]]
    nearest = anywhere or [".".join([*keys[:-1], same]) for same in same_room]
    hint = f", did you mean '{nearest[0]}'?" if nearest else f", known here: {', '.join(options)}"
    return f"unknown key '{'.'.join(keys)}'{hint}"


def _known_keys(section: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Pairs (full name of a key, full name of its section)."""
    for name, field in section.model_fields.items():
        full = f"{prefix}.{name}" if prefix else name
        yield full, prefix
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _known_keys(field.annotation, full)
