"""A healthy tree of each published layout."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.data import annotation_trees, trees


@dataclass(frozen=True)
class Tree:
    """A built tree: its name, where it is, the format to be recognised, and how many pictures its splits hold together.

    Attributes:
        has_void: pixels of its training masks are void.
        tests_have_masks: its test split, if it has one, has masks, too.
        is_scene: each mask is `annotation_trees.scene`.
        reuses_masks: several pictures have the same mask.
    """

    name: str
    root: Path
    format: str
    pictures: int
    has_void: bool
    tests_have_masks: bool
    is_scene: bool
    reuses_masks: bool


_TREES = {**trees.HEALTHY, **annotation_trees.TREES}


@pytest.fixture(params=sorted(_TREES))
def healthy(request: pytest.FixtureRequest, tmp_path: Path) -> Tree:
    name = request.param
    format, build, pictures = _TREES[name]
    root = build(tmp_path)
    return Tree(
        name=name,
        root=root,
        format=format,
        pictures=pictures,
        has_void=not (root / "classes.csv").exists() and name not in annotation_trees.WITHOUT_VOID,
        tests_have_masks=name in annotation_trees.TREES,
        is_scene=name in annotation_trees.SCENES,
        reuses_masks=name in annotation_trees.SCENES | {"labelme", "labelme2voc", "binary masks"},
    )
