"""The file of a model, given by a path, by the name of a packaged model, or by its address on a hub.

Of a run folder it is its best model, and never that of the data given in its place. Nothing here imports torch: a wrong
name is refused at once.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from os import PathLike
from pathlib import Path, PurePosixPath

from atonce.errors import DataError, UserError, WeightsError
from atonce.hub_models import fetch_model, parse_address
from atonce.packaged_models import find_packaged, packaged_hint, packaged_models
from atonce.remote import address_of, local_copy
from atonce.text import listing, similar_file

FILE_NAME = "model.safetensors"
"""The model file in a run folder, the best one on validation."""


def find_model_file(path: str | PathLike[str]) -> Path:
    """Find the model file that a user means.

    It is the model.safetensors of a run folder; that of a packaged model ("camvid-slim") or of a hub
    ("hf://user/name"); any other path is itself, whether or not it exists. What lies at a path comes before a packaged
    model of the same name.

    Raises:
        WeightsError: a folder without a model; a packaged model or one of a hub that cannot be had.
    """
    on_hub = parse_address(path)
    if on_hub is not None:
        return fetch_model(on_hub)
    address = address_of(path)
    if address is not None:
        return _copy_of_model(address)
    path = Path(path)
    if not path.exists() or _is_other_folder(path):
        packaged = find_packaged(path.name) if _is_name(path) else None
        if packaged is not None:
            return packaged
    return _model_at(path)


def is_named_model(model: str | PathLike[str]) -> bool:
    """Tell whether a model is given by its address on a hub or by the name of a packaged one, not by a path."""
    if parse_address(model) is not None:
        return True
    path = Path(model)
    return _is_name(path) and path.name in packaged_models() and (not path.exists() or _is_other_folder(path))


def name_of_model(model: str | PathLike[str]) -> str:
    """Return a model as its user wrote it, for messages and run.json: a path has lost a slash of an address."""
    address = parse_address(model) or address_of(model)
    return str(address) if address is not None else str(Path(model))


def require_model_file(path: str | PathLike[str]) -> Path:
    """Find the model file that a user means, as `find_model_file`.

    Raises:
        WeightsError: there is none; the message says what is near.
    """
    found = find_model_file(path)
    if found.is_file():
        return found
    known = listing(packaged_models())
    expected = f"a model file ({FILE_NAME}), a run folder, hf://user/name or a packaged model"
    expected += f" ({known})" if known else ""
    remedy = similar_file(found) or (packaged_hint(found.name) if _is_name(found) else "")
    raise WeightsError(f"{found} does not exist", expected, remedy)


def _model_at(path: Path) -> Path:
    """Return the model file of a run folder; any other path is itself. Raises WeightsError: a folder without one."""
    if not path.is_dir():
        return path
    if (path / FILE_NAME).is_file():
        return path / FILE_NAME
    began = "; its run has not come to a validation yet" if (path / "recipe.yaml").is_file() else ""
    raise WeightsError(f"{path} holds no {FILE_NAME}{began}", "a run folder, or a model file")


def _is_name(path: Path) -> bool:
    return len(path.parts) == 1 and not path.suffix and path.name not in ("", ".", "..")


def _copy_of_model(address: str) -> Path:
    """Copy a model file from its address; of a run folder there its best one, and no more of the folder.

    Raises:
        WeightsError: there is none, or it cannot be read.
    """
    suffix = PurePosixPath(address).suffix.lower()
    if suffix == ".xml":
        # OpenVINO keeps the weights beside the graph, and both copies have to lie in one folder.
        folder, _, name = address.rpartition("/")
        return _copy(folder) / name
    return _copy(address if suffix else f"{address}/{FILE_NAME}")


def _copy(address: str) -> Path:
    try:
        return local_copy(address)
    except DataError as error:
        raise WeightsError(*error.parts) from None


def _is_other_folder(path: Path) -> bool:
    """Tell whether a folder has nothing to do with models, as one of pictures that is called "streets"."""
    return path.is_dir() and not any((path / name).is_file() for name in (FILE_NAME, "recipe.yaml"))


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
            f"swap them: `{shlex.join(['atonce', command, str(swapped[0]), str(model)])}`",
        )


def _is_model(path: Path) -> bool:
    """Tell by a glance whether a path is a model: a run folder, an exported file, a file of safetensors."""
    try:
        path = _model_at(path)
        if path.suffix.lower() in (".onnx", ".xml"):
            return path.is_file()
        with path.open("rb") as file:
            # The length of a header in JSON, and its first letter.
            return int.from_bytes(file.read(8), "little") < path.stat().st_size and file.read(1) == b"{"
    except (UserError, OSError):
        return False
