"""Write a folder of scenes, in the layout of the "folder" format."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import yaml
from PIL import Image

from atonce.errors import DataError, StorageError, UserError
from atonce.labels import CAMVID, IGNORE_INDEX
from atonce.progress import ProgressCallback
from atonce.signals import TERMINATION_SIGNALS
from atonce.streets.scene import render_scene
from atonce.untrusted_files import read_json, require_in_place

VERSION = 4
"""The version of the generator: raise it when the same seed gives another picture, and old folders are made anew."""

MARKER = "streets.json"
_SPLITS = ("train", "val")
MOST = 500_000
"""The most scenes of a split: each seed of a folder owns a million seeds of scenes, half for train, half for val."""


@dataclass(frozen=True)
class Job:
    """One scene to write: `size` is (height, width)."""

    folder: Path
    seed: int
    size: tuple[int, int]

    @property
    def files(self) -> tuple[Path, Path]:
        """Its picture and its mask."""
        name = f"street_{self.seed:06d}.png"
        return self.folder / "images" / name, self.folder / "masks" / name


def write_streets(
    root: Path,
    *,
    train: int,
    val: int,
    seed: int = 0,
    size: tuple[int, int] = (180, 240),
    progress: ProgressCallback | None = None,
    workers: int = 1,
) -> Path:
    """Write `train` and `val` scenes, of disjoint seeds, under `root` in the "folder" layout.

    A folder already complete with the same parameters is left as it is; one with others is made anew.

    Args:
        seed: scene i of train has seed `seed * 1_000_000 + i`, of val `seed * 1_000_000 + 500_000 + i`; files are
            named after it (`street_000000.png`, `street_500000.png`).
        size: (height, width).
        progress: called with (done, total) after each scene.
        workers: processes; the files do not depend on it. More than 1 needs a `__main__` that can be imported.

    Returns:
        root.

    Raises:
        ValueError: a count outside 0..500000, a negative seed, a size under 32.
        DataError: `root` holds another data set, which would be overwritten.
        StorageError: a file cannot be written.
        UserError: the system has ended one of the workers.
    """
    if not (0 <= train <= MOST and 0 <= val <= MOST) or seed < 0:
        raise ValueError(f"train {train}, val {val}, seed {seed}; expected 0 to {MOST} scenes a split, a seed >= 0")
    asked = {"version": VERSION, "train": train, "val": val, "seed": seed, "size": list(size)}
    if _marker(root) == asked:
        return root
    _refuse_foreign(root)
    first = seed * 2 * MOST
    jobs = [Job(root / "train", first + i, size) for i in range(train)]
    jobs += [Job(root / "val", first + MOST + i, size) for i in range(val)]
    try:
        _prepare(root, jobs)
        for done, _ in enumerate(_run(jobs, workers), start=1):
            if progress:
                progress(done, len(jobs))
        (root / "classes.yaml").write_text(yaml.safe_dump(_classes(), sort_keys=False), encoding="utf-8")
        # Last: its presence says that everything else is there.
        (root / MARKER).write_text(json.dumps(asked) + "\n", encoding="utf-8")
    except OSError as error:
        raise StorageError(f"{root}: {error}", "a folder with space that can be written") from error
    except BrokenProcessPool:
        raise UserError(
            "a process that draws streets was ended from outside, as systems do when the memory is full",
            "processes that are left to finish",
            "end other programs, or draw smaller scenes; the same call draws them anew",
        ) from None
    return root


def _classes() -> dict[str, Any]:
    listed = [{"name": n, "colour": list(c)} for n, c in zip(CAMVID.names, CAMVID.palette, strict=True)]
    return {"classes": listed, "ignore_index": IGNORE_INDEX}


def _marker(root: Path) -> object:
    """Read the parameters that a complete folder was written with; None when it is incomplete or not ours."""
    try:
        return read_json(root / MARKER)
    except (OSError, ValueError):
        return None


def _pictures(root: Path) -> Iterator[Path]:
    for split in _SPLITS:
        for kind in ("images", "masks"):
            yield from (root / split / kind).glob("*")


def _refuse_foreign(root: Path) -> None:
    strange = next((p for p in _pictures(root) if not p.name.startswith("street_")), None)
    if strange is None and not (root / MARKER).exists() and root.is_dir():
        strange = next(
            (p for p in sorted(root.iterdir()) if p.name not in _SPLITS and not p.name.startswith(".")), None
        )
    if strange is not None:
        raise DataError(f"{strange} is not a generated street", "an empty folder or one of streets", "choose another")


def _prepare(root: Path, jobs: list[Job]) -> None:
    """Make the folders; remove the marker of completion, and scenes of other parameters. Raises StorageError: a link
    leads elsewhere what is written here."""
    require_in_place(*(root / split / kind for split in _SPLITS for kind in ("", "images", "masks")))
    for split in _SPLITS:
        for kind in ("images", "masks"):
            (root / split / kind).mkdir(parents=True, exist_ok=True)
    # In this order: while the marker stands, the classes are known to be ours.
    (root / "classes.yaml").unlink(missing_ok=True)
    (root / MARKER).unlink(missing_ok=True)
    wanted = {path for job in jobs for path in job.files}
    for path in _pictures(root):
        if path not in wanted or path.is_symlink():
            path.unlink()


def _run(jobs: list[Job], workers: int) -> Iterable[None]:
    if workers <= 1 or len(jobs) < 2:
        yield from map(_write, jobs)
        return
    # Spawned, not forked: whoever calls may hold torch's threads.
    context = get_context("spawn")
    # Workers end when the other end of this is closed: when drawing is stopped, and by the system when this process
    # dies, however it does.
    until, alive = context.Pipe(duplex=False)
    pool = ProcessPoolExecutor(
        min(workers, len(jobs)), mp_context=context, initializer=_end_with_parent, initargs=(until,)
    )
    try:
        with _without_signals():
            futures = [pool.submit(_write, job) for job in jobs]
        for future in as_completed(futures):
            yield future.result()
    except BaseException:
        alive.close()
        pool.shutdown(cancel_futures=True)
        raise
    finally:
        alive.close()
    pool.shutdown()


@contextmanager
def _without_signals() -> Iterator[None]:
    """Start processes that Ctrl-C and SIGTERM do not reach: they stop the one that waits, and that one ends the others.

    A signal that comes meanwhile strikes when they are started.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, *TERMINATION_SIGNALS})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _end_with_parent(until: Connection) -> None:
    """End this worker process as soon as `until` has nobody at its other end."""

    def wait() -> None:
        with suppress(OSError, EOFError):
            until.recv_bytes()
        os._exit(1)

    # Where signals cannot be masked, this comes early enough for all but the first moment.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=wait, daemon=True).start()


def _write(job: Job) -> None:
    sample = render_scene(job.seed, job.size)
    image, mask = job.files
    Image.fromarray(sample.image).save(image, compress_level=3)
    assert sample.mask is not None
    indexed = Image.fromarray(sample.mask)
    indexed.putpalette(CAMVID.lookup().tobytes())
    indexed.save(mask)
