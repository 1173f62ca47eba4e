"""The installation says what it downloads, and how much, before it does."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
@pytest.mark.parametrize(("goal", "package"), [("demo", "--editable ."), ("test", "--editable '.[dev]'")])
def test_the_installation_says_how_much_it_downloads(goal: str, package: str, tmp_path: Path) -> None:
    # What would be run, as in a fresh folder.
    command = ["make", "--dry-run", "--always-make", f"VENV={tmp_path / 'venv'}", goal]
    plan = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=60).stdout
    said, downloads, _ = plan.partition(package)
    assert downloads
    last = said.rpartition("touch")[2]
    assert "installing" in last and " GB" in last
