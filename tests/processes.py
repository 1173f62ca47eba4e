"""`atonce` in processes of their own, which can be sent signals like any other."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.tiny import ENVIRONMENT

_AS_FROM_A_TERMINAL = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from atonce.cli import main
sys.argv[0] = "atonce"
if __name__ == "__main__":
    main()
"""
"""What is started in the background ignores Ctrl-C; somebody at a terminal is in the foreground."""

PATIENCE = 240.0
"""Seconds: machines may be busy."""


def start(*words: str | Path, **options: object) -> subprocess.Popen[str]:
    """Start `atonce WORD...` in a session of its own."""
    command = [sys.executable, "-c", _AS_FROM_A_TERMINAL, *map(str, words)]
    settings: dict[str, object] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    settings |= {"env": ENVIRONMENT, "start_new_session": True, **options}
    return subprocess.Popen(command, **settings)  # type: ignore[call-overload]


def wait_until(there: Callable[[], object], process: subprocess.Popen[str]) -> None:
    """Wait for something to happen while a process runs."""
    end = time.monotonic() + PATIENCE
    while not there():
        assert time.monotonic() < end, "it never happened"
        if process.poll() is not None:
            raise AssertionError(f"it has ended with {process.returncode}\n{process.communicate()[0]}")
        time.sleep(0.02)


def children_of(pid: int) -> list[int]:
    """The processes that a process has started and that have not ended."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = path.read_text(errors="replace").rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if int(parent) == pid and state != "Z":
            found.append(int(path.parent.name))
    return found


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def interrupt(process: subprocess.Popen[str]) -> None:
    """Press Ctrl-C: it reaches the process and all that it has started."""
    os.killpg(process.pid, signal.SIGINT)
