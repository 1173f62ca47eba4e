"""TensorFlow's checkpoints, read without TensorFlow: variables by name, whatever graph they belong to.

Two formats. V2, a bundle: `PREFIX.index` is a table (`sstable.py`) of BundleEntryProto messages that say where in
`PREFIX.data-00000-of-00001` the raw bytes of each variable are; a SavedModel keeps one at `variables/variables`. V1, of
2016 and before: one file, a table with a SavedTensorSlices message for each variable. Sources: TensorFlow's
tensor_bundle.proto, saved_tensor_slice.proto, tensor.proto, tensor_shape.proto, tensor_slice.proto and types.proto.

Nothing is allocated that a file only claims: sizes are compared with the bytes that are there, and with the shapes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from atonce.errors import WeightsError
from atonce.weights.checkpoint_files import data_file, index_file
from atonce.weights.crc32c import masked_crc32c
from atonce.weights.mapped_file import map_file, tensor_of
from atonce.weights.protobuf_wire import Value, WireError, as_bytes, as_integer, as_text, fields
from atonce.weights.sstable import MAGIC, TableError, read_table

_EXPECTED = "a TensorFlow checkpoint"
_AGAIN = "fetch it again"
# types.proto: DT_FLOAT, DT_DOUBLE, DT_BFLOAT16, DT_HALF. Everything else is no weight: steps, texts, object graphs.
_DTYPES = {1: torch.float32, 2: torch.float64, 14: torch.bfloat16, 19: torch.float16}
_LARGEST_INDEX = 64 << 20
_LARGEST = 1 << 30
"""The largest variable that is read, in bytes; fc6, the largest of VGG-16, has 411 million."""
_MOST_SHARDS = 1000
_MOST_DIMENSIONS = 16
_NOTHING = memoryview(b"")

OpenShard = Callable[[str, int], memoryview]
"""Opens a shard by its file's name; the number says how many of its bytes will be needed."""


@dataclass(frozen=True)
class _BundleEntry:
    """The place of a variable in a bundle, and the masked CRC-32C of its bytes."""

    dtype: torch.dtype
    shape: tuple[int, ...]
    shard: int
    offset: int
    size: int
    crc: int


def read_bundle(prefix: Path) -> dict[str, Tensor]:
    """Read the variables of a V2 checkpoint in a folder.

    Args:
        prefix: the common part of its files' names: `.../variables` where there is a `.../variables.index`.

    Raises:
        WeightsError: files missing, damaged, or compressed; partitioned variables.
    """
    index = index_file(prefix)

    def open_shard(name: str, needed: int) -> memoryview:
        return map_file(prefix.parent / name, _EXPECTED)

    return read_bundle_from(map_file(index, _EXPECTED), open_shard, prefix=prefix.name, path=str(index))


def read_bundle_from(index: memoryview, open_shard: OpenShard, *, prefix: str, path: str) -> dict[str, Tensor]:
    """Read the variables of a V2 checkpoint, wherever its files are.

    Args:
        index: the content of the index.
        prefix: the common part of its files' names, without the folder.
        path: the index, for messages.

    Raises:
        WeightsError: as `read_bundle`.
    """
    if len(index) > _LARGEST_INDEX:
        raise WeightsError(f"{path} takes {len(index) >> 20} MiB", f"the index of {_EXPECTED}")
    with _as_weights_errors(path):
        shards, entries = _bundle_entries(index)
    found: dict[str, Tensor] = {}
    for shard in sorted({entry.shard for entry in entries.values()}):
        mine = {name: entry for name, entry in entries.items() if entry.shard == shard}
        file = data_file(prefix, shard, shards)
        data = open_shard(file, max(entry.offset + entry.size for entry in mine.values()))
        for name, entry in mine.items():
            values = data[entry.offset : entry.offset + entry.size]
            if len(values) < entry.size:
                end = entry.offset + entry.size
                raise WeightsError(f"{file} ends at {len(data)}", f"{end} bytes or more, for {name} of {path}", _AGAIN)
            if masked_crc32c(values) != entry.crc:
                raise WeightsError(f"{file}: the checksum of {name} is wrong", f"the data of {path}", _AGAIN)
            found[name] = tensor_of(values, entry.dtype, entry.shape)
    return found


def read_v1(path: Path) -> dict[str, Tensor]:
    """Read the float32 variables of a V1 checkpoint, a single file.

    Raises:
        WeightsError: the file is missing, damaged or compressed; partitioned variables.
    """
    data = map_file(path, _EXPECTED)
    shapes: dict[str, tuple[int, ...]] = {}
    found: dict[str, Tensor] = {}
    with _as_weights_errors(str(path)):
        for key, message in read_table(data):
            for number, value in fields(message):
                if key == b"" and number == 1:
                    shapes = dict(_v1_shapes(as_bytes(value)))
                elif number == 2:
                    found.update(_v1_slice(as_bytes(value), shapes))
    return found


def is_table(path: Path) -> bool:
    """Tell whether a file ends as a table does: a V1 checkpoint, or the index of a V2 one."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - len(MAGIC)))
        return file.read() == MAGIC


@contextmanager
def _as_weights_errors(path: str) -> Iterator[None]:
    """Say of which file it was that a table or a message was wrong."""
    try:
        yield
    except (TableError, WireError) as error:
        raise WeightsError(f"{path} cannot be read: {error}", _EXPECTED, _AGAIN) from None


# --- V2 ---------------------------------------------------------------------------------------------------------------


def _bundle_entries(index: memoryview) -> tuple[int, dict[str, _BundleEntry]]:
    """Read the number of shards, and the variables of floating point numbers."""
    shards, entries = 0, {}
    for key, message in read_table(index):
        if key == b"":
            shards = _number_of_shards(message)
        elif entry := _bundle_entry(message):
            if entry.shard >= shards:
                raise WireError(f"a variable in shard {entry.shard} of {shards}")
            entries[as_text(memoryview(key))] = entry
    return shards, entries


def _number_of_shards(header: memoryview) -> int:
    """Read a BundleHeaderProto: {num_shards = 1, endianness = 2}."""
    shards = 0
    for number, value in fields(header):
        if number == 1:
            shards = as_integer(value)
        elif number == 2 and value != 0:
            raise WireError("numbers of a big-endian machine")
    if not 0 < shards <= _MOST_SHARDS:
        raise WireError(f"{shards} data files")
    return shards


def _bundle_entry(message: memoryview) -> _BundleEntry | None:
    """Read a BundleEntryProto: {dtype = 1, shape = 2, shard_id = 3, offset = 4, size = 5, crc32c = 6, slices = 7}.

    None for values that are no floating point numbers.
    """
    found: dict[int, Value] = {1: 0, 2: _NOTHING, 3: 0, 4: 0, 5: 0, 6: memoryview(bytes(4))}
    for number, value in fields(message):
        found[number] = value
    dtype = _DTYPES.get(as_integer(found[1]))
    if dtype is None:
        return None
    if 7 in found:
        raise WireError("a variable in several parts (partitioned)")
    shape, size = _shape(as_bytes(found[2])), as_integer(found[5])
    _require_size(shape, dtype, size)
    shard, offset = as_integer(found[3]), as_integer(found[4])
    return _BundleEntry(dtype, shape, shard, offset, size, int.from_bytes(as_bytes(found[6]), "little"))


# --- V1 ---------------------------------------------------------------------------------------------------------------


def _v1_shapes(meta: memoryview) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield names and shapes of the float32 variables in a SavedTensorSliceMeta.

    It is {tensor = 1}, each a SavedSliceMeta {name = 1, shape = 2, type = 3}.
    """
    for number, value in fields(meta):
        if number == 1:
            parts = _fields_of(value)
            if parts.get(3) == 1:  # DT_FLOAT
                yield as_text(parts.get(1, _NOTHING)), _shape(as_bytes(parts.get(2, _NOTHING)))


def _v1_slice(message: memoryview, shapes: dict[str, tuple[int, ...]]) -> Iterator[tuple[str, Tensor]]:
    """Yield the name and the values in a SavedSlice, unless it is of a variable that has no shape here.

    It is {name = 1, slice = 2, data = 3}, the slice a TensorSliceProto {extent = 1 {start = 1, length = 2}}, in which
    no length stands for the whole, and the data a TensorProto {tensor_content = 4, float_val = 5}.
    """
    parts = dict(fields(message))
    name = as_text(parts.get(1, _NOTHING))
    if name not in shapes:
        return
    for number, extent in fields(as_bytes(parts.get(2, _NOTHING))):
        if number == 1 and 2 in _fields_of(extent):
            raise WireError(f"{name} in several parts (partitioned)")
    tensor = _fields_of(parts.get(3, _NOTHING))
    values = as_bytes(tensor.get(5, tensor.get(4, _NOTHING)))
    _require_size(shapes[name], torch.float32, len(values))
    yield name, tensor_of(values, torch.float32, shapes[name])


# --- both -------------------------------------------------------------------------------------------------------------


def _fields_of(message: Value) -> dict[int, Value]:
    """The last value of each field of a message inside another."""
    return dict(fields(as_bytes(message)))


def _shape(message: memoryview) -> tuple[int, ...]:
    """Read a TensorShapeProto {dim = 2 {size = 1}}."""
    sizes = []
    for number, value in fields(message):
        if number == 2:
            sizes.append(as_integer(_fields_of(value).get(1, 0)))
    if len(sizes) > _MOST_DIMENSIONS:
        raise WireError(f"a variable of {len(sizes)} dimensions")
    return tuple(sizes)


def _require_size(shape: tuple[int, ...], dtype: torch.dtype, size: int) -> None:
    if size > _LARGEST or size != math.prod(shape) * dtype.itemsize:
        raise WireError(f"a variable of shape {shape} in {size} bytes")
