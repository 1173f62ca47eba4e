"""Processes of torchrun end when it has died, also when it died before they had begun to look."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from atonce.errors import UserError
from atonce.training import setup
from tests.processes import is_alive
from tests.systems import needs_processes_listed, needs_signals
from tests.tiny import ENVIRONMENT, tiny_recipe

WORKER = """
import os, sys, time
from atonce.launcher import end_with_launcher
open(sys.argv[1], "w").write(str(os.getpid()))
time.sleep({before})
end_with_launcher()
time.sleep(60)
"""
LAUNCHER = """
import subprocess, sys, time
subprocess.Popen([sys.executable, "-c", sys.argv[1], sys.argv[2]])
time.sleep({alive})
"""


@needs_signals
@needs_processes_listed
@pytest.mark.parametrize(("before", "alive"), [(2.0, 0.0), (0.0, 4.0)], ids=["died before", "dies later"])
def test_a_process_does_not_outlive_its_launcher(tmp_path: Path, before: float, alive: float) -> None:
    told = tmp_path / "pid"
    words = [LAUNCHER.format(alive=alive), WORKER.format(before=before), str(told)]
    with subprocess.Popen(
        [sys.executable, "-c", *words], env={**ENVIRONMENT, "TORCHELASTIC_RUN_ID": "test"}, stderr=subprocess.DEVNULL
    ) as launcher:
        deadline = time.monotonic() + 60
        while not (told.exists() and told.read_text()):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        worker = int(told.read_text())
        if alive and launcher.poll() is None:
            assert is_alive(worker), "it lives as long as its launcher"
        while is_alive(worker):
            if time.monotonic() > deadline:
                os.kill(worker, 9)
                pytest.fail("it outlives its launcher")
            time.sleep(0.05)


def test_a_training_watches_its_launcher_before_it_waits_for_other_processes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A launcher that is killed while they meet left them waiting for each other for half an hour."""
    order = []

    def join(*_: object) -> None:
        order.append("join")
        raise UserError("so far")

    monkeypatch.setattr(setup, "end_with_launcher", lambda: order.append("watch"))
    monkeypatch.setattr(setup, "accelerator_for", join)
    with pytest.raises(UserError, match="so far"):
        setup.set_up(tiny_recipe(), tmp_path, tmp_path / "run", resume=False)
    assert order == ["watch", "join"]
