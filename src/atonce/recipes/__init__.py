"""Recipes: every knob of a training run with its unit, range and meaning, read from YAML and refused when misspelt."""

from atonce.recipes.recipe_files import load_recipe, shipped_recipes
from atonce.recipes.schema import FCNConfig, Recipe
from atonce.recipes.yaml_comments import to_yaml

__all__ = ["FCNConfig", "Recipe", "load_recipe", "shipped_recipes", "to_yaml"]
