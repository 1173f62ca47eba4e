"""The size at which the network sees a picture: a factor, a limit, or an exact size; the same in every file."""

from __future__ import annotations

import json

import pytest

from atonce.data.input_size import InputSize
from atonce.recipes import load_recipe


@pytest.mark.parametrize(
    ("rule", "size"),
    [
        (InputSize(), (375, 1242)),
        (InputSize(0.5), (188, 621)),
        (InputSize(1.0, 576), (174, 576)),
        (InputSize(size=(160, 576)), (160, 576)),
        (InputSize(0.5, 100, (160, 576)), (160, 576)),
    ],
)
def test_what_the_network_sees_of_a_kitti_picture(rule: InputSize, size: tuple[int, int]) -> None:
    assert rule.apply(375, 1242) == size


def test_a_recipe_says_it() -> None:
    recipe = load_recipe("kitti-road", ["data.size=[160, 576]"])
    assert InputSize.of_recipe(recipe.data) == InputSize(size=(160, 576))
    recipe = load_recipe("kitti-road", ["data.scale=0.25", "data.max_side=90", "data.size=null"])
    assert InputSize.of_recipe(recipe.data) == InputSize(0.25, 90)


def test_descriptions_without_a_size_are_those_of_before() -> None:
    """Files that an older atonce wrote are read, and files without a size are read by it."""
    assert InputSize.from_json({"scale": 0.5, "max_side": None}) == InputSize(0.5)
    assert InputSize(0.5, 90).to_json() == {"scale": 0.5, "max_side": 90}
    exact = InputSize(size=(160, 576))
    assert InputSize.from_json(json.loads(json.dumps(exact.to_json()))) == exact


@pytest.mark.parametrize("size", [[0, 5], [5], "ab", [1.5, 2], [True, 2], 7, [10, 10, 10]])
def test_a_description_that_is_none(size: object) -> None:
    with pytest.raises((ValueError, TypeError)):
        InputSize.from_json({"scale": 1.0, "max_side": None, "size": size})
