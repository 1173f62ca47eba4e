"""Pretrained weights by name: their addresses, their sha256, the folder of downloads, which resume where they broke.

Nothing here imports torch before a file is looked for: a mistyped name is refused at once.
"""

from __future__ import annotations

import os
import time
import urllib.error
import urllib.request
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import IO

from atonce.errors import DataError, StorageError, WeightsError, option
from atonce.model_location import FILE_NAME, find_model_file, is_named_model
from atonce.progress import ProgressCallback
from atonce.remote import address_of, local_copy
from atonce.storage import make_folder, sha256_of, storage_errors, wait_for_others
from atonce.text import did_you_mean, similar_file
from atonce.untrusted_files import open_in_place
from atonce.weights.checkpoint_files import checkpoint_prefix

EXPECTED = "a weights file (`atonce weights list` names the kinds)"
"""The words for what is read, in messages."""

_BLOCK = 1 << 20
_TIMEOUT = 30  # seconds without a byte
_WAITS = (1.0, 2.0, 4.0, 8.0)
"""Seconds before each further attempt, where attempts fail one after the other; the first two where none ever got a
byte: then there is no connection, rather than a bad one."""
_TEMPORARY = {
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.INTERNAL_SERVER_ERROR,
    HTTPStatus.BAD_GATEWAY,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT,
}
"""Answers after which it may help to ask again."""


@dataclass(frozen=True)
class PretrainedWeights:
    """A published file of pretrained weights.

    Attributes:
        name: what users call it.
        sha256: of the file; or, where its publisher states only that much, the first 8 digits.
        layout: the importer that reads it, one of `weights.layouts.LAYOUTS`.
        about: a line for `atonce weights list`.
    """

    name: str
    url: str
    sha256: str
    layout: str
    about: str

    @property
    def file_name(self) -> str:
        """The last part of the address, which is the name in the cache, too."""
        return self.url.rpartition("/")[2]


# Addresses: torchvision/models/vgg.py. Its file names end in the first 8 digits of the sha256.
REGISTRY = {
    entry.name: entry
    for entry in (
        PretrainedWeights(
            name="vgg16-imagenet1k-v1",
            url="https://download.pytorch.org/models/vgg16-397923af.pth",
            sha256="397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
            layout="torchvision-v1",
            about="torchvision's own training, with fc6 and fc7; 528 MB; BSD-3-Clause",
        ),
        PretrainedWeights(
            name="vgg16-imagenet1k-features",
            url="https://download.pytorch.org/models/vgg16_features-amdegroot-88682ab5.pth",
            sha256="88682ab5",
            layout="torchvision-features",
            about="the original convolutions, as the FCN authors had them; 528 MB; CC BY 4.0",
        ),
    )
}


def cache_folder() -> Path:
    """The folder of downloads: torch's, $TORCH_HOME/hub/checkpoints, by default ~/.cache/torch/hub/checkpoints."""
    import torch

    return Path(torch.hub.get_dir()) / "checkpoints"


def find_weights(source: str | Path, progress: ProgressCallback | None = None) -> Path:
    """Find the file of a registry name, downloaded where need be, or of a path; of a run folder its model.

    What lies at an address is copied.

    Args:
        progress: called with the bytes downloaded and all bytes.

    Raises:
        WeightsError: no such name, or it cannot be downloaded. A path need not exist.
    """
    entry = REGISTRY.get(str(source))
    if entry:
        return fetch(entry, progress)
    if is_named_model(source):
        return find_model_file(source)
    if address_of(source) is not None:
        return _copy_of_weights(source)
    path = Path(source)
    if any((path / name).is_file() for name in (FILE_NAME, "recipe.yaml")):
        return find_model_file(path)  # other folders may hold a checkpoint of TensorFlow
    if not path.suffix:
        require_weights(source)
    return path


def require_weights(source: str | Path) -> None:
    """Refuse a name or a path that cannot be weights, without reading any; those at an address are copied.

    Raises:
        WeightsError: neither a registry name nor a path where something lies, nor the prefix of a checkpoint.
    """
    if address_of(source) is not None and not is_named_model(source):
        _copy_of_weights(source)
        return
    path = Path(source)
    if str(source) in REGISTRY or path.exists() or checkpoint_prefix(path) is not None or is_named_model(source):
        return
    if path.suffix:
        raise WeightsError(f"{path} does not exist", EXPECTED, similar_file(path))
    hint = did_you_mean(str(source), REGISTRY) or similar_file(path)
    raise WeightsError(f"no weights '{source}'", f"a file, a run folder or one of {', '.join(REGISTRY)}", hint)


def _copy_of_weights(address: str | Path) -> Path:
    """Copy a weights file from its address; of a run folder there its model alone, and any other folder as it is."""
    try:
        return find_model_file(address)
    except WeightsError:
        try:
            return local_copy(address)
        except DataError as error:
            raise WeightsError(error.parts[0], EXPECTED, error.parts[2]) from None


def fetch(entry: PretrainedWeights, progress: ProgressCallback | None = None) -> Path:
    """Find the file of a registry entry in the cache, or download it.

    Args:
        progress: called with the bytes done and all bytes (0 where the server does not say).

    Raises:
        WeightsError: offline, a broken connection, or other bytes than expected.
        StorageError: the cache cannot be written.
    """
    path = cache_folder() / entry.file_name
    if path.is_file():
        verify_sha256(path, entry)
        return path
    try:
        make_folder(path.parent)
        _download(entry, path, progress)
    except StorageError as error:
        raise StorageError(
            error.found, remedy="set TORCH_HOME to a folder with free space that you may write"
        ) from None
    return path


def verify_sha256(path: Path, entry: PretrainedWeights) -> str:
    """Compute the sha256 of a file.

    Raises:
        WeightsError: it is not the published one.
    """
    found = sha256_of(path)
    if not found.startswith(entry.sha256):
        raise WeightsError(f"{path} has sha256 {found[:16]}...", f"{entry.sha256[:16]}...", "delete it and try again")
    return found


def _download(entry: PretrainedWeights, path: Path, progress: ProgressCallback | None) -> None:
    """Fetch, check, and only then give the file its name: whoever finds it there may trust it.

    What came before a connection broke stays beside it as `.NAME.part`, for the next attempt, here or in another run.
    """
    part = path.with_name(f".{path.name}.part")
    of_use = False
    try:
        # The file first: where it cannot be written, the network need not be asked.
        with storage_errors(path), os.fdopen(open_in_place(part, os.O_WRONLY | os.O_APPEND), "ab") as file:
            wait_for_others(file)
            if path.is_file():  # one of them has been faster
                return
            of_use = True
            resumed = file.seek(0, os.SEEK_END) > 0
            _fetch_rest(entry, path, file, progress)
            found = _sha256(file, part)
            if resumed and not found.startswith(entry.sha256):
                # The beginning was damaged, or of another file.
                file.truncate(0)
                _fetch_rest(entry, path, file, progress)
                found = _sha256(file, part)
            of_use = False
            if not found.startswith(entry.sha256):
                raise WeightsError(
                    f"{entry.url} gave a file with sha256 {found[:16]}...",
                    f"{entry.sha256[:16]}...",
                    f"try again, or fetch it elsewhere and put it at {path}",
                )
            part.replace(path)
    finally:
        with suppress(OSError):
            if not of_use or part.stat().st_size == 0:
                part.unlink(missing_ok=True)


def _sha256(file: IO[bytes], path: Path) -> str:
    file.flush()
    return sha256_of(path)


def _fetch_rest(entry: PretrainedWeights, path: Path, file: IO[bytes], progress: ProgressCallback | None) -> None:
    """Append to a file what is missing of it, and begin again where the connection breaks.

    Raises:
        WeightsError: the server refuses, or several attempts in a row have not brought a byte.
    """
    failures, anything = 0, False
    while True:
        before = file.seek(0, os.SEEK_END)
        try:
            _append(entry, path, file, progress)
            return
        except _Refused as refused:
            raise refused.error from None
        except WeightsError:
            came = file.tell() > before
            failures, anything = (1 if came else failures + 1), anything or came
            waits = _WAITS if anything else _WAITS[:2]
            if failures > len(waits):
                raise
            time.sleep(waits[failures - 1])


def _append(entry: PretrainedWeights, path: Path, file: IO[bytes], progress: ProgressCallback | None) -> None:
    """Ask once for what follows the end of a file, and append it."""
    done = file.tell()
    response = _open(entry, path, done)
    if response is None:
        return
    with response:
        if response.status == HTTPStatus.OK and done:
            # A server that does not know ranges sends everything.
            file.truncate(0)
            done = file.seek(0)
        length = int(response.headers.get("Content-Length") or 0)
        total = done + length if length else 0
        while block := _read(response, entry, path):
            file.write(block)
            done += len(block)
            if progress:
                progress(done, total)
    # A connection that breaks off looks like the end of the file.
    if done < total:
        raise _unreachable(entry, path, f"the connection broke off after {done} of {total} bytes")


class _Refused(Exception):
    """The server's answer is no: to ask again would not help."""

    def __init__(self, error: WeightsError) -> None:
        super().__init__(str(error))
        self.error = error


def _open(entry: PretrainedWeights, path: Path, start: int) -> HTTPResponse | None:
    """Ask for a file from its byte `start` on; None where it ends there.

    Raises:
        _Refused: the answer is no.
        WeightsError: there is none, or one that says to ask again.
    """
    request = urllib.request.Request(entry.url, headers={"Range": f"bytes={start}-"} if start else {})
    try:
        response: HTTPResponse = urllib.request.urlopen(request, timeout=_TIMEOUT)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and start:
            return None
        failure = _unreachable(entry, path, f"the server says {error.code} {error.reason}")
        if error.code in _TEMPORARY:
            raise failure from None
        raise _Refused(failure) from None
    except (OSError, HTTPException) as error:
        raise _unreachable(entry, path, str(getattr(error, "reason", error))) from None
    return response


def _read(response: HTTPResponse, entry: PretrainedWeights, path: Path) -> bytes:
    """Read a block of the download. A broken line is the network's fault, not the disk's."""
    try:
        return response.read(_BLOCK)
    except (OSError, HTTPException) as error:
        raise _unreachable(entry, path, str(error)) from None


def _unreachable(entry: PretrainedWeights, path: Path, reason: str) -> WeightsError:
    return WeightsError(
        f"cannot download {entry.name}: {reason}",
        "a connection to the internet",
        f"or fetch {entry.url} elsewhere and put it at {path}; "
        f"{option('weights', 'FILE')} takes another file, {option('weights', 'none')} starts afresh",
    )
