"""Files mapped into memory: as large as they are, and nothing is read before it is looked at."""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import IO

import torch
from torch import Tensor

from atonce.errors import WeightsError


def map_file(path: Path, expected: str) -> memoryview:
    """Map a file into memory, copied where it would be written to, so that tensors may be made of it.

    Args:
        expected: what it should be, for messages.

    Raises:
        WeightsError: it is missing, empty, or cannot be read.
    """
    try:
        with path.open("rb") as file:
            return map_open_file(file)
    except FileNotFoundError:
        raise WeightsError(f"{path} does not exist", expected) from None
    except ValueError:
        raise WeightsError(f"{path} is empty", expected, "fetch it again") from None
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror}", expected) from None


def map_open_file(file: IO[bytes]) -> memoryview:
    """Map an open file into memory; the map stays when the file is closed. Raises ValueError for an empty one."""
    return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY))


def tensor_of(values: memoryview, dtype: torch.dtype, shape: tuple[int, ...]) -> Tensor:
    """Make a tensor of a mapped file's bytes, which are as many as the shape asks for.

    They are copied only where they begin at an address at which no number of the dtype may begin.
    """
    if not len(values):
        return torch.zeros(0, dtype=dtype)
    tensor = torch.frombuffer(values, dtype=torch.uint8)
    aligned = tensor if tensor.data_ptr() % dtype.itemsize == 0 else tensor.clone()
    return aligned.view(dtype).reshape(shape)
