"""The path of a model: of a run folder its best one, and never that of the data given in its place.

Nothing here imports torch: a wrong name is refused at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path, PurePosixPath

from atonce.errors import UserError, WeightsError
from atonce.remote import address_of, local_copy
from atonce.text import similar_file

FILE_NAME = "model.safetensors"
"""The model file in a run folder, the best one on validation."""


def find_model_file(path: str | PathLike[str]) -> Path:
    """Find the model file that a path stands for: the model.safetensors of a run folder; any other path is itself.

    Raises:
        WeightsError: a folder without a model.
    """
    address = address_of(path)
    if address is not None:
        return _copy_of_model(address)
    path = Path(path)
    if not path.is_dir():
        return path
    if (path / FILE_NAME).is_file():
        return path / FILE_NAME
    began = "; its run has not come to a validation yet" if (path / "recipe.yaml").is_file() else ""
    raise WeightsError(f"{path} holds no {FILE_NAME}{began}", "a run folder, or a model file")


def _copy_of_model(address: str) -> Path:
    """Copy a model file from its address; of a run folder there its best one, and no more of the folder."""
    suffix = PurePosixPath(address).suffix.lower()
    if suffix == ".xml":
        # OpenVINO keeps the weights beside the graph, and both copies have to lie in one folder.
        folder, _, name = address.rpartition("/")
        return local_copy(folder) / name
    return local_copy(address if suffix else f"{address}/{FILE_NAME}")


def require_model_file(path: str | PathLike[str]) -> Path:
    """Find the model file that a path stands for, as `find_model_file`.

    Raises:
        WeightsError: there is none.
    """
    found = find_model_file(path)
    if not found.is_file():
        raise WeightsError(f"{found} does not exist", f"a model file ({FILE_NAME})", similar_file(found))
    return found


def require_model_first(model: object, data: Sequence[str | PathLike[str]], command: str) -> None:
    """Refuse a model that is none where what was given as data is one.

    Args:
        command: the one that was called ("evaluate").

    Raises:
        UserError: they are swapped.
    """
    if not isinstance(model, (str, PathLike)) or not Path(model).exists() or _is_model(Path(model)):
        return
    swapped = [Path(path) for path in data if address_of(path) is None and _is_model(Path(path))]
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
