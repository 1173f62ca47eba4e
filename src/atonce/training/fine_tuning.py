"""Fine-tuning a model of atonce: the network that is trained takes its shape from the model file.

What the user has set counts before it. The weights themselves are copied by `atonce.weights.load_into`.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from pydantic import ValidationError

from atonce.errors import WeightsError
from atonce.model_file import find_model_file, read_metadata
from atonce.recipes import FCNConfig, Recipe

SHAPE_KNOBS = ("stride", "alignment", "skip_scales", "head_scale", "upsampling", "width", "head_width")
"""The knobs of a recipe's section `model` that make another network; the others are about how it is trained."""

SIZE_KNOBS = ("scale", "max_side")
"""The knobs of its section `data` that say at which size the network sees a picture."""


def with_shape_of_weights(recipe: Recipe, given: Collection[str]) -> Recipe:
    """Return a recipe whose network is the one in its weights, where these are a model file of atonce or a run folder.

    Args:
        given: full names of the knobs that the user has set, see `atonce.recipes.load.given_keys`; they stay.

    Raises:
        WeightsError: the model file describes a network unknown here.
    """
    description = description_of(recipe.weights)
    if description is None:
        return recipe
    try:
        network = FCNConfig.model_validate(description["architecture"])
        size: dict[str, Any] = dict(description["input_size"])
    except (ValidationError, KeyError, TypeError, ValueError):
        raise WeightsError(f"{recipe.weights} describes a network unknown here", "a model file of atonce") from None
    shape = {key: getattr(network, key) for key in SHAPE_KNOBS if f"model.{key}" not in given}
    sizes = {key: size[key] for key in SIZE_KNOBS if key in size and f"data.{key}" not in given}
    data = recipe.model_dump(mode="json")
    data["model"] |= network.model_dump(mode="json", include=set(shape))
    data["data"] |= sizes
    return Recipe.model_validate(data)


def description_of(weights: str | None) -> dict[str, Any] | None:
    """Read the description of a model file of atonce, or of a run folder's; None for weights of any other kind.

    What is wrong with a file is told by those who read its weights.
    """
    if weights is None:
        return None
    try:
        return read_metadata(find_model_file(weights))
    except WeightsError:
        return None
