"""Broken copies of published data sets: one clear message that names the file."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.data.broken import assert_refused
from tests.data.formats.broken_benchmarks import CASES


@pytest.mark.parametrize("case", CASES)
def test_broken_tree(tmp_path: Path, case: str) -> None:
    assert_refused(tmp_path, CASES[case])
