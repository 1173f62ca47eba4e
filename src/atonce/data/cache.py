"""Decoded training pictures, kept for the epochs to come: in memory, or in memory-mapped files.

In memory nothing is left behind and nothing can be stale, but every process holds what it has met. Files are shared by
the processes of a run and by the sessions of one that is resumed, and the system's page cache holds those that are
needed: that is for more pictures than memory holds. They lie in the run's own folder and are removed when it is done:
nothing grows in a home directory, and to decode every picture once in a run is little beside training on it.
"""

from __future__ import annotations

import hashlib
import pickle
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import PIL
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError

from atonce.data.dataset import Dataset, Item
from atonce.data.input_size import InputSize
from atonce.data.mask_sources import mask_parts
from atonce.errors import StorageError
from atonce.safetensors_writer import save_tensors
from atonce.storage import make_folder, open_tensors, remove_temporaries
from atonce.version import __version__

_RESERVE = 2 << 30
"""Bytes of the disk that files leave free: a run that could not save its state any more would be a bad bargain."""

_RECOUNT = 16
"""Writes after which what other processes have written is counted again."""


@dataclass(frozen=True)
class Decoded:
    """A decoded picture and mask, at the size at which batches hold them.

    Attributes:
        image: uint8 (H, W, 3) RGB.
        mask: uint8 (H, W) ids, 255 void.
        target: height and width at which the network is meant to see it, before augmentation.
    """

    image: NDArray[np.uint8]
    mask: NDArray[np.uint8]
    target: tuple[int, int]

    @property
    def nbytes(self) -> int:
        """The bytes of image and mask together."""
        return self.image.nbytes + self.mask.nbytes


class Cache(Protocol):
    """A store of decoded pictures. Its methods are called by several threads at once."""

    def get(self, item: Item) -> Decoded | None:
        """The decoded picture of an item as it is now; None if it is not kept."""

    def put(self, item: Item, decoded: Decoded) -> None:
        """Keep a picture, if the capacity allows; it is no error if it cannot be kept, see `failure`."""

    def failure(self) -> str | None:
        """The reason why nothing more is kept, in one line, for the first who asks; None while nothing failed."""


class MemoryCache:
    """A `Cache` in memory. It keeps what comes until its capacity is used up, and then what it has.

    Args:
        capacity: bytes.

    Attributes:
        free: bytes of the capacity that are left.
    """

    def __init__(self, capacity: int) -> None:
        self.free = capacity
        self.kept: dict[str, Decoded] = {}
        self._lock = threading.Lock()

    def get(self, item: Item) -> Decoded | None:
        """See `Cache.get`."""
        return self.kept.get(item.name)

    def put(self, item: Item, decoded: Decoded) -> None:
        """See `Cache.put`."""
        with self._lock:
            if item.name not in self.kept and self.free >= decoded.nbytes:
                self.free -= decoded.nbytes
                self.kept[item.name] = decoded

    def failure(self) -> None:
        """None: memory that is used up is no failure."""


class FileCache:
    """A `Cache` on disk: one memory-mapped safetensors file for each picture, until the capacity is used up.

    A file is there whole or not at all, whoever is killed and however many write. It counts as long as the bytes of the
    picture's and the mask's file, or of its annotation, are what they were (sha256, taken once per process) and so are
    `settings`.

    Args:
        folder: a folder for these files and no others.
        capacity: bytes that the files may take.
        settings: digest of what the decoded pictures depend on beside the files, see `settings_of`.
    """

    def __init__(self, folder: Path, capacity: int, settings: str) -> None:
        self.folder, self.capacity = folder / settings, capacity
        self._sources: dict[str, str] = {}
        self._lock = threading.Lock()
        self._writing: set[str] = set()
        self._writes = self._used = 0
        self._stopped = False
        self._failure: str | None = None

    def tidy(self) -> None:
        """Remove what other settings and writers that were killed have left; nobody may be writing there.

        Raises StorageError.
        """
        make_folder(self.folder)
        for path in self.folder.parent.iterdir():
            if path != self.folder:
                shutil.rmtree(path, ignore_errors=True)
        remove_temporaries(self.folder)

    def get(self, item: Item) -> Decoded | None:
        """See `Cache.get`; a file that is damaged or outdated is as good as none."""
        try:
            source = self._source(item)
            with open_tensors(self._path(item)) as file:
                about = file.metadata()
                if about["source"] != source:
                    return None
                # Copied here, in a thread that decodes: pages come from the disk when they are touched.
                image, mask = (file.get_tensor(key).numpy().copy() for key in ("image", "mask"))
            height, width = map(int, about["target"].split())
        except (OSError, SafetensorError, KeyError, TypeError, ValueError):
            return None
        return Decoded(image, mask, (height, width))

    def put(self, item: Item, decoded: Decoded) -> None:
        """See `Cache.put`; after a failure nothing more is written."""
        with self._claim(item) as claimed:
            if not claimed or self._stopped:
                return
            try:
                if self._reserve(item, decoded.nbytes):
                    self._write(item, decoded)
                else:
                    self._stopped = True
            except (StorageError, OSError) as error:
                self._stopped = True
                self._failure = (
                    f"decoded pictures are no longer kept in {self.folder.parent} ({error}); "
                    "those that are not there are decoded anew in every epoch"
                )

    def failure(self) -> str | None:
        """See `Cache.failure`."""
        reason, self._failure = self._failure, None
        return reason

    def _write(self, item: Item, decoded: Decoded) -> None:
        tensors = {
            "image": torch.from_numpy(np.array(decoded.image)),
            "mask": torch.from_numpy(np.array(decoded.mask)),
        }
        about = {"source": self._source(item), "target": "{} {}".format(*decoded.target)}
        save_tensors(self._path(item), tensors, about)

    def _reserve(self, item: Item, need: int) -> bool:
        """Count bytes as used; False if the capacity does not allow them.

        Raises:
            StorageError: the disk, not the cache, is about to be full.
        """
        with self._lock:
            if self._writes % _RECOUNT == 0:
                self._used = sum(map(_size, self.folder.iterdir()))
            self._writes += 1
            # An outdated file is replaced by its successor.
            more = need - _size(self._path(item))
            if self._used + more > self.capacity:
                return False
            self._used += more
        free = shutil.disk_usage(self.folder).free
        if free - need < _RESERVE:
            raise StorageError(f"the disk has {free >> 20} MiB left")
        return True

    @contextmanager
    def _claim(self, item: Item) -> Iterator[bool]:
        """Claim a picture for this thread; False if another one of this process is writing it, since a picture may
        come twice in a batch."""
        with self._lock:
            claimed = item.name not in self._writing
            self._writing.add(item.name)
        try:
            yield claimed
        finally:
            if claimed:
                self._writing.discard(item.name)

    def _path(self, item: Item) -> Path:
        # A name may be as long as file systems allow, and hold what they do not.
        return self.folder / f"{hashlib.sha256(item.name.encode()).hexdigest()[:32]}.safetensors"

    def _source(self, item: Item) -> str:
        """The sha256 of both files, or of the picture and its annotation. Raises OSError."""
        if item.name not in self._sources:
            digest = hashlib.sha256()
            for part in (item.image, *([*mask_parts(item.mask)] or [b""])):
                content = part if isinstance(part, bytes) else part.read_bytes()
                digest.update(len(content).to_bytes(8, "little") + content)
            self._sources[item.name] = digest.hexdigest()
        return self._sources[item.name]


def _size(path: Path) -> int:
    """Bytes of a file; 0 where there is none, or none any more."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def settings_of(dataset: Dataset, input_size: InputSize, max_zoom: float) -> str:
    """Compute a hexadecimal digest of all that decoded pictures depend on beside their files: the size they are wanted
    at, the ids that masks are translated to, and the versions of what decodes them."""
    about = repr((__version__, PIL.__version__, input_size, max_zoom, *(dataset.bands or ()))).encode()
    # The pickle is hashed and never read back.
    return hashlib.sha256(about + pickle.dumps(dataset.read_mask)).hexdigest()[:16]
