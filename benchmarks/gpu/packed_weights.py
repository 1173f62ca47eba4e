"""The convolutions of VGG-16 in as few bytes as float16 can be had in; needs NumPy and nothing else."""

from __future__ import annotations

import json
import lzma
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_SHAPES, _HIGH, _LOW = "shapes.json", "high.xz", "low.bin"


def write(path: Path, tensors: Mapping[str, NDArray[Any]]) -> None:
    """Write tensors rounded to float16. The bytes of sign and exponent, which repeat themselves, are compressed apart
    from those of the mantissa, which do not."""
    flat = np.concatenate([np.asarray(tensor, np.float16).ravel() for tensor in tensors.values()])
    pairs = flat.astype("<f2").view(np.uint8).reshape(-1, 2)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(_SHAPES, json.dumps({name: list(np.shape(tensor)) for name, tensor in tensors.items()}))
        archive.writestr(_LOW, pairs[:, 0].tobytes())
        archive.writestr(_HIGH, lzma.compress(pairs[:, 1].tobytes(), preset=6))


def read(path: Path) -> dict[str, NDArray[np.float32]]:
    """Read what `write` wrote, as float32."""
    with zipfile.ZipFile(path) as archive:
        shapes = json.loads(archive.read(_SHAPES))
        low = np.frombuffer(archive.read(_LOW), np.uint8)
        high = np.frombuffer(lzma.decompress(archive.read(_HIGH)), np.uint8)
    flat = np.ascontiguousarray(np.stack([low, high], axis=1)).view("<f2").ravel().astype(np.float32)
    tensors, begin = {}, 0
    for name, shape in shapes.items():
        size = int(np.prod(shape))
        tensors[name] = flat[begin : begin + size].reshape(shape)
        begin += size
    return tensors
