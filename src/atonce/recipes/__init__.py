"""Recipes: every knob of atonce with its unit and meaning, read from YAML and refused when misspelt."""

from atonce.recipes.load import load_recipe, shipped_recipes, to_yaml
from atonce.recipes.schema import FCNConfig, Recipe

__all__ = ["FCNConfig", "Recipe", "load_recipe", "shipped_recipes", "to_yaml"]
