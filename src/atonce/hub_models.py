"""Models of a hub: `hf://user/name` is the model.safetensors of that repository, kept in Hugging Face's own cache.

Nothing of a repository is run: its one file is read as what it is, tensors and a description. Its size is bounded
before and while it is downloaded, and what lies in the cache must have the checksum that the hub gave.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from os import PathLike
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit
from urllib.request import Request

from atonce.downloads import LARGEST_MODEL, DownloadError, in_time, open_download
from atonce.errors import UserError, WeightsError
from atonce.hub_cache import CachedFile, is_checksum
from atonce.storage import sha256_of
from atonce.text import words_of
from atonce.version import __version__

_PART = r"[A-Za-z0-9][\w.-]{0,95}"
_ADDRESS = re.compile(
    rf"hf:/{{1,2}}(?P<repo>{_PART}/{_PART})(?:@(?P<revision>\w[\w./-]{{0,95}}?))?(?:/(?P<file>\w[\w./-]*))?/?"
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
    cache = os.environ.get("HF_HUB_CACHE") or constants.HF_HUB_CACHE
    with hub_errors(str(address)):
        try:
            if constants.HF_HUB_OFFLINE:
                raise errors.OfflineModeIsEnabled
            url = hf_hub_url(**where, revision=address.revision, endpoint=api.endpoint)
            about = in_time(lambda: api.get_hf_file_metadata(url=url))
        except Exception as error:
            if _is_answer(error):
                raise
            # No answer: what was downloaded before is as good as it was then.
            with suppress(errors.LocalEntryNotFoundError):
                found = Path(
                    api.hf_hub_download(**where, cache_dir=cache, revision=address.revision, local_files_only=True)
                )
                _require_digest(address, found, _cached_digest(found))
                return found
            raise
        size = _require_size(address, about.size)
        for name, checksum in (("checksum", about.etag), ("commit", about.commit_hash)):
            if not is_checksum(checksum):
                told = f"'{checksum[:40]}'" if checksum else "nothing"
                raise WeightsError(f"{address}: the hub gives {told} as its {name}", "hexadecimal digits, 40 or 64")
        kept = CachedFile(Path(cache), address.repo, address.file, about.commit_hash, about.etag)

        def download(path: Path) -> None:
            _download(address, _request(url, about.location), size, path)
            _require_digest(address, path, kept.digest, "try again later")

        found = kept.bring(download, address.revision or "main")
        _require_digest(address, found, _cached_digest(found) or kept.digest)
    return found


def _request(url: str, location: str) -> Request:
    """Build the request for a file at the place that the hub names; who the user is stays between them and the hub."""
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

    headers = build_hf_headers(library_name="atonce", library_version=__version__)
    token = headers.pop("authorization", None)
    # Bytes as they are: the checksum is theirs.
    request = Request(location, headers={**headers, "Accept-Encoding": "identity"})
    if token and urlsplit(location)[:2] == urlsplit(url)[:2]:
        request.add_unredirected_header("Authorization", token)
    return request


def _download(address: HubAddress, request: Request, size: int, path: Path) -> None:
    """Write what is at an address to a path, with the client's own progress bar. Raises DownloadError, OSError."""
    from huggingface_hub.utils import tqdm  # type: ignore[attr-defined]

    bar: Any = tqdm(  # type: ignore[no-untyped-call]
        total=size, unit="B", unit_scale=True, desc=PurePosixPath(address.file).name
    )
    with open_download(request, size) as download, path.open("wb") as file, bar:
        for block in download.blocks:
            file.write(block)
            bar.update(len(block))


def _is_answer(error: Exception) -> bool:
    """Tell whether a hub has said no, which a copy in the cache does not change."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    return status is not None and 400 <= status < 500 and status not in (408, 429)


def _require_size(address: HubAddress, size: int | None) -> int:
    if size is None or not 0 <= size <= LARGEST_MODEL:
        told = "of a size that the hub does not say" if size is None else f"of {size / 1e9:.1f} GB"
        raise WeightsError(f"{address} is a file {told}", f"a model of at most {LARGEST_MODEL / 1e9:.1f} GB")
    return size


def _cached_digest(path: Path) -> str | None:
    """Return the checksum by which the cache has a file; None where the file system has no links."""
    return path.readlink().name if path.is_symlink() else None


def _require_digest(address: HubAddress, path: Path, digest: str | None, remedy: str | None = None) -> None:
    """Refuse a file that is not what the hub says: the sha256 of large files, git's own sha1 of small ones.

    Args:
        remedy: None for that of a file in the cache.
    """
    if digest is None:
        return
    if not is_checksum(digest):
        raise WeightsError(f"{address}: the cache has '{digest[:40]}' as a checksum", "a sha256", f"delete {path}")
    found = sha256_of(path) if len(digest) == 64 else _git_sha1_of(path)
    if found != digest:
        raise WeightsError(
            f"{address} has the checksum {found[:16]}...",
            f"{digest[:16]}...",
            f"delete {path.resolve()} and try again" if remedy is None else remedy,
        )


def _git_sha1_of(path: Path) -> str:
    digest = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _is_no_connection(error: Exception) -> bool:
    """Tell whether nobody answered. Each version of the client has another HTTP library, whose names are alike."""
    known = {"ConnectError", "ConnectTimeout", "ConnectionError", "OfflineModeIsEnabled"}
    return not known.isdisjoint(kind.__name__ for kind in type(error).__mro__)


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
    except errors.RevisionNotFoundError:
        raise WeightsError(f"{what}: there is no such revision", "a branch, a tag or a commit") from None
    except errors.RepositoryNotFoundError:
        found = f"there is no {what} on {hub}, or you may not see it"
        raise WeightsError(found, "a repository of a model", f"check its name, or {log_in}") from None
    except errors.EntryNotFoundError:
        raise WeightsError(f"{what}: there is no such file in it", f"a repository with a {_FILE}") from None
    except DownloadError as error:
        raise WeightsError(
            f"{what} cannot be downloaded from {hub} ({error})", "the file that it has announced", "try again later"
        ) from None
    except Exception as error:
        if _is_no_connection(error):
            offline = isinstance(error, errors.OfflineModeIsEnabled)
            found = f"{what} has not been downloaded yet, and {hub} cannot be reached"
            remedy = "HF_HUB_OFFLINE is set" if offline else f"it says: {words_of(error)}"
            raise WeightsError(found, "a connection, or a copy in the cache", remedy) from None
        # Each version of the client has another HTTP library, with exceptions of its own.
        status = getattr(getattr(error, "response", None), "status_code", None)
        if status in (401, 403):
            raise WeightsError(f"{hub} refuses {what} ({status})", "the right to do so", log_in) from None
        told = error.__cause__ or error
        reason = words_of(told).rstrip(".")
        raise WeightsError(f"{what}: {hub} says: {reason}", "an answer of the hub", "try again later") from None
