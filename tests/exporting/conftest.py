"""A data set to check exported files with."""

from __future__ import annotations

from pathlib import Path

import pytest

from atonce.streets import write_streets


@pytest.fixture(scope="package")
def streets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four training and three validation streets of 60x90. Not to be changed: copy it."""
    return write_streets(tmp_path_factory.mktemp("streets"), train=4, val=3, size=(60, 90))
