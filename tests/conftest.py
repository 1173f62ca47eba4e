"""Fixtures that every room's tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder with real CamVid, KITTI and VGG-16 files; see ATONCE_TEST_DATA in CONTRIBUTING.md."""
    value = os.environ.get("ATONCE_TEST_DATA")
    if not value:
        pytest.skip("ATONCE_TEST_DATA is not set: no real data to test with")
    path = Path(value).resolve()
    if not (path / "data" / "camvid").is_dir():
        pytest.skip(f"ATONCE_TEST_DATA={path} holds no data/camvid")
    return path


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)
