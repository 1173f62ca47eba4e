"""The origin of numbers: the command, the commit, the versions and the machine, for run.json and studies."""

from __future__ import annotations

import platform
import shlex
import subprocess
import sys
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from atonce.text import count_of
from atonce.version import __version__


@dataclass(frozen=True)
class Session:
    """One call that trains, evaluates or compares.

    Attributes:
        command: what was typed; of a script or a notebook, the program that ran it.
        commit: of the source tree that this package runs from, `-dirty` where it is changed; None for an installed one.
        started: time in UTC, ISO 8601.
    """

    command: str
    commit: str | None
    started: str


def begin_session() -> Session:
    """Note command, commit and time when the work begins: a training runs for hours while its source changes."""
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    return Session(command_line(), source_commit(), now)


def command_line() -> str:
    """The words that this process was called with, quoted for a shell: "atonce train data"."""
    program = Path(sys.argv[0]).name if sys.argv else ""
    return shlex.join(["atonce" if program == "__main__.py" else program or "python", *sys.argv[1:]])


def source_commit() -> str | None:
    """The commit of the source tree that this package runs from; None where it runs from none."""
    here = Path(__file__).parent
    try:
        found = subprocess.run(
            ["git", "-C", str(here), "describe", "--always", "--dirty", "--abbrev=10"],
            capture_output=True,
            text=True,
            timeout=5,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.strip() or None if found.returncode == 0 else None


def describe_machine(device: object) -> dict[str, Any]:
    """Versions, device and threads: what somebody needs to get the same numbers."""
    import torch

    return {
        "atonce": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "device": str(device),
        "machine": f"{platform.machine()}, {count_of(torch.get_num_threads(), 'thread')}",
    }
