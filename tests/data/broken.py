"""What a broken tree is in these tests, and the first thing that `atonce train` does with it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from atonce.data.checks import check, raise_for_problems
from atonce.data.formats import open_dataset
from atonce.errors import DataError

Break = Callable[[Path], object]
Case = tuple[Callable[[Path], Path], Break, tuple[str, ...]]
"""Builder, what breaks the tree, and regular expressions that the message must hold."""


def train_on(root: Path) -> None:
    """What `atonce train` does with its data before anything else."""
    dataset = open_dataset(root)
    raise_for_problems(check(dataset).problems, dataset)


def assert_refused(root: Path, case: Case) -> None:
    build, breaks, patterns = case
    breaks(build(root))
    with pytest.raises(DataError) as caught:
        train_on(root)
    for pattern in patterns:
        assert re.search(pattern, str(caught.value)), f"{pattern!r} is not in: {caught.value}"
