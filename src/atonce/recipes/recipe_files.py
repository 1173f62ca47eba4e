"""Reading recipes: shipped by name or from a file, overridden key by key, all mistakes in one message."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from atonce.errors import RecipeError, option
from atonce.recipes.other_tools import knob_for
from atonce.recipes.schema import Recipe
from atonce.text import did_you_mean, shortened
from atonce.yaml_loader import YamlProblem, parse_yaml, read_yaml

SHIPPED = resources.files("atonce.recipes") / "shipped"
"""The folder of the recipes that come with atonce, one .yaml each."""

RENAMED_KEYS = {"train.checkpoint": "train.activation_checkpointing"}
"""Full names that keys once had -> those that they have now. Recipes, overrides, studies and the recipes in model files
may still say the old ones."""


def shipped_recipes() -> dict[str, str]:
    """Names of the recipes that come with atonce, and the first comment line of each."""
    files = sorted((f for f in SHIPPED.iterdir() if f.name.endswith(".yaml")), key=lambda f: f.name)
    return {f.name.removesuffix(".yaml"): f.read_text("utf-8").partition("\n")[0].lstrip("# ") for f in files}


def load_recipe(source: str | Path | Recipe = "folder", overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe and check it.

    Args:
        source: a shipped recipe's name, a YAML file, or a recipe to be changed.
        overrides: "section.key=value" each, the value in YAML; the last one for a key counts.

    Raises:
        RecipeError: no such recipe, broken YAML, unknown keys (with the nearest name), values out of range.
    """
    if isinstance(source, Recipe):
        data, name = source.model_dump(mode="json"), "of the caller"
    else:
        data, name = with_current_names(_read(source), str(source)), str(source)
    for override in overrides:
        _apply(data, override)
    return build(data, name)


def given_keys(source: str | Path | Recipe, overrides: Sequence[str] = ()) -> frozenset[str]:
    """Return the full names of the knobs that somebody has set: by an override, in a YAML file of their own, or in a
    `Recipe`; a shipped recipe's knobs are nobody's wish.

    Raises:
        RecipeError: as `load_recipe`.
    """
    if isinstance(source, Recipe):
        data = source.model_dump(mode="json", exclude_unset=True)
    else:
        data = {} if source in shipped_recipes() else with_current_names(_read(source), str(source))
    for override in overrides:
        _apply(data, override)
    keys = {f"{section}.{key}" for section, values in data.items() if isinstance(values, dict) for key in values}
    return frozenset(keys | {key for key, value in data.items() if not isinstance(value, dict)})


def build(data: Mapping[str, Any], source: str) -> Recipe:
    """Check a recipe that has been read: section -> key -> value, such as a model file holds, old names included.

    Args:
        source: the file or name it comes from, for the message.

    Raises:
        RecipeError: unknown keys, values out of range; every wrong key in one message.
    """
    try:
        return Recipe.model_validate(with_current_names(data, source))
    except ValidationError as error:
        # A union reports once per member; the path and message of the first say enough.
        lines = list(dict.fromkeys(_explain(e["type"], e["loc"], e["msg"], e["input"]) for e in error.errors()))
        raise RecipeError(f"recipe {source}: " + "; ".join(lines)) from None


def current_name(key: str) -> str:
    """The full name that a key has now: "train.checkpoint" -> "train.activation_checkpointing"."""
    return RENAMED_KEYS.get(key, key)


def with_current_names(data: Mapping[str, Any], source: str) -> dict[str, Any]:
    """Return a copy of a recipe that has been read, with the keys that were renamed under their current names.

    Raises:
        RecipeError: a key is there under both of its names.
    """
    result = {section: dict(keys) if isinstance(keys, Mapping) else keys for section, keys in data.items()}
    for old, new in RENAMED_KEYS.items():
        section, _, old_key = old.partition(".")
        keys, new_key = result.get(section), new.rpartition(".")[2]
        if not isinstance(keys, dict) or old_key not in keys:
            continue
        if new_key in keys:
            raise RecipeError(f"recipe {source} gives both {new} and {old}, its former name", f"{new} alone")
        result[section] = {new_key if key == old_key else key: value for key, value in keys.items()}
    return result


def _read(source: str | Path) -> dict[str, Any]:
    path = Path(source)
    if path.suffix in {".yaml", ".yml"}:
        if not path.is_file():
            raise RecipeError(f"{path} does not exist", "a recipe file", f"or a name: {', '.join(shipped_recipes())}")
        try:
            data = read_yaml(path)
        except YamlProblem as error:
            raise RecipeError(f"{source} is not valid YAML: {error}") from None
        except (OSError, UnicodeDecodeError) as error:
            raise RecipeError(f"{path} cannot be read ({error})", "a recipe: YAML, text in UTF-8") from None
    else:
        names = list(shipped_recipes())
        if str(source) not in names:
            hint = did_you_mean(str(source), names)
            raise RecipeError(f"no recipe '{source}'", f"one of {', '.join(names)}, or a .yaml file", hint)
        data = parse_yaml((SHIPPED / f"{source}.yaml").read_text("utf-8"))
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
        value = parse_yaml(text)
    except YamlProblem as error:
        # As it was typed, but in one line.
        shown = " ".join(override.split())
        found = option("set", shown if len(shown) <= 120 else f"{shown[:117]}...")
        raise RecipeError(f"{found}: the value is not valid YAML: {error}") from None
    *sections, last = current_name(key.strip()).split(".")
    for section in sections:
        keys = data.setdefault(section, {})
        if not isinstance(keys, dict):
            raise RecipeError(f"{option('set', override)}: '{section}' is not a section")
        data = keys
    data[last] = value


_LIBRARY_WORDS = {
    "Value error, ": "",
    "Input should be ": "expected ",
    "a valid integer, unable to parse string as an integer": "a whole number",
    "a valid integer, got a number with a fractional part": "a whole number",
    "a valid number, unable to parse string as a number": "a number",
    "a valid boolean, unable to interpret input": "true or false",
    "a valid integer": "a whole number",
    "a valid tuple": "a list",
    "a valid ": "a ",
    "less than or equal to ": "at most ",
    "greater than or equal to ": "at least ",
    "greater than ": "more than ",
}
"""What the library that checks recipes says -> how we say it."""


def _in_our_words(message: str) -> str:
    for theirs, ours in _LIBRARY_WORDS.items():
        message = message.replace(theirs, ours)
    return f"{message[:1].lower()}{message[1:]}"


def _explain(kind: str, location: tuple[int | str, ...], message: str, value: Any) -> str:
    keys = [str(part) for part in location]
    if kind != "extra_forbidden":
        shown = [k for k in keys if not k.startswith(("literal[", "tuple["))]
        return f"{'.'.join(shown)} = {shortened(value)}: {_in_our_words(message)}"
    known = dict(_known_keys(Recipe))
    options = [name for name, parent in known.items() if parent == ".".join(keys[:-1])]
    in_section = difflib.get_close_matches(keys[-1], [o.rpartition(".")[2] for o in options], 1, 0.5)
    anywhere = [name for name in known if name.rpartition(".")[2] == keys[-1]]
    if not anywhere and (here := knob_for(keys[-1])):
        return f"unknown key '{'.'.join(keys)}', {here}"
    nearest = anywhere or [".".join([*keys[:-1], name]) for name in in_section]
    hint = f", did you mean '{nearest[0]}'?" if nearest else f", known here: {', '.join(options)}"
    return f"unknown key '{'.'.join(keys)}'{hint}"


def _known_keys(section: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield pairs (full name of a key, full name of its section)."""
    for name, field in section.model_fields.items():
        full = f"{prefix}.{name}" if prefix else name
        yield full, prefix
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _known_keys(field.annotation, full)
