"""Models of a hub: `hf://user/name` is the model.safetensors of that repository, kept in Hugging Face's own cache.

Nothing of a repository is run: its one file is read as what it is, tensors and a description. Its size is bounded
before it is downloaded, and what lies in the cache must have the checksum that the hub gave.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from atonce.errors import UserError, WeightsError
from atonce.storage import sha256_of
from atonce.version import __version__

LARGEST_BYTES = 4 << 30
"""The largest file that is downloaded; an FCN-8s of full width has 0.54 GB."""

_PART = r"[A-Za-z0-9][\w.-]{0,95}"
_ADDRESS = re.compile(
    rf"hf:/{{1,2}}(?P<repo>{_PART}/{_PART})(?:@(?P<revision>[\w./-]{{1,96}}?))?(?:/(?P<file>[\w./-]+))?/?"
)
_EXPECTED = "hf://user/name, hf://user/name@revision, or hf://user/name/file.safetensors"
_FILE = "model.safetensors"


@dataclass(frozen=True)
class HubAddress:
    """The address of a model file on a hub.

    Attributes:
        repo: "user/name".
        revision: a branch, a tag or a commit; None for the main branch.
        file: its path in the repository, with the suffix .safetensors.
    """

    repo: str
    revision: str | None = None
    file: str = _FILE

    def __str__(self) -> str:
        revision = f"@{self.revision}" if self.revision else ""
        return f"hf://{self.repo}{revision}{'' if self.file == _FILE else '/' + self.file}"


def parse_address(model: str | PathLike[str]) -> HubAddress | None:
    """Read an address; None for what is none. A path has lost one of the slashes: "hf:/user/name".

    Raises:
        UserError: it begins as an address, and is none.
    """
    text = Path(model).as_posix() if isinstance(model, PathLike) else model
    if not text.startswith("hf:/"):
        return None
    match = _ADDRESS.fullmatch(text)
    file = (match["file"] if match else None) or _FILE
    if match is None or ".." in text or not file.endswith(".safetensors"):
        raise UserError(f"the model {text}", _EXPECTED)
    return HubAddress(match["repo"], match["revision"], file)


def hub_api() -> Any:
    """Return the client of the hub: that of HF_ENDPOINT, or else Hugging Face's."""
    from huggingface_hub import HfApi

    return HfApi(endpoint=_endpoint(), library_name="atonce", library_version=__version__)


def _endpoint() -> str | None:
    return os.environ.get("HF_ENDPOINT", "").rstrip("/") or None


_fetched: dict[tuple[HubAddress, str | None], Path] = {}


def fetch_model(address: HubAddress) -> Path:
    """Return the path of a model file in the cache, after downloading it where the hub has another one by now.

    Offline (HF_HUB_OFFLINE), or where the hub cannot be reached, it is the one that was downloaded last. Within a
    process an address stands for one file.

    Raises:
        WeightsError: no such repository, revision or file; one that is too large, or has another checksum than the hub
            says; nothing in the cache while the hub cannot be reached.
    """
    key = (address, _endpoint())
    if key not in _fetched or not _fetched[key].is_file():
        _fetched[key] = _fetch(address)
    return _fetched[key]


def _fetch(address: HubAddress) -> Path:
    from huggingface_hub import constants, errors, hf_hub_url

    api, where = hub_api(), {"repo_id": address.repo, "filename": address.file}
    cache = {"cache_dir": os.environ.get("HF_HUB_CACHE") or None}
    digest: str | None = None
    with hub_errors(str(address)):
        try:
            if constants.HF_HUB_OFFLINE:
                raise errors.OfflineModeIsEnabled
            url = hf_hub_url(**where, revision=address.revision, endpoint=api.endpoint)
            about = api.get_hf_file_metadata(url=url)
        except Exception as error:
            if _is_answer(error):
                raise
            # No answer: what was downloaded before is as good as it was then.
            path = api.hf_hub_download(**where, **cache, revision=address.revision, local_files_only=True)
        else:
            _require_size(address, about.size)
            digest = about.etag
            path = api.hf_hub_download(**where, **cache, revision=address.revision)
    found = Path(path)
    _require_digest(address, found, _cached_digest(found) or digest)
    return found


def _is_answer(error: Exception) -> bool:
    """Tell whether a hub has said no, which a copy in the cache does not change."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    return status is not None and 400 <= status < 500 and status not in (408, 429)


def _require_size(address: HubAddress, size: int | None) -> None:
    if size is None or size > LARGEST_BYTES:
        told = "of a size that the hub does not say" if size is None else f"of {size / 1e9:.1f} GB"
        raise WeightsError(f"{address} is a file {told}", f"a model of at most {LARGEST_BYTES / 1e9:.1f} GB")


def _cached_digest(path: Path) -> str | None:
    """Return the checksum by which the cache has a file; None where the file system has no links."""
    return path.readlink().name if path.is_symlink() else None


def _require_digest(address: HubAddress, path: Path, digest: str | None) -> None:
    """Refuse a file that is not what the hub says: the sha256 of large files, git's own sha1 of small ones."""
    if digest is None:
        return
    if re.fullmatch(r"[0-9a-f]{64}", digest):
        found = sha256_of(path)
    elif re.fullmatch(r"[0-9a-f]{40}", digest):
        content = path.read_bytes()
        found = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
    else:
        raise WeightsError(f"{address}: the hub gives '{digest[:40]}' as a checksum", "a sha256")
    if found != digest:
        raise WeightsError(
            f"{address} has the checksum {found[:16]}...", f"{digest[:16]}...", f"delete {path.resolve()} and try again"
        )


@contextmanager
def hub_errors(what: str) -> Iterator[None]:
    """Turn what the client of the hub says into one line about `what`, an address.

    Raises:
        WeightsError: in place of any error of the client, of its HTTP library, and of the network.
    """
    from huggingface_hub import errors

    hub = _endpoint() or "the hub"
    log_in = "log in with `hf auth login`, or set HF_TOKEN"
    try:
        yield
    except (UserError, MemoryError):
        raise
    except errors.GatedRepoError:
        raise WeightsError(f"{what} is gated", "access to it", f"accept its terms on {hub}, then {log_in}") from None
    except errors.LocalEntryNotFoundError:
        found = f"{what} has not been downloaded yet, and {hub} cannot be reached"
        raise WeightsError(found, "a connection, or a copy in the cache", "is HF_HUB_OFFLINE set?") from None
    except errors.RevisionNotFoundError:
        raise WeightsError(f"{what}: there is no such revision", "a branch, a tag or a commit") from None
    except errors.RepositoryNotFoundError:
        found = f"there is no {what} on {hub}, or you may not see it"
        raise WeightsError(found, "a repository of a model", f"check its name, or {log_in}") from None
    except errors.EntryNotFoundError:
        raise WeightsError(f"{what}: there is no such file in it", f"a repository with a {_FILE}") from None
    except Exception as error:
        # Each version of the client has another HTTP library, with exceptions of its own.
        status = getattr(getattr(error, "response", None), "status_code", None)
        if status in (401, 403):
            raise WeightsError(f"{hub} refuses {what} ({status})", "the right to do so", log_in) from None
        told = error.__cause__ or error
        reason = " ".join(str(told).split())[:200] or type(told).__name__
        raise WeightsError(f"{what}: {hub} says: {reason}", "an answer of the hub", "try again later") from None
