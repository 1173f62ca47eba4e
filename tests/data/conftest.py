"""A healthy tree of each published layout."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.data import trees


@dataclass(frozen=True)
class Tree:
    """A built tree: where, the format to be recognised, and how many pictures its splits hold together."""

    root: Path
    format: str
    pictures: int


@pytest.fixture(params=sorted(trees.HEALTHY))
def healthy(request: pytest.FixtureRequest, tmp_path: Path) -> Tree:
    format, build, pictures = trees.HEALTHY[request.param]
    return Tree(build(tmp_path), format, pictures)
