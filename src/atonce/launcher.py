"""Processes that torchrun has started do not outlive it."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

_LOOK = 1.0
"""Seconds between two looks."""

_GRACE = 60.0
"""Seconds for saving the state; a process that waits for another one that has died never comes to that."""

_watching = threading.Event()


def end_with_launcher() -> None:
    """End this process by SIGTERM, which saves the state, when the torchrun that started it has died.

    torchrun ends its processes when it is ended itself, but for SIGKILL, of which it does not hear: they would go on,
    or wait for each other, for ever. A training that nobody has launched may outlive the shell it was started in.
    """
    if "TORCHELASTIC_RUN_ID" not in os.environ or sys.platform == "win32" or _watching.is_set():
        return
    _watching.set()
    threading.Thread(target=_watch, args=(os.getppid(),), daemon=True).start()


def _may_launch(process: int) -> bool:
    """Tell whether a process may be a launcher: one that runs Python; where nothing tells, any but the first."""
    try:
        return "python" in Path(f"/proc/{process}/exe").readlink().name
    except OSError:
        return process != 1


def _watch(parent: int) -> None:
    # It may have died before this process had imported torch: then the parent is already whoever adopts orphans.
    while os.getppid() == parent and _may_launch(parent):
        time.sleep(_LOOK)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_GRACE)
    os._exit(128 + signal.SIGTERM)
