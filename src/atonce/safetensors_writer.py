"""Writing safetensors files: atomically, and the same content as the same bytes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor

from atonce.storage import temporary_folder, write_atomically


def save_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write a safetensors file atomically; the same tensors and texts give the same bytes. Raises StorageError."""

    def write(temporary: Path) -> None:
        # The library writes under a name of its own beside the one that it is given. In a folder of ours, that is
        # found again when it is left behind by a kill.
        with temporary_folder(path) as folder:
            save_file(dict(tensors), folder / path.name, dict(metadata))
            _sort_metadata(folder / path.name)
            (folder / path.name).replace(temporary)

    write_atomically(path, write)


def _sort_metadata(path: Path) -> None:
    """Sort the texts in a safetensors header, which the library writes in an order that changes from call to call.

    The header is 8 bytes of length, little endian, and that much JSON, which may end in spaces.
    """
    with path.open("r+b") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
        text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
        # JSON has more than one way to write a text: a longer one would not fit, and the order is no harm.
        if len(text) <= length:
            file.seek(8)
            file.write(text.ljust(length))
