"""The fastest engine for a network on this machine: measured once, and remembered in the user's cache.

Which one it is depends on the network's width, on INT8, on the processor and on the number of threads: no table in a
program knows. A file says so for the next time: engines.json of `storage.user_cache`, which may be removed at any time.
"""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, cast

from atonce.adaptive_threads import compute_threads
from atonce.errors import StorageError
from atonce.inference.engines import EngineName
from atonce.storage import make_folder, user_cache, write_text
from atonce.untrusted_files import read_json

SIZE = (360, 480)
"""(height, width) of the picture that engines are measured with, before the model's own rule resizes it."""

_RUNS, _SECONDS = 5, 3.0
"""Runs that are timed after a first one, and the seconds after which no further one begins."""

_GAIN = 1.05
"""Ratio of speeds from which on an engine replaces the one before it: less is chance."""

_MOST = 200
"""Networks that are remembered; the oldest are forgotten."""


def fastest_engine(
    engines: Sequence[EngineName], network: Mapping[str, Any], open_engine: Callable[[EngineName], Callable[[], object]]
) -> EngineName:
    """Return the fastest of some engines for a network; that of the last time, where it has been measured here.

    Args:
        engines: those to choose from, the one to prefer in doubt first.
        network: what the time depends on, as JSON: architecture, size, precision.
        open_engine: loads the network into an engine, and returns a function that runs it once.
    """
    if len(engines) == 1:
        return engines[0]
    place = {
        **network,
        "processor": _processor(),
        "threads": compute_threads(),
        "engines": {name: _version(name) for name in engines},
    }
    key = json.dumps(place, sort_keys=True)
    known = _read()
    found = known.get(key)
    if isinstance(found, dict) and found.get("engine") in engines:
        return cast("EngineName", found["engine"])
    # One after the other, so that the memory is that of one.
    seconds = {name: _time(open_engine(name)) for name in engines}
    chosen = engines[0]
    for name in engines[1:]:
        if seconds[name] * _GAIN < seconds[chosen]:
            chosen = name
    told = {"engine": chosen, "milliseconds": {name: round(1000 * taken, 2) for name, taken in seconds.items()}}
    known = {**_read(), key: told}
    # A home that cannot be written costs the next start a measurement, and nothing else.
    with suppress(StorageError):
        make_folder(_file().parent)
        write_text(_file(), json.dumps(dict(list(known.items())[-_MOST:]), indent=1))
    return chosen


def _time(run: Callable[[], object]) -> float:
    """Return the seconds of the quickest of several runs: what else the machine does makes none quicker."""
    run()
    best, end = float("inf"), time.perf_counter() + _SECONDS
    for _ in range(_RUNS):
        began = time.perf_counter()
        run()
        now = time.perf_counter()
        best = min(best, now - began)
        if now > end:
            break
    return best


def _file() -> Path:
    return user_cache() / "engines.json"


def _read() -> dict[str, Any]:
    try:
        return dict(read_json(_file()))
    except (OSError, ValueError, TypeError):
        return {}


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text("utf-8", "replace")
    except OSError:
        return platform.processor() or platform.machine()
    lines = (line.partition(":") for line in text.splitlines())
    return next((value.strip() for name, _, value in lines if name.strip() == "model name"), platform.machine())


def _version(engine: EngineName) -> str:
    try:
        return version(engine)
    except PackageNotFoundError:
        return ""
