"""Tables: TensorFlow's own are read, forged ones are refused, and the tests' writer writes what TensorFlow writes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atonce.weights.sstable import TableError, read_table
from tests.weights.conftest import ToolFile
from tests.weights.tables import block, table, trailed, varint


def entries(data: bytes) -> dict[bytes, bytes]:
    return {key: bytes(value) for key, value in read_table(memoryview(data))}


def test_tensorflows_own_table_is_written_byte_for_byte(tool_file: ToolFile) -> None:
    """So what the tests forge differs from TensorFlow's in what they change, and in nothing else.

    TensorFlow restarts after every 16 keys, and this index has 31: its first block is compared up to there.
    """
    theirs = tool_file("slim-v2.ckpt.index").read_bytes()
    found = entries(theirs)
    assert len(found) == 33 and b"vgg_16/conv1/conv1_1/weights" in found
    first = dict(list(found.items())[:16])
    ours = block(first)[:-8]
    assert theirs.startswith(ours)
    assert entries(table(found)) == found


@settings(max_examples=30, deadline=None)
@given(st.dictionaries(st.binary(max_size=20), st.binary(max_size=40), max_size=20))
def test_what_is_written_is_read(pairs: dict[bytes, bytes]) -> None:
    ordered = dict(sorted(pairs.items()))
    assert entries(table(ordered)) == ordered


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_a_changed_byte_is_an_error_or_changes_nothing_silently(data: st.DataObject) -> None:
    """Checksums see every change of a block; nothing else than a TableError leaves the reader."""
    good = {b"": b"head", b"conv1_1/biases": b"x" * 30, b"conv1_1/filter": b"y" * 30}
    content = bytearray(table(good))
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] ^= data.draw(st.integers(1, 255))
    try:
        found = entries(bytes(content))
    except TableError:
        return
    assert found == good, "only the padding of the footer and the unused meta index may change"


def forged(change: Callable[[bytearray], None]) -> bytes:
    content = bytearray(table({b"a": b"1"}))
    change(content)
    return bytes(content)


HUGE = varint((1 << 63) - 1)

FORGERIES = {
    "does not end as a table": table({b"a": b"1"})[:-1],
    "a block lies beyond its end": table({b"a": b"1"})[:-48]
    + (varint(0) * 2 + HUGE + HUGE).ljust(40, b"\0")
    + table({})[-8:],
    "compressed by Snappy": table({b"a": b"1"}, compression=1),
    "compressed by an unknown method": table({b"a": b"1"}, compression=9),
    "checksum of a block is wrong": forged(lambda content: content.__setitem__(3, content[3] ^ 1)),
    "its keys are out of order": table({}, blocks=[block({b"b": b""}), block({b"a": b""})]),
    "an entry lies beyond its block": table({}, blocks=[varint(5) + varint(1) + varint(0) + b"a" + block({})]),
    "a block is too short": table({}, blocks=[b"\0\0\0\0\xff\xff\xff\xff"]),
    "more than 64 bits": table({}, blocks=[b"\xff" * 11 + block({})]),
}


@pytest.mark.parametrize("said", FORGERIES)
def test_forgeries(said: str) -> None:
    with pytest.raises(TableError, match=said):
        entries(FORGERIES[said])


def test_blocks_that_lie_over_each_other_are_refused() -> None:
    """A hundred thousand handles of one large block would be a hundred thousand times its work."""
    content = block({b"k": bytes(10_000)})
    data = trailed(content)
    handle = varint(0) + varint(len(content))
    index = block({i.to_bytes(4, "big"): handle for i in range(1000)})
    meta = len(data)
    out = data + trailed(block({})) + trailed(index)
    at = meta + len(trailed(block({})))
    handles = varint(meta) + varint(len(block({}))) + varint(at) + varint(len(index))
    with pytest.raises(TableError, match=r"overlap"):
        entries(out + handles.ljust(40, b"\0") + table({})[-8:])


def test_keys_are_no_longer_than_names_are() -> None:
    """Shared prefixes would let keys grow by a byte an entry: a megabyte of entries, a terabyte of keys."""
    growing = (
        b"".join(varint(i) + varint(1) + varint(0) + b"a" for i in range(10_000)) + bytes(4) + (1).to_bytes(4, "little")
    )
    with pytest.raises(TableError, match="an entry lies beyond its block"):
        entries(table({}, blocks=[growing]))
