"""Choosing a recipe and a run folder: what is asked for, or what fits the data.

Nothing here imports torch: what is mistyped (data, recipe, weights, teacher) is refused at once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from os import PathLike, fspath
from pathlib import Path
from typing import Any, Literal

from atonce.data.formats import named_folder, require_format
from atonce.errors import TrainingError, option
from atonce.extras import require_extra
from atonce.model_location import require_model_file
from atonce.recipes import Recipe, load_recipe
from atonce.recipes.recipe_files import given_keys
from atonce.remote import copy_of_results, local_copy
from atonce.training.fine_tuning import with_shape_of_weights
from atonce.training.run_folder import RunFolder
from atonce.weights.registry import require_weights

Overrides = Mapping[str, Any] | Sequence[str]
"""Changes to a recipe: {"optim.lr": 1e-4, ...}, or "section.key=value" texts whose values are YAML."""

_RECIPE_BY_FORMAT = {"camvid": "camvid", "kitti-road": "kitti-road", "voc": "voc"}
"""Recipes made for one format of data; every other format is trained by the recipe "folder"."""


def choose_run(
    data: str | PathLike[str],
    *,
    recipe: str | PathLike[str] | Recipe | None = None,
    out: str | PathLike[str] | None = None,
    images: str | PathLike[str] | None = None,
    masks: str | PathLike[str] | None = None,
    resume: bool = False,
    **changes: Any,
) -> tuple[Path, Recipe]:
    """Return the run folder and the recipe of a run; one that is resumed keeps its own recipe, with the changes.

    Args:
        data: the folder of the data set, or its address; what lies at an address is copied.
        recipe: a shipped recipe's name, a YAML file, or a `Recipe`; None takes the one for the data's format.
        out: the run folder; None for runs/<data>-<recipe>; at an address, the copy of what is there is returned.
        images, masks: the folders of pictures and of masks, where the layout is none that is known.
        resume: go on with the run in `out`.
        changes: what `recipe_changes` takes.

    Raises:
        TrainingError: resumed with a recipe that is not the run's, or where there is no run; the folder of a new run
            holds files of somebody else, or lies among the data.
        RecipeError, DataError, WeightsError: no such recipe, data, weights or teacher.
    """
    path = local_copy(data)
    overrides = [*_folder_overrides(path, images, masks), *recipe_changes(**changes)]
    folder = copy_of_results(out) if out is not None else None
    if resume and folder and (folder / "recipe.yaml").is_file():
        chosen = load_recipe(folder / "recipe.yaml", overrides)
        # The same command once more, with `resume` behind it, is no mistake.
        if recipe is not None and _named_recipe(path, recipe, overrides)[1] != chosen:
            name = "a Recipe" if isinstance(recipe, Recipe) else fspath(recipe)
            found = f"{option('resume', value=True)} with {option('recipe', name)}"
            remedy = f"leave out {option('recipe')}"
            raise TrainingError(found, f"the recipe of the run, {folder / 'recipe.yaml'}", remedy)
    else:
        name, chosen = _named_recipe(path, recipe, overrides)
        folder = folder or Path("runs") / f"{path.resolve().name}-{name}"
        if resume and not (folder / "recipe.yaml").is_file():
            raise TrainingError(f"{folder} holds no run", "a run directory to resume", f"name it with {option('out')}")
        if resume:
            chosen = load_recipe(folder / "recipe.yaml", overrides)
    begun = resume and (folder / "state" / "state.safetensors").is_file()
    _require_inputs(path, chosen, begun=begun)
    RunFolder(folder).require_place(path)
    return folder, chosen


def choose_recipe(
    data: str | PathLike[str],
    *,
    recipe: str | PathLike[str] | Recipe | None = None,
    images: str | PathLike[str] | None = None,
    masks: str | PathLike[str] | None = None,
    **changes: Any,
) -> Recipe:
    """Return the recipe to train with.

    Args:
        data, recipe, images, masks: as for `choose_run`.
        changes: what `recipe_changes` takes.

    Raises:
        RecipeError, DataError, WeightsError: no such recipe, data, weights or teacher.
    """
    path = local_copy(data)
    overrides = [*_folder_overrides(path, images, masks), *recipe_changes(**changes)]
    chosen = _named_recipe(path, recipe, overrides)[1]
    _require_inputs(path, chosen, begun=False)
    return chosen


def recipe_changes(
    *,
    overrides: Overrides | None = None,
    weights: str | PathLike[str] | None = None,
    teacher: str | PathLike[str] | None = None,
    format: str | None = None,
    ground_truth: Literal["road", "lane"] | None = None,
    bands: Sequence[int] | None = None,
    seed: int | None = None,
    max_minutes: float | None = None,
) -> list[str]:
    """Write the options of a training as "section.key=value" texts, in the order in which they count."""
    return [
        *override_texts(overrides or ()),
        *([f"train.max_minutes={max_minutes}"] if max_minutes is not None else []),
        *([f"train.seed={seed}"] if seed is not None else []),
        *([f"data.ground_truth={ground_truth}"] if ground_truth is not None else []),
        *([f"data.bands={list(bands)}"] if bands is not None else []),
        # The values of overrides are YAML; what is meant as a word is quoted: "my #1.pth" is another word in YAML.
        *([f"data.format={json.dumps(format)}"] if format is not None else []),
        *([f"weights={_name_or_null(weights)}"] if weights is not None else []),
        *([f"distill.teacher={_name_or_null(teacher)}"] if teacher is not None else []),
    ]


def override_texts(overrides: Overrides) -> list[str]:
    """Write overrides as "section.key=value" texts, whose values are YAML."""
    if isinstance(overrides, str):
        return [overrides]
    if isinstance(overrides, Mapping):
        return [f"{key}={json.dumps(value)}" for key, value in overrides.items()]
    return list(overrides)


def _named_recipe(
    data: Path, recipe: str | PathLike[str] | Recipe | None, overrides: Sequence[str]
) -> tuple[str, Recipe]:
    """Return a recipe with its overrides, and the name that it gives to a run folder.

    With weights of atonce's own, the network is theirs where neither the overrides nor the recipe's author set another.
    """
    source: str | Recipe
    if isinstance(recipe, Recipe):
        name, source = "recipe", recipe
    else:
        source = _name_for_data(data, overrides) if recipe is None else fspath(recipe)
        name = Path(source).stem
    return name, with_shape_of_weights(load_recipe(source, overrides), given_keys(source, overrides))


def _name_for_data(data: Path, overrides: Sequence[str]) -> str:
    """Return the name of the shipped recipe for the data's format: the one that is set, or the one recognised; where
    the folders of pictures and masks are named, it is a folder."""
    if any(override.startswith("data.images=") for override in overrides):
        return "folder"
    given = [override.partition("=")[2].strip("\"'") for override in overrides if override.startswith("data.format=")]
    format = given[-1] if given and given[-1] not in ("null", "~", "") else None
    return _RECIPE_BY_FORMAT.get(require_format(data, format), "folder")


def _require_inputs(data: Path, recipe: Recipe, *, begun: bool) -> None:
    """Refuse data, weights or a teacher that are not there.

    Args:
        begun: the run has a state to go on from; its weights have been read then.
    """
    require_format(data, recipe.data.format or ("folder" if recipe.data.images is not None else None))
    if recipe.weights is not None and not begun:
        require_weights(recipe.weights)
    if recipe.distill.teacher is not None:
        require_model_file(recipe.distill.teacher)
    for tracker in recipe.train.track:
        require_extra(tracker, option("set", f"train.track=[{tracker}]"), tracker)


def _folder_overrides(data: Path, images: str | PathLike[str] | None, masks: str | PathLike[str] | None) -> list[str]:
    """Write the overrides that name the folders of pictures and masks, so that a run which is resumed from elsewhere
    finds them: relative to the data set where they lie in it, else absolute. Folders that do not exist are named as
    they are given, and refused when the data are opened."""
    given = {"images": images, "masks": masks}
    found = {key: named_folder(data, Path(path)) or path for key, path in given.items() if path is not None}
    # Recipes made for one format of data name it; such folders are of none but "folder".
    changes = ["data.format=folder"] if found else []
    return changes + [f"data.{key}={json.dumps(fspath(path))}" for key, path in found.items()]


def _name_or_null(value: str | PathLike[str]) -> str:
    text = fspath(value)
    return "null" if text == "none" else json.dumps(text)
