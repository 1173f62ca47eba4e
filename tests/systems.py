"""What a test needs of the operating system: marks that skip it where that is missing, and say so.

Linux has all of it. The tests have never run on macOS or Windows: what is marked here was found by reading, and by taking
these names away on Linux.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

needs_signals = pytest.mark.skipif(
    not hasattr(signal, "SIGKILL") or not hasattr(os, "killpg"), reason="no signals between processes here"
)
"""SIGKILL, SIGHUP, process groups; SIGTERM and SIGINT that another process can catch."""

needs_processes_listed = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="no /proc here")
"""/proc, where `tests.processes` looks for children and the living."""

needs_pipes = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")

needs_links = pytest.mark.skipif(sys.platform == "win32", reason="links need rights on Windows")

needs_linux_memory = pytest.mark.skipif(
    sys.platform != "linux", reason="peaks of memory are in kilobytes, and its limits kept, on Linux alone"
)
"""`resource`: ru_maxrss in kilobytes, RLIMIT_AS that is obeyed."""

needs_any_file_name = pytest.mark.skipif(
    sys.platform != "linux", reason="names of any bytes, control characters included, are for Linux' file systems alone"
)


needs_full_device = pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
"""A device that is written to as to a disk that is full."""
