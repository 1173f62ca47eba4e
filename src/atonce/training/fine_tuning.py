"""Fine-tuning a model of atonce: the network that is trained takes its shape from the model file.

What the user has set counts before it. The weights themselves are copied by `atonce.weights.load_into`.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from pydantic import ValidationError
from safetensors import SafetensorError, safe_open

from atonce.errors import WeightsError
from atonce.model_location import find_model_file
from atonce.recipes import FCNConfig, Recipe
from atonce.recipes.recipe_files import build
from atonce.untrusted_files import parse_json
from atonce.weights.registry import REGISTRY

SHAPE_KNOBS = ("stride", "alignment", "skip_scales", "head_scale", "upsampling", "width", "head_width")
"""The knobs of a recipe's section `model` that make another network; the others are about how it is trained."""

SIZE_KNOBS = ("scale", "max_side", "size")
"""The knobs of its section `data` that say together at which size the network sees a picture."""


def with_shape_of_weights(recipe: Recipe, given: Collection[str]) -> Recipe:
    """Return a recipe whose network is the one in its weights, where these are a model file of atonce or a run folder.

    Args:
        given: full names of the knobs that the user has set, see `atonce.recipes.recipe_files.given_keys`; they stay.

    Raises:
        WeightsError: the model file describes a network unknown here.
    """
    description = description_of(recipe.weights)
    if description is None:
        return recipe
    try:
        network = FCNConfig.model_validate(description["architecture"])
        size: dict[str, Any] = dict(description["input_size"])
        read: dict[str, Any] = dict(description["recipe"].get("data", {}))
    except (ValidationError, KeyError, TypeError, ValueError, AttributeError):
        raise WeightsError(f"{recipe.weights} describes a network unknown here", "a model file of atonce") from None
    shape = {key: getattr(network, key) for key in SHAPE_KNOBS if f"model.{key}" not in given}
    changes = {key: size.get(key) for key in SIZE_KNOBS}
    if any(f"data.{key}" in given for key in SIZE_KNOBS):
        changes = {}
    if "bands" in read and "data.bands" not in given:
        changes["bands"] = read["bands"]
    data = recipe.model_dump(mode="json")
    data["model"] |= network.model_dump(mode="json", include=set(shape))
    data["data"] |= changes
    return build(data, f"of {recipe.weights}")


def description_of(weights: str | None) -> dict[str, Any] | None:
    """Read the description of a model file of atonce, or of a run folder's; None for weights of any other kind.

    What is wrong with a file is told by those who read its weights.
    """
    if weights is None or weights in REGISTRY:
        return None
    try:
        # By way of NumPy: what is mistyped on the command line is refused without waiting for torch.
        with safe_open(find_model_file(weights), "np") as file:
            description = parse_json((file.metadata() or {})["atonce"])
    except (WeightsError, SafetensorError, OSError, KeyError, ValueError):
        return None
    return description if isinstance(description, dict) else None
