"""NumPy's files, read without running what is in them: .npz archives of arrays, and a .npy with a pickled dict."""

from __future__ import annotations

import math
import re
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO

import torch
from torch import Tensor

from atonce.errors import WeightsError
from atonce.weights.archives import open_member
from atonce.weights.mapped_file import map_file, tensor_of
from atonce.weights.pickled_arrays import PickledArray, PickleError, read_pickled

NPY_MAGIC = b"\x93NUMPY"

_EXPECTED = "a VGG-16 in a file of NumPy"
_LARGEST = 1 << 30
"""The largest size of all arrays together, in bytes; a VGG-16 with its three dense layers has 553 million."""
_LONGEST_HEADER = 10_000
_MOST_DIMENSIONS = 32
_DTYPES = {"f2": torch.float16, "f4": torch.float32, "f8": torch.float64}


def read_npz(path: Path, archive: zipfile.ZipFile) -> dict[str, Tensor]:
    """Read the arrays of floating point numbers of a .npz archive, under their names.

    Raises:
        WeightsError: damaged, pickled arrays in it, or more than a gibibyte of arrays.
    """
    found: dict[str, Tensor] = {}
    left = _LARGEST
    for info in archive.infolist():
        with open_member(path, archive, info) as file:
            where = f"{path}: {info.filename}"
            dtype, shape, fortran = _header(where, file)
            size = _size(shape, dtype)
            if dtype[1:] not in _DTYPES:
                if dtype == "|O":
                    raise WeightsError(f"{where} is a pickled object", "arrays of numbers")
                continue
            left -= size
            if left < 0:
                raise WeightsError(f"{path} holds more than {_LARGEST >> 20} MiB of arrays", _EXPECTED)
            # What is there, however much was announced.
            values = bytearray(file.read(size))
        if len(values) != size:
            raise WeightsError(f"{where} ends after {len(values)} of {size} bytes", _EXPECTED, "fetch it again")
        found[info.filename.removesuffix(".npy")] = _array(memoryview(values), dtype, shape, fortran=fortran)
    return found


def read_npy_dict(path: Path) -> dict[str, Tensor]:
    """Read a .npy that holds a pickled dict of layers, name -> [weights, bias], as NAME.weight and NAME.bias.

    Nothing that is pickled is run: `pickled_arrays` knows arrays, and refuses everything else.

    Raises:
        WeightsError: damaged, another content, or a pickle with anything but arrays in it.
    """
    data = map_file(path, _EXPECTED)
    with path.open("rb") as file:
        dtype, shape, _ = _header(str(path), file)
        start = file.tell()
    if dtype != "|O":
        raise WeightsError(f"{path} holds one array of shape {shape}", "a dict of layers, or a .npz archive")
    try:
        content = read_pickled(data[start:])
    except PickleError as error:
        reason = (
            f"holds more than arrays, so loading it could run code ({error})"
            if error.unsafe
            else f"is damaged: {error}"
        )
        raise WeightsError(f"{path} {reason}", "a dict of layers and their arrays") from None
    layers = _the_dict(path, content)
    found: dict[str, Tensor] = {}
    left = _LARGEST
    for name, parts in layers.items():
        if isinstance(parts, Mapping):  # {"weights": W, "biases": b}, as some save it
            parts = [parts.get("weights"), parts.get("biases")]
        if not isinstance(name, str) or not isinstance(parts, (list, tuple)) or len(parts) != 2:
            raise WeightsError(f"{path}: {str(name)[:40]!r} is no layer", "name -> [weights, bias]")
        for part, array in zip(("weight", "bias"), parts, strict=True):
            if not isinstance(array, PickledArray) or array.dtype[1:] not in _DTYPES or array.dtype[0] == ">":
                raise WeightsError(f"{path}: {name[:40]} holds no arrays of numbers", "name -> [weights, bias]")
            size = len(array.data)
            if size != _size(array.shape, array.dtype):
                raise WeightsError(f"{path}: {name[:40]} has the shape {array.shape} in {size} bytes", _EXPECTED)
            left -= size
            if left < 0:
                raise WeightsError(f"{path} holds more than {_LARGEST >> 20} MiB of arrays", _EXPECTED)
            values = memoryview(bytearray(array.data))
            found[f"{name}.{part}"] = _array(values, array.dtype, array.shape, fortran=array.fortran_order)
    return found


def _the_dict(path: Path, content: object) -> Mapping[object, object]:
    """The dict in an array of one object."""
    if isinstance(content, PickledArray) and content.shape == () and isinstance(content.data, list):
        held = content.data[0] if len(content.data) == 1 else None
        if isinstance(held, Mapping):
            return held
    raise WeightsError(f"{path} holds no dict", "a dict of layers and their arrays")


def _header(where: str, file: IO[bytes]) -> tuple[str, tuple[int, ...], bool]:
    """Read the header of an array: its dtype ("<f4"), its shape, and whether it is in Fortran's order."""
    start = file.read(8)
    length = {1: "<H", 2: "<I", 3: "<I"}.get(start[6] if len(start) == 8 and start.startswith(NPY_MAGIC) else 0)
    if length is None:
        raise WeightsError(f"{where} is not an array of NumPy", _EXPECTED)
    size = file.read(struct.calcsize(length))
    text = b""
    if len(size) == struct.calcsize(length) and (count := struct.unpack(length, size)[0]) <= _LONGEST_HEADER:
        text = file.read(count)
    match = re.fullmatch(
        rb"\{\s*'descr':\s*'(?P<dtype>[<>|=]\w+)',\s*'fortran_order':\s*(?P<fortran>True|False),"
        rb"\s*'shape':\s*\((?P<shape>[\dL ,]{0,400})\),?\s*\}\s*",
        text,
    )
    if not match:
        raise WeightsError(f"{where} has a header that cannot be read", "an array of numbers")
    shape = tuple(int(n) for n in re.findall(rb"\d+", match["shape"]))
    if len(shape) > _MOST_DIMENSIONS:
        raise WeightsError(f"{where} has {len(shape)} dimensions", "an array of numbers")
    return match["dtype"].decode(), shape, match["fortran"] == b"True"


def _size(shape: tuple[int, ...], dtype: str) -> int:
    """The bytes that an array takes; 0 for a dtype that is no number's."""
    kind = _DTYPES.get(dtype[1:])
    return 0 if kind is None else math.prod(shape) * kind.itemsize


def _array(values: memoryview, dtype: str, shape: tuple[int, ...], *, fortran: bool) -> Tensor:
    if dtype[0] == ">":
        raise WeightsError(f"an array of {dtype}, the numbers of a big-endian machine", _EXPECTED)
    tensor = tensor_of(values, _DTYPES[dtype[1:]], shape[::-1] if fortran else shape)
    return tensor.permute(*range(tensor.ndim)[::-1]) if fortran else tensor
