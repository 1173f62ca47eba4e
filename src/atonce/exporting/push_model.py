"""`atonce.push`: a model and its card go to a hub, where `hf://user/name` finds them."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory

from atonce.errors import UserError, WeightsError, option
from atonce.hub_models import HubAddress, hub_api, hub_errors, parse_address
from atonce.model_file import load_model_file
from atonce.model_location import FILE_NAME, require_model_file
from atonce.reports.folder_names import without_folders
from atonce.reports.model_card import card


def push(
    model: str | PathLike[str],
    repo: str,
    *,
    licence: str | None = None,
    private: bool = False,
    overwrite: bool = False,
    message: str | None = None,
) -> str:
    """Upload a model with its card to a hub: model.safetensors and README.md, in one commit.

    Paths in what it says of itself are reduced to their last part first: they tell of the machine. The right to write
    is that of `hf auth login`, or of HF_TOKEN; the hub is Hugging Face's, or that of HF_ENDPOINT.

    Args:
        model: a run folder, a model file, or a packaged model.
        repo: "user/name", or "hf://user/name"; it is made where there is none.
        licence: see `atonce.card`.
        private: whether a repository that is made here is private.
        overwrite: replace the model and the card that are there; the hub keeps the earlier ones in its history.
        message: of the commit.

    Returns:
        The address by which the model is loaded: "hf://user/name".

    Raises:
        UserError: `repo` is no name of a repository.
        WeightsError: no such model, an exported one, or a hub that refuses; a repository with a model in it.
    """
    address = parse_address(repo if repo.startswith("hf:") else f"hf://{repo}")
    if address is None or address != HubAddress(address.repo):
        raise UserError(f"the repository {repo}", "user/name, or hf://user/name")
    path = require_model_file(model)
    if path.suffix.lower() in (".onnx", ".xml"):
        raise WeightsError(f"{path} is an exported file", "the model file (model.safetensors) that it was made of")
    model_file = load_model_file(path)
    with TemporaryDirectory() as folder:
        clean = Path(folder) / FILE_NAME
        without_folders(model_file).save(clean)
        text = card(clean, name=str(address), licence=licence)
        _upload(address, clean, text, private=private, overwrite=overwrite, message=message)
    return str(address)


def _upload(
    address: HubAddress, model: Path, text: str, *, private: bool, overwrite: bool, message: str | None
) -> None:
    from huggingface_hub import CommitOperationAdd

    api = hub_api()
    with hub_errors(str(address)):
        api.create_repo(address.repo, private=private or None, exist_ok=True)
        if not overwrite and api.file_exists(address.repo, FILE_NAME):
            raise WeightsError(
                f"{address} holds a model already",
                "a repository without one",
                f"choose another name, or replace it with {option('overwrite', value=True)}",
            )
        api.create_commit(
            address.repo,
            [
                CommitOperationAdd(FILE_NAME, str(model)),
                CommitOperationAdd("README.md", text.encode()),
            ],
            commit_message=message or "A model of atonce, with its card",
        )
