"""The files of the real tools, unpacked once, and what the tools computed with them."""

from __future__ import annotations

import lzma
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

FIXTURES = Path(__file__).parent / "fixtures"

ToolFile = Callable[[str], Path]


@pytest.fixture(scope="session")
def tool_file(tmp_path_factory: pytest.TempPathFactory) -> ToolFile:
    """A file that a real tool wrote (fixtures/make_fixtures.py), by its name. Not to be changed: copy it."""
    folder = tmp_path_factory.mktemp("tools")

    def unpack(name: str) -> Path:
        path = folder / name
        if not path.exists():
            path.write_bytes(lzma.decompress((FIXTURES / f"{name}.xz").read_bytes()))
        return path

    return unpack


@pytest.fixture(scope="session")
def expected() -> dict[str, Tensor]:
    """What the tools computed: TOOL/pool5 (channels, h, w) and so on."""
    return {name: torch.from_numpy(values) for name, values in np.load(FIXTURES / "expected.npz").items()}
