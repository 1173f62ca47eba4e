"""Read a whole data set before anything is trained on it: every problem in one message, and the statistics."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from atonce.data.class_statistics import Counts, DataStatistics, StatisticsAccumulator
from atonce.data.dataset import Dataset, Item, require_same_size
from atonce.data.fingerprint import fingerprint
from atonce.data.image_checks import image_problems, page_problems
from atonce.data.images import FileError, Problem, read_image
from atonce.errors import DataError, DataErrorOfLines, one_line
from atonce.labels import IGNORE_INDEX
from atonce.progress import ProgressCallback
from atonce.text import count_of
from atonce.threads import decoding_threads

__all__ = ["CheckReport", "DataStatistics", "ItemInspector", "check", "fingerprint", "raise_for_problems"]

T = TypeVar("T")
R = TypeVar("R")

_SHOWN_PER_KIND = 20
_SHOWN_OF_VALUES = 5
"""Masks of values that are no class: where one is, most are, and what to do is the same for all."""


@dataclass(frozen=True)
class CheckReport:
    """The result of a check.

    Attributes:
        problems: all of them, those found on opening first.
        statistics: split that was checked -> counts over its masks.
    """

    problems: tuple[Problem, ...]
    statistics: Mapping[str, DataStatistics]


class ItemInspector(Protocol[T]):
    """A further inspection of each picture and mask, while the check has them decoded; the doctor has one."""

    def inspect(self, item: Item, image: NDArray[np.uint8] | None, mask: NDArray[np.uint8] | None) -> T:
        """Measure one item, in a worker thread.

        Args:
            image: uint8 (H, W, 3) RGB; None where it cannot be read.
            mask: uint8 (H, W) ids, 255 void; None where it cannot be read.
        """

    def collect(self, split: str, item: Item, inspected: T) -> None:
        """Take what `inspect` returned, in the thread of the check, item after item in the order of the data set."""


@dataclass(frozen=True)
class _Finding:
    """The check's record of one item: problems, (width, height) of the picture, pixels of each id, int64 (256,)."""

    problems: tuple[Problem, ...]
    size: tuple[int, int] | None = None
    counts: Counts | None = None


def check(
    dataset: Dataset,
    splits: Sequence[str] = ("train", "val"),
    *,
    workers: int | None = None,
    progress: ProgressCallback | None = None,
    inspector: ItemInspector[T] | None = None,
) -> CheckReport:
    """Decode every picture and mask of the splits, in parallel, and collect all that is wrong.

    Memory does not grow with the data set, but for the problems found: counts are summed as they come.

    Args:
        dataset: as `open_dataset` returns it.
        splits: those that the data set does not have are left out.
        workers: threads (decoding releases the interpreter's lock); None: see `decoding_threads`.
        progress: called from this thread after each item, with pictures.
        inspector: sees each item, too.
    """
    present = [split for split in splits if dataset.splits.get(split)]
    total = sum(len(dataset.splits[split]) for split in present)
    threads = workers or decoding_threads()
    problems, statistics, done = list(dataset.problems), dict[str, DataStatistics](), 0
    pool = ThreadPoolExecutor(threads)
    try:
        for split in present:
            accumulated = StatisticsAccumulator(dataset.labels.num_classes)
            work = partial(_check_item, dataset, inspector)
            for item, (finding, inspected) in _map_in_order(pool, work, dataset.splits[split], ahead=4 * threads):
                accumulated.add(finding.size, finding.counts)
                problems += finding.problems
                if inspector is not None and inspected is not None:
                    inspector.collect(split, item, inspected)
                done += 1
                if progress is not None:
                    progress(done, total)
            statistics[split] = accumulated.statistics()
            problems += _unusable_split(dataset, split, statistics[split])
    finally:
        pool.shutdown(cancel_futures=True)
    # What opening saw by a file's name, reading may have found again.
    return CheckReport(tuple(dict.fromkeys(problems)), statistics)


def _map_in_order(
    pool: ThreadPoolExecutor, work: Callable[[Item], R], items: Sequence[Item], *, ahead: int
) -> Iterator[tuple[Item, R]]:
    """Yield (item, work(item)) in the order of the items, with at most `ahead` of them under way: `pool.map` would hold
    100,000 futures at once."""
    waiting: deque[tuple[Item, Future[R]]] = deque()
    for item in items:
        waiting.append((item, pool.submit(work, item)))
        if len(waiting) > ahead:
            first, future = waiting.popleft()
            yield first, future.result()
    for first, future in waiting:
        yield first, future.result()


def _check_item(dataset: Dataset, inspector: ItemInspector[T] | None, item: Item) -> tuple[_Finding, T | None]:
    """Read both files, even if one is broken: each problem is reported in the first run."""
    problems: list[Problem] = []
    image = mask = None
    try:
        image = read_image(item.image, dataset.bands)
        problems += image_problems(item.image, image, dataset.bands)
    except FileError as error:
        problems.append(error.problem)
    if item.mask is not None:
        try:
            mask = dataset.read_mask(item.mask)
            problems += page_problems(item.mask) if isinstance(item.mask, Path) else []
            if image is not None:
                require_same_size(item, image, mask)
        except FileError as error:
            problems.append(error.problem)
    inspected = None if inspector is None else inspector.inspect(item, image, mask)
    size = None if image is None else (image.shape[1], image.shape[0])
    if mask is None or item.named_mask is None or any(problem.severity == "error" for problem in problems):
        return _Finding(tuple(problems), size), inspected
    counts = np.bincount(mask.ravel(), minlength=IGNORE_INDEX + 1).astype(np.int64)
    if counts[IGNORE_INDEX] == mask.size:
        problems.append(
            Problem(
                "void",
                item.named_mask,
                "is void everywhere",
                "a labelled pixel",
                remedy="remove the pair",
                severity="warning",
            )
        )
    return _Finding(tuple(problems), size, counts), inspected


def _unusable_split(dataset: Dataset, split: str, statistics: DataStatistics) -> list[Problem]:
    """A problem where a split holds nothing but void or one class, and so cannot be trained or scored on; one such mask
    among others is odd and no more."""
    if statistics.masks == 0:
        return []
    shown = np.flatnonzero(statistics.pixel_count)
    masks = count_of(statistics.masks, "mask")
    if shown.size == 0:
        found = f"has no labelled pixel in split '{split}' ({masks})"
        return [
            Problem("void", dataset.root, found, "masks with classes", remedy="look at what the masks' values mean")
        ]
    if split != "train" or shown.size > 1 or dataset.labels.num_classes == 1:
        return []
    found = f"shows {dataset.labels.names[shown[0]]} and nothing else in its training masks ({masks})"
    remedy = "look at how they were exported"
    if statistics.void_count:
        share = f"{100 * statistics.void_share:.2g} %"
        remedy = f"{share} of their pixels count as void: if 255 means a class, give it `value: 255` in classes.yaml"
    return [Problem("one-class", dataset.root, found, "two classes at least, to tell apart", remedy=remedy)]


def raise_for_problems(problems: Iterable[Problem], dataset: Dataset) -> None:
    """Raise one DataError with a line for each problem of severity "error"; do nothing where there is none.

    Of problems of one kind the first are named; after them stands how many more there are.
    """
    wrong = [problem for problem in problems if problem.severity == "error"]
    if not wrong:
        return
    if len(wrong) == 1:
        only = wrong[0]
        raise DataError(f"{only.path} {only.found}", only.expected, only.remedy)
    lines = [f"{len(wrong)} problems in {dataset.root}:"]
    for kind in dict.fromkeys(problem.kind for problem in wrong):
        limit = _SHOWN_OF_VALUES if kind == "values" else _SHOWN_PER_KIND
        lines += _lines([problem for problem in wrong if problem.kind == kind], dataset.root, limit)
    raise DataErrorOfLines("\n".join(map(one_line, lines)))


def _lines(problems: list[Problem], root: Path, limit: int) -> list[str]:
    """Lines for problems of one kind; what to do is said once where it is the same for all."""
    remedies = {problem.remedy for problem in problems}
    lines = [f"  {problem.line(root, remedy=len(remedies) > 1)}" for problem in problems[:limit]]
    if len(problems) > limit:
        lines.append(f"  ... and {len(problems) - limit} more of this kind ({problems[0].kind})")
    remedy = next(iter(remedies))
    return [*lines, f"  -> {remedy}"] if len(remedies) == 1 and remedy else lines
