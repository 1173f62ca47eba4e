"""The lock on a run folder: one process trains there, every other one is told which."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import threading
import time
import weakref
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from atonce.errors import TrainingError, option
from atonce.processes import ProcessIdentity
from atonce.storage import storage_errors
from atonce.untrusted_files import open_in_place, read_json

_BEAT = 5.0
"""Seconds between two signs of life of an owner, for those who look from another machine."""

_SILENCE = 12.0
"""Seconds without a sign of life after which an owner on another machine counts as dead."""

_LOCKED_BYTE = 1 << 30

_LARGEST = 1 << 16
"""Bytes of a lock file; who holds it takes a hundred."""


@dataclass(frozen=True)
class Owner:
    """A process that holds a lock.

    Attributes:
        process: which one.
        host: the name of its machine.
        since: local time, to the minute.
    """

    process: ProcessIdentity
    host: str
    since: str

    @classmethod
    def current(cls) -> Owner:
        """This process, as from now."""
        now = datetime.now(timezone.utc).astimezone()
        return cls(ProcessIdentity.current(), socket.gethostname(), f"{now:%Y-%m-%d %H:%M}")

    @classmethod
    def read(cls, path: Path) -> Owner | None:
        """Read the owner in a lock file; None where there is none, or none that can be read (yet)."""
        try:
            data = read_json(path, _LARGEST)
            process = ProcessIdentity.parse(data["process"])
            return cls(process, str(data["host"]), str(data["since"])) if process else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def text(self) -> str:
        """The owner as the lock file holds it."""
        return json.dumps({"process": str(self.process), "host": self.host, "since": self.since})

    def __str__(self) -> str:
        here = "" if self.process.is_here else f" on {self.host}"
        return f"process {self.process.pid}{here}, since {self.since}"


class RunLock:
    """The right to write into a run folder, which one process has at a time.

    It is a lock of the system (flock) on the file .lock in the folder: the system releases it when its owner dies,
    however that dies, and on NFS the server keeps it for all machines. The file names the owner. Where the file system
    knows no such locks, the owner's process counts: one of this machine is looked for by its number and start, one of
    another machine gives signs of life (the time of the file). Of several processes of one run, the main one locks.

    Args:
        folder: the run folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.path = folder, folder / ".lock"
        self._held: int | None = None
        self._stop = threading.Event()
        self._finalizer: weakref.finalize | None = None  # type: ignore[type-arg]

    def __enter__(self) -> RunLock:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def acquire(self) -> None:
        """Take the lock of a folder that is there; it is no error to have it already.

        Raises:
            TrainingError: another run is writing there; the message names its process.
            StorageError: the file cannot be written, or is a link.
        """
        if self._held is not None:
            return
        with storage_errors(self.path):
            descriptor, locked = self._open()
            try:
                os.ftruncate(descriptor, 0)
                os.write(descriptor, Owner.current().text().encode())
            except BaseException:
                _release(self.path, descriptor, self._stop)
                raise
            if not locked:
                self._require_first(descriptor)
        self._held = descriptor
        self._finalizer = weakref.finalize(self, _release, self.path, descriptor, self._stop)
        threading.Thread(target=_give_signs_of_life, args=(self.path, self._stop), daemon=True).start()

    def release(self) -> None:
        """Give the lock back, and remove its file; it is no error not to have it."""
        if self._finalizer:
            self._finalizer()
        self._held = self._finalizer = None
        self._stop = threading.Event()

    def _open(self) -> tuple[int, bool]:
        """Open the lock file and lock it; also returns whether the system has a lock to give."""
        while True:
            descriptor = open_in_place(self.path, os.O_RDWR)
            try:
                locked = _lock(descriptor)
                owner = Owner.read(self.path)
                if locked is False or (owner and self._is_alive(owner, locked=locked)):
                    raise self._refusal(owner)
                # The owner before may have removed the file after this process had opened it.
                if _is_file_of(self.path, descriptor):
                    return descriptor, bool(locked)
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)

    def _is_alive(self, owner: Owner, *, locked: bool | None) -> bool:
        """Tell whether the owner that the file names is at work, given that the system's lock was free or is none."""
        if owner.process.is_here:
            return locked is None and owner.process.is_alive
        # Not every mount hands the locks on to the server: whether that one lives shows in the time of the file, which
        # moves on. How old it is says nothing, since the clocks of two machines may differ by hours.
        before = _changed(self.path)
        end = time.monotonic() + _SILENCE
        while time.monotonic() < end:
            if _changed(self.path) != before:
                return True
            time.sleep(0.2)
        return False

    def _require_first(self, descriptor: int) -> None:
        """Refuses, where two processes have written their names at once, the earlier one."""
        time.sleep(0.5)
        owner = Owner.read(self.path)
        if owner and owner.process != ProcessIdentity.current():
            os.close(descriptor)
            raise self._refusal(owner)

    def _refusal(self, owner: Owner | None) -> TrainingError:
        end = time.monotonic() + 1
        while owner is None and time.monotonic() < end:
            # Between taking the lock and writing the name lies a moment.
            time.sleep(0.05)
            owner = Owner.read(self.path)
        who = str(owner) if owner else "another process"
        remedy = f"wait for it, end it, or choose another {option('out')}"
        return TrainingError(f"{self.folder} is being trained by {who}", "a run that no process is writing", remedy)


def _lock(descriptor: int) -> bool | None:
    """Lock an open file; False where another process has done so, None where the system cannot."""
    if sys.platform == "win32":
        import msvcrt

        # Windows lets nobody read a locked byte: one that the file does not have.
        os.lseek(descriptor, _LOCKED_BYTE, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        finally:
            os.lseek(descriptor, 0, os.SEEK_SET)
        return True
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _is_file_of(path: Path, descriptor: int) -> bool:
    try:
        there, mine = path.lstat(), os.fstat(descriptor)
    except OSError:
        return False
    return (there.st_dev, there.st_ino) == (mine.st_dev, mine.st_ino)


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _give_signs_of_life(path: Path, stop: threading.Event) -> None:
    while not stop.wait(_BEAT):
        with contextlib.suppress(OSError):
            os.utime(path)


def _release(path: Path, descriptor: int, stop: threading.Event) -> None:
    stop.set()
    # On Windows, a file that is open cannot be removed; elsewhere, one that is not locked any more is another's.
    with contextlib.suppress(OSError):
        if sys.platform != "win32" and _is_file_of(path, descriptor):
            path.unlink()
    with contextlib.suppress(OSError):
        os.close(descriptor)
    with contextlib.suppress(OSError):
        if sys.platform == "win32":
            path.unlink()
