"""Choosing a recipe: the one that is asked for, or the one for the data's format."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from atonce.data.formats import recognise
from atonce.recipes import Recipe, load_recipe

_RECIPE_BY_FORMAT = {"camvid": "camvid", "kitti-road": "kitti-road", "voc": "voc"}
"""Recipes made for one format of data; every other format is trained by the recipe "folder"."""


def recipe_for(data: Path, name: str | None, overrides: Sequence[str]) -> Recipe:
    """Load the recipe to train with.

    Args:
        data: the folder of data.
        name: a shipped recipe's name or a YAML file; None for the recipe of the data's format.
        overrides: `section.key=value`, values in YAML.

    Raises:
        RecipeError: there is no such recipe, or it is wrong.
    """
    return load_recipe(name if name is not None else default_recipe_name(data, overrides), overrides)


def default_recipe_name(data: Path, overrides: Sequence[str]) -> str:
    """The name of the shipped recipe for the data's format.

    Args:
        overrides: where they set `data.format`, that format counts, else the one that is recognised; where they name
            the folders of pictures and masks (`data.images`), it is a folder.
    """
    if any(override.startswith("data.images=") for override in overrides):
        return "folder"
    given = [override.partition("=")[2].strip("\"'") for override in overrides if override.startswith("data.format=")]
    format = given[-1] if given else recognise(data)
    return _RECIPE_BY_FORMAT.get(format or "", "folder")
