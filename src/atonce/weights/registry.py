"""Pretrained weights by name: where they are, what their bytes hash to, where they are kept."""

from __future__ import annotations

import hashlib
import os
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from atonce.errors import WeightsError
from atonce.storage import make_folder, storage_errors

Progress = Callable[[int, int], None]
"""Called with bytes done and bytes in all (0 where the server does not say)."""


@dataclass(frozen=True)
class PretrainedWeights:
    """A published file.

    Attributes:
        sha256: of the file; or, where its publisher states only that much, the first 8 digits.
        layout: which importer reads it, see weights/importers.py.
    """

    name: str
    url: str
    sha256: str
    layout: str
    about: str

    @property
    def file_name(self) -> str:
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
            about="the original convolutions that the FCN authors started from, without fc6 and fc7; 528 MB; CC BY 4.0",
        ),
    )
}


def cache_folder() -> Path:
    """torch's own: $TORCH_HOME/hub/checkpoints, by default ~/.cache/torch/hub/checkpoints."""
    return Path(torch.hub.get_dir()) / "checkpoints"


def fetch(entry: PretrainedWeights, progress: Progress | None = None) -> Path:
    """The file of a registry entry, downloaded once. Raises WeightsError: offline, or other bytes than expected."""
    path = cache_folder() / entry.file_name
    if not path.is_file():
        make_folder(path.parent)
        _download(entry, path, progress)
    verify(path, entry)
    return path


def verify(path: Path, entry: PretrainedWeights) -> None:
    """Raises WeightsError when the file's sha256 is not the published one."""
    with path.open("rb") as file:
        found = hashlib.sha256()
        while block := file.read(1 << 20):
            found.update(block)
    if not found.hexdigest().startswith(entry.sha256):
        raise WeightsError(
            f"{path} has sha256 {found.hexdigest()[:16]}...", f"{entry.sha256[:16]}...", "delete it and try again"
        )


def _download(entry: PretrainedWeights, path: Path, progress: Progress | None) -> None:
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        try:
            response = urllib.request.urlopen(entry.url, timeout=30)
        except OSError as error:
            raise _unreachable(entry, path, error) from None
        with response, storage_errors(path), part.open("wb") as file:
            total = int(response.headers.get("Content-Length") or 0)
            while block := _read(response, entry, path):
                file.write(block)
                if progress:
                    progress(file.tell(), total)
        verify(part, entry)
        with storage_errors(path):
            part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _read(response: object, entry: PretrainedWeights, path: Path) -> bytes:
    """A block of the download. A broken line is the network's fault, not the disk's."""
    try:
        return response.read(1 << 20)  # type: ignore[attr-defined, no-any-return]
    except OSError as error:
        raise _unreachable(entry, path, error) from None


def _unreachable(entry: PretrainedWeights, path: Path, error: OSError) -> WeightsError:
    reason = getattr(error, "reason", error)
    return WeightsError(
        f"cannot download {entry.name}: {reason}",
        "a connection to the internet",
        f"or fetch {entry.url} elsewhere and put it at {path}",
    )
