"""Threads: as many as there are cores for this process, waiting without holding them, and one knob for their number.

Libraries read how many threads they may have, and how these wait, when they are loaded. So this is done before torch
is imported: by the command line when it begins, in Python by `import atonce`. Nothing here imports torch.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterator, MutableMapping
from pathlib import Path

from atonce.errors import UserError

VARIABLE = "ATONCE_THREADS"
"""The environment's word for `set_threads` and `--threads`."""

_NUMBERS = ("OMP_NUM_THREADS", "RAYON_NUM_THREADS")
"""Variables that libraries take the number of their threads from: OpenMP (torch, oneDNN, MKL), Rayon (kornia-rs)."""

_WAITING = {"GOMP_SPINCOUNT": "1000", "KMP_BLOCKTIME": "1"}
"""Turns, and milliseconds, for which a thread spins while it waits for the others at the end of each loop.

By default it spins for milliseconds, holding the core that the thread which is late is waiting for. torch's wheels for
Linux bring GNU's OpenMP, which counts turns (1000 are some microseconds); those for macOS and Windows bring LLVM's or
Intel's, which counts milliseconds. OMP_WAIT_POLICY is not used: it knows only always and never, and never costs a tenth
of the speed where nobody else works (page "Performance")."""

_OWN_WAITING = ("OMP_WAIT_POLICY", *_WAITING)
"""A user who has set one of these has decided."""

_LOCAL_PROCESSES = ("LOCAL_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_SIZE", "MPI_LOCALNRANKS")
"""Variables with the processes that torchrun, Open MPI or MPICH has started on this machine."""

_chosen_here: str | None = None
"""The value of OMP_NUM_THREADS that `prepare` has set by itself: nobody's wish."""


def prepare() -> None:
    """Tell the libraries that are still to be loaded how many threads they may have, and how these wait.

    What the user has set stays as it is: OMP_NUM_THREADS, OMP_WAIT_POLICY, GOMP_SPINCOUNT, KMP_BLOCKTIME. An
    ATONCE_THREADS that is no number is refused by `fixed_threads`, which all that computes asks.
    """
    global _chosen_here
    environment = os.environ
    if "torch" not in sys.modules and not any(name in environment for name in _OWN_WAITING):
        environment.update(_WAITING)
    try:
        asked = _asked(environment)
    except UserError:
        return
    if asked is not None:
        set_threads(asked)
    elif "OMP_NUM_THREADS" not in environment or _is_default_of_torchrun(environment):
        count = threads_per_process()
        if count < physical_cores() or "OMP_NUM_THREADS" in environment:
            _chosen_here = str(count)
            environment.update(dict.fromkeys(_NUMBERS, _chosen_here))


def set_threads(count: int) -> None:
    """Compute and decode with so many threads from now on, in this process; `--threads` and ATONCE_THREADS do the same.

    torch, the engines of exported files and decoding keep to it. Without it there are as many as cores for this
    process, and beside busy programs a training or prediction in torch takes fewer for as long as that is faster;
    sums then differ in their last bits. With a number of one's own they never do.

    Args:
        count: 1 or more; each process of torchrun has as many.

    Raises:
        UserError: less than 1.
    """
    global _chosen_here
    if count < 1:
        raise UserError(f"{count} threads", "1 or more")
    _chosen_here = None
    os.environ.update(dict.fromkeys((VARIABLE, *_NUMBERS), str(count)))
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(count)


def fixed_threads() -> int | None:
    """Return the number that the user has set, by `set_threads`, ATONCE_THREADS or OMP_NUM_THREADS; None without one.

    Raises:
        UserError: ATONCE_THREADS is no number.
    """
    asked = _asked(os.environ)
    if asked is not None:
        return asked
    value = os.environ.get("OMP_NUM_THREADS", "")
    if value == _chosen_here or _is_default_of_torchrun(os.environ):
        return None
    # OpenMP takes a list, too: a number for each level of nesting.
    first = value.partition(",")[0].strip()
    return int(first) if first.isdecimal() and int(first) else None


def threads_per_process() -> int:
    """Return how many threads this process may compute with where the user has set none: its cores, shared with the
    other processes that torchrun has started on this machine."""
    return max(1, min(physical_cores(), usable_cores()) // _local_processes())


def at_most(count: int) -> int:
    """Return how many threads decode where `count` are asked for: no more than `set_threads` allows."""
    return max(1, min(count, _asked(os.environ) or count))


def decoding_threads() -> int:
    """Return how many threads decode where nothing else is done meanwhile: the number that `set_threads` was given, or
    one for each core, at most 16."""
    return _asked(os.environ) or min(16, max(1, usable_cores() // _local_processes()))


def shared_environment(processes: int) -> dict[str, str]:
    """Return the environment of one of several processes that share this one's threads."""
    environment = dict(os.environ)
    count = fixed_threads()
    if _chosen_here is not None:
        for name in _NUMBERS:
            environment.pop(name, None)
    if count is not None or processes > 1:
        environment[VARIABLE] = str(max(1, (count or threads_per_process()) // processes))
    return environment


def spins_while_waiting() -> bool:
    """Tell whether torch's threads hold their cores while they wait, because it was imported before atonce."""
    return "torch" in sys.modules and not any(name in os.environ for name in _OWN_WAITING)


def usable_cores(root: Path = Path("/")) -> int:
    """Count the cores that this process may use: those of its affinity, and no more than its control groups' quota,
    rounded up (`docker --cpus 1.5` has 2).

    Args:
        root: of the file system whose /proc and /sys are read.
    """
    cores = len(affinity())
    quota = cpu_quota(root)
    return cores if quota is None else max(1, min(cores, math.ceil(quota - 1e-6)))


def affinity() -> set[int]:
    """Return the numbers of the logical cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))  # macOS, Windows


def physical_cores(root: Path = Path("/")) -> int:
    """Count the cores behind those of the affinity: two logical ones of a core multiply no faster than one, and torch
    takes as many threads by default."""
    logical = affinity()
    siblings = {_read(root / f"sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list") for core in logical}
    return len(logical) if None in siblings else len(siblings)


def cpu_quota(root: Path = Path("/")) -> float | None:
    """Return the processor time per time that the control groups of this process leave it, in cores; None for no limit.

    Version 2 (`cpu.max`) and version 1 (`cpu.cfs_quota_us`), the tightest of the own group and those above it, as far
    as they can be seen from inside a container.

    Args:
        root: of the file system whose /proc and /sys are read.
    """
    groups = _own_groups(root)
    quotas = [
        quota
        for kind, mounted, mount_point in _group_mounts(root)
        if kind in groups
        for folder in _folders(root, groups[kind], mounted, mount_point)
        if (quota := _quota_v2(folder) if kind == "" else _quota_v1(folder)) is not None
    ]
    return min(quotas, default=None)


def _own_groups(root: Path) -> dict[str, str]:
    """Read the paths of this process's groups: "" -> that of version 2, "cpu" -> that of version 1."""
    found = {}
    for line in (_read(root / "proc/self/cgroup") or "").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers == "" or "cpu" in controllers.split(","):
            found["cpu" if controllers else ""] = path
    return found


def _group_mounts(root: Path) -> Iterator[tuple[str, str, str]]:
    """Yield where hierarchies are mounted: ("" or "cpu", the group that is mounted, the mount point). See proc(5)."""
    for line in (_read(root / "proc/self/mountinfo") or "").splitlines():
        before, _, after = line.partition(" - ")
        fields, described = before.split(), after.split()
        if len(fields) < 5 or len(described) < 3:
            continue
        mounted, mount_point = (_unescaped(field) for field in fields[3:5])
        if described[0] == "cgroup2":
            yield "", mounted, mount_point
        elif described[0] == "cgroup" and "cpu" in described[2].split(","):
            yield "cpu", mounted, mount_point


def _unescaped(field: str) -> str:
    """Decode what mountinfo writes for blanks: "\\040"."""
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        field = field.replace(code, character)
    return field


def _folders(root: Path, path: str, mounted: str, mount_point: str) -> Iterator[Path]:
    """Yield the folder of a group and those of the groups above it, up to the mount point."""
    top = root / mount_point.lstrip("/")
    below = path.removeprefix(mounted.rstrip("/")) if (path + "/").startswith(mounted.rstrip("/") + "/") else ""
    parts = [part for part in below.split("/") if part]
    # In a container whose own group is mounted under another name, its path leads out of what can be seen.
    parts = [] if ".." in parts else parts
    for depth in range(len(parts), -1, -1):
        yield top.joinpath(*parts[:depth])


def _quota_v2(folder: Path) -> float | None:
    quota, _, period = (_read(folder / "cpu.max") or "").partition(" ")
    return _ratio(quota, period or "100000")


def _quota_v1(folder: Path) -> float | None:
    return _ratio(_read(folder / "cpu.cfs_quota_us") or "", _read(folder / "cpu.cfs_period_us") or "")


def _ratio(quota: str, period: str) -> float | None:
    """Divide microseconds by microseconds; None for "max", -1, or what is no number."""
    if not (quota.strip().isdecimal() and period.strip().isdecimal()) or not int(period):
        return None
    return int(quota) / int(period) or None


def _read(path: Path) -> str | None:
    try:
        return path.read_text("utf-8", errors="replace").strip()
    except OSError:
        return None


def _asked(environment: MutableMapping[str, str]) -> int | None:
    value = environment.get(VARIABLE, "").strip()
    if not value:
        return None
    if not value.isdecimal() or not int(value):
        raise UserError(f"{VARIABLE} is {value!r}", "a number of threads, 1 or more", f"unset {VARIABLE}")
    return int(value)


def _local_processes() -> int:
    counts = (os.environ.get(name, "") for name in _LOCAL_PROCESSES)
    return next((int(count) for count in counts if count.isdecimal() and int(count)), 1)


def _is_default_of_torchrun(environment: MutableMapping[str, str]) -> bool:
    """Tell whether OMP_NUM_THREADS is the 1 that torchrun sets where the user has set nothing, whatever the cores.

    The environment that torchrun itself was started with tells; where that cannot be read, the 1 is the user's.
    """
    if environment.get("OMP_NUM_THREADS") != "1" or "TORCHELASTIC_RUN_ID" not in environment:
        return False
    if any(name.startswith("ACCELERATE_") for name in environment):
        return False  # accelerate launch has an option for it
    try:
        started_with = Path(f"/proc/{os.getppid()}/environ").read_bytes().split(b"\0")
    except OSError:
        return False
    return not any(entry.startswith(b"OMP_NUM_THREADS=") for entry in started_with)
