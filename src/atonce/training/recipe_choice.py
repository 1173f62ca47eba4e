"""Choosing a recipe: the one that is asked for, or the one for the data's format."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from atonce.data.formats import recognise
from atonce.recipes import Recipe, load_recipe
from atonce.recipes.load import given_keys
from atonce.training.fine_tuning import with_shape_of_weights

_RECIPE_BY_FORMAT = {"camvid": "camvid", "kitti-road": "kitti-road", "voc": "voc"}
"""Recipes made for one format of data; every other format is trained by the recipe "folder"."""


def recipe_for(data: Path, name: str | None, overrides: Sequence[str]) -> Recipe:
    """Load the recipe to train with; with weights of atonce's own, the network is theirs where nobody has set another.

    Args:
        data: the folder of data.
        name: a shipped recipe's name or a YAML file; None for the recipe of the data's format.
        overrides: `section.key=value`, values in YAML.

    Raises:
        RecipeError: there is no such recipe, or it is wrong.
        WeightsError: the weights are a model file that describes no network.
    """
    source = name if name is not None else default_recipe_name(data, overrides)
    return with_shape_of_weights(load_recipe(source, overrides), given_keys(source, overrides))


def default_recipe_name(data: Path, overrides: Sequence[str]) -> str:
    """The name of the shipped recipe for the data's format.

    Args:
        overrides: where they set `data.format`, that format counts, else the one that is recognised.
    """
    given = [override.partition("=")[2].strip("\"'") for override in overrides if override.startswith("data.format=")]
    format = given[-1] if given else recognise(data)
    return _RECIPE_BY_FORMAT.get(format or "", "folder")
