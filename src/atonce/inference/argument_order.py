"""MODEL and DATA given in each other's place: recognised, and said."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path

from atonce.errors import UserError
from atonce.model_location import find_model_file


def require_model_first(model: object, data: Sequence[str | PathLike[str]], command: str) -> None:
    """Refuse a model that is none where what was given as data is one.

    Args:
        command: the one that was called ("evaluate").

    Raises:
        UserError: they are swapped.
    """
    if not isinstance(model, (str, PathLike)) or not Path(model).exists() or _is_model(Path(model)):
        return
    swapped = [path for path in map(Path, data) if _is_model(path)]
    if swapped:
        raise UserError(
            f"{model} is no model, but {swapped[0]} is one",
            "the model first, then the data",
            f"swap them: `atonce {command} {swapped[0]} {model}`",
        )


def _is_model(path: Path) -> bool:
    """Tell by a glance whether a path is a model: a run folder, an exported file, a file of safetensors."""
    try:
        path = find_model_file(path)
        if path.suffix.lower() in (".onnx", ".xml"):
            return path.is_file()
        with path.open("rb") as file:
            # The length of a header in JSON, and its first letter.
            return int.from_bytes(file.read(8), "little") < path.stat().st_size and file.read(1) == b"{"
    except (UserError, OSError):
        return False
