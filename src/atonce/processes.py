"""Processes by name: who wrote a temporary file or holds a lock, and whether that process still lives."""

from __future__ import annotations

import hashlib
import os
import re
import socket
import sys
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

_TAG = re.compile(r"(\d+)-([0-9a-f]+)-([0-9a-f]+)")


@dataclass(frozen=True)
class ProcessIdentity:
    """A process that is told from every other one, also from a later one of the same number.

    Attributes:
        pid: its number.
        machine: digest of the host's name and of the namespace that the number counts in: containers count from 1.
        start: when it started, in the system's own unit, hexadecimal; "0" where the system does not tell.
    """

    pid: int
    machine: str
    start: str

    def __str__(self) -> str:
        return f"{self.pid}-{self.machine}-{self.start}"

    @classmethod
    def parse(cls, text: str) -> ProcessIdentity | None:
        """Read what `str` wrote; None where it is something else."""
        match = _TAG.fullmatch(text)
        return cls(int(match[1]), match[2], match[3]) if match else None

    @classmethod
    def current(cls) -> ProcessIdentity:
        """Return the identity of this process."""
        return cls(os.getpid(), _machine(), _start_of(os.getpid()))

    @property
    def is_here(self) -> bool:
        """True where the process is, or was, one of this machine."""
        return self.machine == _machine()

    @property
    def is_alive(self) -> bool:
        """True where the process runs on this machine; of one `is_here` is False for, nobody here can tell."""
        return self.is_here and _exists(self.pid) and _start_of(self.pid) == self.start


@lru_cache(maxsize=1)
def _machine() -> str:
    try:
        namespace = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        namespace = ""
    return hashlib.sha256(f"{socket.gethostname()}\0{namespace}".encode()).hexdigest()[:8]


def _start_of(pid: int) -> str:
    """Read the 22nd field of /proc/PID/stat, in hexadecimal; "0" where there is none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text("utf-8", errors="replace")
        # The second field is the command in parentheses, which may hold spaces and parentheses itself.
        return f"{int(text.rpartition(')')[2].split()[19]):x}"
    except (OSError, ValueError, IndexError):
        return "0"


def _exists(pid: int) -> bool:
    if sys.platform == "win32":
        # There, os.kill(pid, 0) would end the process.
        import ctypes

        synchronize, still_waiting = 0x00100000, 0x102
        handle = ctypes.windll.kernel32.OpenProcess(synchronize, 0, pid)
        if not handle:
            return False
        alive = ctypes.windll.kernel32.WaitForSingleObject(handle, 0) == still_waiting
        ctypes.windll.kernel32.CloseHandle(handle)
        return bool(alive)
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
