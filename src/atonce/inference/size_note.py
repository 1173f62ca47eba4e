"""Pictures far from the size that a network was trained on: it knows things at one size only, and says nothing."""

from __future__ import annotations

import math

from atonce.data.input_size import InputSize
from atonce.errors import option
from atonce.model_file import ModelFile

_FAR = 1.5
"""Factor on the side of a picture beyond which things in it are of another size than any in training."""


def size_note(model_file: ModelFile, size: tuple[int, ...]) -> str | None:
    """Say if the network sees pictures of (height, width) much smaller or larger than those that it was trained on.

    None where it does not, or where the model file does not say on which it was trained. The option that mends it is
    marked, see `option`.
    """
    try:
        sizes = model_file.training_data["picture_sizes"]
        known = {which: (int(height), int(width)) for which, (width, height) in sizes.items()}
        lowest, highest = (float(factor) for factor in model_file.recipe["augment"]["scale"])
        section = model_file.recipe["data"]
        trained = InputSize(section["scale"], section["max_side"], section.get("size"))
        smallest, median, largest = (_side(trained.apply(*known[which])) for which in ("smallest", "median", "largest"))
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError):
        return None
    height, width = size
    shape = model_file.input_size.apply(height, width)
    seen = _side(shape)
    if smallest * min(1.0, lowest) / _FAR <= seen <= largest * max(1.0, highest) * _FAR:
        return None
    than = "smaller" if seen < median else "larger"
    scale = median / _side((height, width))
    if model_file.input_size == trained:
        (high, wide), compared = known["median"], f"much {than} than the pictures that the model was trained on"
    else:
        # With a scale of its own a small picture may be seen too large: what is compared is what the network sees.
        high, wide = trained.apply(*known["median"])
        compared = f"which the network sees at {shape[1]}x{shape[0]}, much {than} than the pictures in training"
    return (
        f"{width}x{height} pixels, {compared} ({wide}x{high}): if the same scene is shown, the network sees it as in "
        f"training at {scale:.2g} times this size ({option('scale', f'{scale:.2g}')})"
    )


def _side(size: tuple[int, int]) -> float:
    return math.sqrt(size[0] * size[1])
