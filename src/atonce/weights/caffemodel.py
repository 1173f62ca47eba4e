"""Caffe's .caffemodel files, read without Caffe: the blobs of each layer by its name.

Such a file is a NetParameter message without a header. Two dialects: {layer = 100 {name = 1, type = 2, blobs = 7}}
since 2014, and {layers = 2 {name = 4, type = 5, blobs = 6}} before, whose types are numbers. A BlobProto has
{num = 1, channels = 2, height = 3, width = 4} or {shape = 7 {dim = 1}}, and {data = 5} or {double_data = 8}, packed.
Source: caffe.proto.
"""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor

from atonce.errors import WeightsError
from atonce.weights.mapped_file import map_file, tensor_of
from atonce.weights.protobuf_wire import Value, WireError, as_bytes, as_integer, as_text, fields, integers

_EXPECTED = "a .caffemodel"
_LAYER, _V1_LAYER = 100, 2
_V1_TYPES = {4: "Convolution", 14: "InnerProduct", 39: "Deconvolution"}
_MOST_DIMENSIONS = 32
_PARTS = ("weight", "bias")


def is_caffemodel(path: Path) -> bool:
    """Tell whether a file is a message with a layer of Caffe in it; the bytes of its blobs are not looked at."""
    try:
        return any(_name_and_type(*layer)[0] for layer in _layers(map_file(path, _EXPECTED)))
    except WireError:
        return False


def read_caffemodel(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read the blobs of a .caffemodel.

    Returns:
        The first blob of each layer as LAYER.weight, the second as LAYER.bias, further ones as LAYER.2 and so on; and
        the type of each layer ("Convolution", "Scale", ...), by its name.

    Raises:
        WeightsError: damaged, of Caffe's format before 2013, or two layers with blobs under one name.
    """
    data = map_file(path, _EXPECTED)
    tensors: dict[str, Tensor] = {}
    types: dict[str, str] = {}
    try:
        for number, layer in _layers(data):
            name, kind = _name_and_type(number, layer)
            blobs = [as_bytes(v) for n, v in fields(layer) if n == (7 if number == _LAYER else 6)]
            if blobs and f"{name}.weight" in tensors:
                raise WireError(f"two layers called {name}")
            types.setdefault(name, kind)
            for place, blob in enumerate(blobs):
                part = _PARTS[place] if place < len(_PARTS) else str(place)
                tensors[f"{name}.{part}"] = _blob(blob, flat=place > 0, matrix=kind == "InnerProduct")
    except WireError as error:
        raise WeightsError(f"{path} cannot be read: {error}", _EXPECTED, "fetch it again") from None
    return tensors, types


def _layers(data: memoryview) -> list[tuple[int, memoryview]]:
    """The layers of a NetParameter, each with the field that it stands in."""
    return [(number, as_bytes(value)) for number, value in fields(data) if number in (_LAYER, _V1_LAYER)]


def _name_and_type(number: int, layer: memoryview) -> tuple[str, str]:
    name, kind = "", ""
    for field, value in fields(layer):
        if field == (1 if number == _LAYER else 4):
            if number == _V1_LAYER or isinstance(value, memoryview):
                name = as_text(value)
        elif field == 2 and number == _LAYER:
            kind = as_text(value)
        elif field == 5 and number == _V1_LAYER:
            kind = _V1_TYPES.get(as_integer(value), str(value))
        elif field == 1 and number == _V1_LAYER:
            raise WireError("it is in Caffe's format of 2013 (V0); upgrade_net_proto_binary of Caffe renews it")
    return name, kind


def _blob(message: memoryview, *, flat: bool, matrix: bool) -> Tensor:
    """Read a BlobProto as float32.

    Args:
        flat: it is a bias, which older files give the shape (1, 1, 1, n).
        matrix: it is a dense layer's, which older files give the shape (1, 1, out, in).
    """
    found: dict[int, Value] = dict(fields(message))
    values, dtype = as_bytes(found.get(5, memoryview(b""))), torch.float32
    if 5 not in found and 8 in found:
        values, dtype = as_bytes(found[8]), torch.float64
    if 7 in found:
        shape = [
            n for field, value in fields(as_bytes(found[7])) if field == 1 for n in integers(value, _MOST_DIMENSIONS)
        ]
    else:
        shape = [as_integer(found.get(field, 1)) for field in (1, 2, 3, 4)]
        if shape[0] == shape[1] == 1:
            shape = shape[3:] if flat and shape[2] == 1 else shape[2:] if matrix else shape
    if not 0 < len(shape) <= _MOST_DIMENSIONS or math.prod(shape) * dtype.itemsize != len(values) or not len(values):
        raise WireError(f"a blob of shape {tuple(shape)} in {len(values)} bytes")
    return tensor_of(values, dtype, tuple(shape)).float()
