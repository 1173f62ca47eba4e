"""The names of the files of a TensorFlow checkpoint: PREFIX.index, and PREFIX.data-00000-of-00001 and so on."""

from __future__ import annotations

import re
from pathlib import Path

_SUFFIX = re.compile(r"\.(?:index|data-\d{5}-of-\d{5})$")


def index_file(prefix: Path) -> Path:
    """The index of the checkpoint with a prefix."""
    return prefix.with_name(f"{prefix.name}.index")


def data_file(prefix: str, shard: int, shards: int) -> str:
    """The name of a data file, of the given number, without its folder."""
    return f"{prefix}.data-{shard:05}-of-{shards:05}"


def checkpoint_prefix(path: Path) -> Path | None:
    """The prefix of the checkpoint that a path stands for: the prefix itself, the index, or one of the data files.

    None where the path is none of them.
    """
    if _SUFFIX.search(path.name):
        return path.with_name(_SUFFIX.sub("", path.name))
    return path if path.name and index_file(path).is_file() else None


def files_of_checkpoint(prefix: Path) -> list[Path]:
    """The files of a checkpoint, the index first: it holds the checksums of the others."""
    same = (p for p in prefix.parent.iterdir() if _SUFFIX.search(p.name) and _SUFFIX.sub("", p.name) == prefix.name)
    return sorted(same, key=lambda p: (p != index_file(prefix), p.name))
