"""Read a whole data set before anything is trained on it: every problem in one message, and the statistics."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from atonce.data.class_statistics import Counts, DataStatistics, Tally
from atonce.data.dataset import Dataset, Item, require_same_size
from atonce.data.fingerprint import fingerprint
from atonce.data.images import FileError, Problem, read_image
from atonce.errors import DataError
from atonce.labels import IGNORE_INDEX
from atonce.text import count_of

__all__ = ["CheckReport", "DataStatistics", "Observer", "check", "fingerprint", "raise_for_problems"]

T = TypeVar("T")
R = TypeVar("R")

_SHOWN_PER_KIND = 20


@dataclass(frozen=True)
class CheckReport:
    """All problems (those found on opening first), and statistics per split that was checked."""

    problems: tuple[Problem, ...]
    statistics: Mapping[str, DataStatistics]


class Observer(Protocol[T]):
    """Whoever wants to look at what a check decodes anyway, as the doctor does."""

    def measure(self, item: Item, image: NDArray[np.uint8] | None, mask: NDArray[np.uint8] | None) -> T:
        """Called in a worker thread. image (H, W, 3) and mask (H, W) are None where they cannot be read."""

    def collect(self, split: str, item: Item, measured: T) -> None:
        """Called in the thread of the check, item after item in the order of the data set."""


@dataclass(frozen=True)
class _Finding:
    problems: tuple[Problem, ...]
    size: tuple[int, int] | None = None
    counts: Counts | None = None


def check(
    dataset: Dataset,
    splits: Sequence[str] = ("train", "val"),
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    observer: Observer[T] | None = None,
) -> CheckReport:
    """Decode every picture and mask of the splits, in parallel, and collect all that is wrong.

    Memory does not grow with the data set, but for the problems found: counts are summed as they come.

    Args:
        dataset: as `open_dataset` returns it.
        splits: those that the data set does not have are left out.
        workers: threads (decoding releases the interpreter's lock); None: one per core, at most 16.
        progress: called from this thread with (done, total) after each item.
        observer: looks at each item, too.
    """
    present = [split for split in splits if dataset.splits.get(split)]
    total = sum(len(dataset.splits[split]) for split in present)
    threads = workers or min(16, _cores())
    problems, statistics, done = list(dataset.problems), dict[str, DataStatistics](), 0
    pool = ThreadPoolExecutor(threads)
    try:
        for split in present:
            tally = Tally(dataset.labels.num_classes)
            work = partial(_inspect, dataset, observer)
            for item, (finding, measured) in _in_order(pool, work, dataset.splits[split], 4 * threads):
                tally.add(finding.size, finding.counts)
                problems += finding.problems
                if observer is not None and measured is not None:
                    observer.collect(split, item, measured)
                done += 1
                if progress is not None:
                    progress(done, total)
            statistics[split] = tally.statistics()
            problems += _nothing_to_learn(dataset, split, statistics[split])
    finally:
        pool.shutdown(cancel_futures=True)
    # What opening saw by a file's name, reading may have found again.
    return CheckReport(tuple(dict.fromkeys(problems)), statistics)


def _in_order(
    pool: ThreadPoolExecutor, work: Callable[[Item], R], items: Sequence[Item], ahead: int
) -> Iterator[tuple[Item, R]]:
    """As `pool.map`, with a bounded number of items under way: 100,000 futures at once would be memory for nothing."""
    waiting: deque[tuple[Item, Future[R]]] = deque()
    for item in items:
        waiting.append((item, pool.submit(work, item)))
        if len(waiting) > ahead:
            first, future = waiting.popleft()
            yield first, future.result()
    for first, future in waiting:
        yield first, future.result()


def _cores() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS and Windows
        return os.cpu_count() or 1


def _inspect(dataset: Dataset, observer: Observer[T] | None, item: Item) -> tuple[_Finding, T | None]:
    """Both files are read even if one is broken: each problem is reported in the first run."""
    problems: list[Problem] = []
    image = mask = None
    try:
        image = read_image(item.image)
    except FileError as error:
        problems.append(error.problem)
    if item.mask is not None:
        try:
            mask = dataset.read_mask(item.mask)
            if image is not None:
                require_same_size(item, image, mask)
        except FileError as error:
            problems.append(error.problem)
    measured = None if observer is None else observer.measure(item, image, mask)
    size = None if image is None else (image.shape[1], image.shape[0])
    if mask is None or item.mask is None or problems:
        return _Finding(tuple(problems), size), measured
    counts = np.bincount(mask.ravel(), minlength=IGNORE_INDEX + 1).astype(np.int64)
    if counts[IGNORE_INDEX] == mask.size:
        problems.append(
            Problem("void", item.mask, "is void everywhere", "a labelled pixel", "remove the pair", severity="warning")
        )
    return _Finding(tuple(problems), size, counts), measured


def _nothing_to_learn(dataset: Dataset, split: str, statistics: DataStatistics) -> list[Problem]:
    """One mask of void, or of one class, is odd; a split of nothing else cannot be trained or scored on."""
    if statistics.masks == 0:
        return []
    shown = np.flatnonzero(statistics.pixel_count)
    masks = count_of(statistics.masks, "mask")
    if shown.size == 0:
        found = f"has no labelled pixel in split '{split}' ({masks})"
        return [Problem("void", dataset.root, found, "masks with classes", "look at what the masks' values mean")]
    if split != "train" or shown.size > 1 or dataset.labels.num_classes == 1:
        return []
    found = f"shows {dataset.labels.names[shown[0]]} and nothing else in its training masks ({masks})"
    remedy = "look at how they were exported"
    if statistics.void_count:
        share = f"{100 * statistics.void_share:.2g} %"
        remedy = f"{share} of their pixels count as void: if 255 means a class, give it `value: 255` in classes.yaml"
    return [Problem("one-class", dataset.root, found, "two classes at least, to tell apart", remedy)]


def raise_for_problems(problems: Iterable[Problem], dataset: Dataset, shown_per_kind: int = _SHOWN_PER_KIND) -> None:
    """One DataError with a line for each problem of severity "error"; nothing happens where there is none.

    At most `shown_per_kind` lines of a kind, then how many more there are.
    """
    wrong = [problem for problem in problems if problem.severity == "error"]
    if not wrong:
        return
    if len(wrong) == 1:
        only = wrong[0]
        raise DataError(f"{only.path} {only.found}", only.expected, only.remedy)
    lines = [f"{len(wrong)} problems in {dataset.root}:"]
    for kind in dict.fromkeys(problem.kind for problem in wrong):
        lines += _lines([problem for problem in wrong if problem.kind == kind], dataset.root, shown_per_kind)
    raise DataError("\n".join(lines))


def _lines(problems: list[Problem], root: Path, limit: int) -> list[str]:
    """Lines for problems of one kind; what to do is said once where it is the same for all."""
    remedies = {problem.remedy for problem in problems}
    lines = [f"  {problem.line(root, remedy=len(remedies) > 1)}" for problem in problems[:limit]]
    if len(problems) > limit:
        lines.append(f"  ... and {len(problems) - limit} more of this kind ({problems[0].kind})")
    remedy = next(iter(remedies))
    return [*lines, f"  -> {remedy}"] if len(remedies) == 1 and remedy else lines
