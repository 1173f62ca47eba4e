"""Sorted string tables, the format of LevelDB's files and of TensorFlow's checkpoints: keys in order, bytes for each.

A table is a row of blocks. Its last 48 bytes, the footer, say where the index block is, and that says where the blocks
of data are. In a block, each key is written as the number of bytes that it shares with the key before it and the rest.
Behind each block stand one byte, 0 where it is not compressed, and the masked CRC-32C of both.

Source: LevelDB, doc/table_format.md. What a forged table can ask for is bounded by its own size.
"""

from __future__ import annotations

from collections.abc import Iterator

from atonce.weights.crc32c import masked_crc32c
from atonce.weights.protobuf_wire import WireError, varint

MAGIC = bytes.fromhex("57fb808b247547db")
"""The last 8 bytes of a table: 0xdb4775248b80fb57, the least significant first."""

_FOOTER = 48
_TRAILER = 5
_LONGEST_KEY = 4096
_MOST_KEYS = 100_000


class TableError(ValueError):
    """Bytes that are no table, or a damaged one; the message says what is wrong in a few words."""


def read_table(data: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    """Yield the keys and values of a table, in their order; values are views of the data.

    Raises:
        TableError: no table, a damaged one, or one whose blocks are compressed.
    """
    if len(data) < _FOOTER or data[-8:] != MAGIC:
        raise TableError("it does not end as a table does")
    try:
        yield from _entries(data)
    except WireError as error:
        raise TableError(f"it holds {error}") from None


def _entries(data: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    # In the footer the handle of the meta index, which TensorFlow leaves empty, stands before that of the index.
    footer = data[-_FOOTER:-8]
    _, _, position = _handle(footer, 0)
    offset, size, _ = _handle(footer, position)
    index, _ = _block(data, offset, size)
    # Blocks that lie one over the other would let a small table ask for any amount of work.
    left, keys, last = len(data), 0, b""
    for _, handle in _pairs(index):
        offset, size, _ = _handle(handle, 0)
        block, size = _block(data, offset, size)
        left -= size
        if left < 0:
            raise TableError("its blocks overlap")
        for key, value in _pairs(block):
            keys += 1
            if keys > _MOST_KEYS:
                raise TableError(f"it holds more than {_MOST_KEYS} keys")
            if keys > 1 and key <= last:
                raise TableError("its keys are out of order")
            last = key
            yield key, value


def _handle(data: memoryview, position: int) -> tuple[int, int, int]:
    """Read the offset and the size of a block; returns them and the position behind them."""
    offset, position = varint(data, position)
    size, position = varint(data, position)
    return offset, size, position


def _block(data: memoryview, offset: int, size: int) -> tuple[memoryview, int]:
    """Find a block, after its checks; returns its content and the bytes that it takes."""
    end = offset + size
    if end + _TRAILER > len(data) - _FOOTER:
        raise TableError("a block lies beyond its end")
    if data[end] == 1:
        raise TableError("its blocks are compressed by Snappy")
    if data[end] != 0:
        raise TableError(f"its blocks are compressed by an unknown method ({data[end]})")
    if masked_crc32c(data[offset : end + 1]) != int.from_bytes(data[end + 1 : end + _TRAILER], "little"):
        raise TableError("the checksum of a block is wrong")
    return data[offset:end], size + _TRAILER


def _pairs(block: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    """Yield the keys and values of a block. Its last 4 bytes count the restarts, 4 bytes each, that stand before."""
    if len(block) < 4:
        raise TableError("a block is too short")
    end = len(block) - 4 - 4 * int.from_bytes(block[-4:], "little")
    if end < 0:
        raise TableError("a block is too short")
    key, position = b"", 0
    while position < end:
        shared, position = varint(block, position)
        rest, position = varint(block, position)
        size, position = varint(block, position)
        if shared > len(key) or shared + rest > _LONGEST_KEY or position + rest + size > end:
            raise TableError("an entry lies beyond its block")
        key = key[:shared] + bytes(block[position : position + rest])
        position += rest
        yield key, block[position : position + size]
        position += size
