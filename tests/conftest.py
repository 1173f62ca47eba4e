"""Fixtures that all tests share."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
import torch

from tests.commands import atonce

__all__ = ["atonce"]


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


@pytest.fixture(scope="session")
def street_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six training and three validation streets of 48x64. Not to be changed: copy it."""
    from tests.tiny import streets

    return streets(tmp_path_factory.mktemp("streets") / "data")


@pytest.fixture(scope="session")
def tiny_run(street_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run directory of a tiny network, trained for four steps. Not to be changed: copy it."""
    from atonce.training import run_training
    from tests.tiny import tiny_recipe

    run = tmp_path_factory.mktemp("tiny") / "run"
    run_training(tiny_recipe(), street_data, run)
    return run


@pytest.fixture(scope="session")
def tiny_model(tiny_run: Path) -> Path:
    """The model file of that run."""
    return tiny_run / "model.safetensors"


@pytest.fixture(autouse=True, scope="session")
def _signals_of_a_terminal() -> None:
    """Take signals as in a terminal: `nohup` and a shell's `&` hand on that SIGHUP and SIGINT are ignored."""
    if hasattr(signal, "SIGHUP"):  # not on Windows
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True, scope="session")
def _cache_of_their_own(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Tests neither take what this user's machine remembers, nor add to it."""
    os.environ["ATONCE_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    """Let torch compute in one thread. The order of a sum, so its last bits, depends on the number of threads:
    runs here are compared with runs in other processes, which have one thread too (`tests.tiny.ENVIRONMENT`)."""
    torch.set_num_threads(1)
