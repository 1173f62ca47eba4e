"""A writer of TensorFlow's checkpoints for tests, in every detail that a forger may want to change.

Its tables are held against TensorFlow's own (test_sstable.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from atonce.weights.crc32c import masked_crc32c

MAGIC = bytes.fromhex("57fb808b247547db")


def varint(number: int) -> bytes:
    out = b""
    while number >= 0x80:
        out, number = out + bytes([number & 0x7F | 0x80]), number >> 7
    return out + bytes([number])


def field(number: int, value: int | bytes, wire: int | None = None) -> bytes:
    """A field of a message: an integer, or bytes with their length."""
    if isinstance(value, int):
        return varint(number << 3 | 0) + varint(value)
    if wire == 5:
        return varint(number << 3 | 5) + value
    return varint(number << 3 | 2) + varint(len(value)) + value


def block(pairs: Mapping[bytes, bytes]) -> bytes:
    """A block whose keys share their beginnings with those before them, with one restart."""
    out, last = b"", b""
    for key, value in pairs.items():
        shared = 0
        while shared < min(len(key), len(last)) and key[shared] == last[shared]:
            shared += 1
        out += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        last = key
    return out + bytes(4) + (1).to_bytes(4, "little")


def table(pairs: Mapping[bytes, bytes], *, compression: int = 0, blocks: list[bytes] | None = None) -> bytes:
    """A table of one block, or of the given ones."""
    out, index = b"", {}
    for number, content in enumerate([block(pairs)] if blocks is None else blocks):
        index[b"\xff" + bytes([number])] = varint(len(out)) + varint(len(content))
        out += trailed(content, compression)
    meta, meta_at = block({}), len(out)
    out += trailed(meta)
    content, at = block(index), len(out)
    out += trailed(content)
    handles = varint(meta_at) + varint(len(meta)) + varint(at) + varint(len(content))
    return out + handles.ljust(40, b"\0") + MAGIC


def trailed(content: bytes, compression: int = 0) -> bytes:
    content += bytes([compression])
    return content + masked_crc32c(content).to_bytes(4, "little")


def shape(sizes: tuple[int, ...]) -> bytes:
    return b"".join(field(2, field(1, size)) for size in sizes)


def header(shards: int = 1) -> bytes:
    return field(1, shards) + field(3, field(1, 1))


def entry(sizes: tuple[int, ...], offset: int, size: int, crc: int, *, dtype: int = 1, shard: int = 0) -> bytes:
    shard_field = field(3, shard) if shard else b""
    return (
        field(1, dtype)
        + field(2, shape(sizes))
        + shard_field
        + field(4, offset)
        + field(5, size)
        + field(6, crc.to_bytes(4, "little"), wire=5)
    )


def bundle(prefix: Path, tensors: Mapping[str, Tensor], extra: Mapping[str, bytes] | None = None) -> Path:
    """Write a V2 checkpoint; returns its prefix.

    Args:
        extra: further entries of the index.
    """
    data, entries = b"", {}
    for name, tensor in tensors.items():
        values = tensor.contiguous().numpy().tobytes()
        entries[name.encode()] = entry(tuple(tensor.shape), len(data), len(values), masked_crc32c(values))
        data += values
    entries |= {name.encode(): message for name, message in (extra or {}).items()}
    prefix.with_name(f"{prefix.name}.data-00000-of-00001").write_bytes(data)
    index = table({b"": header()} | dict(sorted(entries.items())))
    prefix.with_name(f"{prefix.name}.index").write_bytes(index)
    return prefix


def v1_checkpoint(variables: Mapping[str, tuple[tuple[int, ...], bytes]], extents: bytes = b"") -> bytes:
    """A V1 checkpoint: name -> (shape, values)."""
    meta = b"".join(
        field(1, field(1, name.encode()) + field(2, shape(sizes)) + field(3, 1))
        for name, (sizes, _) in variables.items()
    )
    pairs = {b"": field(1, meta)}
    for number, (name, (_, values)) in enumerate(variables.items()):
        saved = field(1, name.encode()) + field(2, extents) + field(3, field(5, values))
        pairs[bytes([0, number + 1])] = field(2, saved)
    return table(pairs)
