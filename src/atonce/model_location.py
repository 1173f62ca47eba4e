"""The path of a model: of a run folder its best one. Nothing here imports torch: a wrong name is refused at once."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

from atonce.errors import WeightsError
from atonce.text import similar_file

FILE_NAME = "model.safetensors"
"""The model file in a run folder, the best one on validation."""


def find_model_file(path: str | PathLike[str]) -> Path:
    """Find the model file that a path stands for: the model.safetensors of a run folder; any other path is itself.

    Raises:
        WeightsError: a folder without a model.
    """
    path = Path(path)
    if not path.is_dir():
        return path
    if (path / FILE_NAME).is_file():
        return path / FILE_NAME
    began = "; its run has not come to a validation yet" if (path / "recipe.yaml").is_file() else ""
    raise WeightsError(f"{path} holds no {FILE_NAME}{began}", "a run folder, or a model file")


def require_model_file(path: str | PathLike[str]) -> Path:
    """Find the model file that a path stands for, as `find_model_file`.

    Raises:
        WeightsError: there is none.
    """
    found = find_model_file(path)
    if not found.is_file():
        raise WeightsError(f"{found} does not exist", f"a model file ({FILE_NAME})", similar_file(found))
    return found
