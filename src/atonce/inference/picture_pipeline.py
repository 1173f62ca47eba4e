"""Many pictures through a network: read ahead, segmented side by side, finished behind, in bounded memory.

A worker takes a few pictures, reads them, segments them and finishes each of them: writes its files, or counts its
pixels. While one worker reads or writes, another one computes.

On a CPU each worker computes in one thread, picture by picture. Threads that share a picture wait for each other at
every layer, and for the one that reads and writes; whole pictures side by side keep all cores busy. And what a picture
gives depends neither on its neighbours nor on the number of threads, processes or machines: in a batch, or with other
threads, oneDNN takes other kernels, and sums end in other bits. Batches of four would save 8 % of the time. The
exceptions are pictures that are fewer than the workers, and those too large for one: all threads share each of them.

On a GPU, pictures of one size go through the network together, one worker at a time, and the others read and write
meanwhile; there the last bits depend on the batch. So do engines with threads of their own, picture by picture.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from atonce.adaptive_threads import compute_threads
from atonce.errors import UserError
from atonce.inference.engines import IN_TORCH
from atonce.inference.network_predictor import NetworkPredictor
from atonce.inference.pixel_limit import computed_pixels
from atonce.inference.predictor import Predictor
from atonce.inference.result import Result
from atonce.inference.segmenter import Segmenter
from atonce.progress import ProgressCallback

_WORKER_BYTES = 384 << 20
"""The most that a worker's pictures may take. Those that are larger are segmented one after the other by all
threads together."""

_WAITING = 2
"""Groups of pictures that are ready or in work beyond the number of workers."""

_LEAST_WORKERS = 3
"""The fewest workers where one computes at a time: one reads, one computes, one writes."""


class Loaded(Protocol):
    """A picture that was read."""

    @property
    def image(self) -> NDArray[np.uint8]:
        """The picture, uint8 (H, W, 3) RGB."""


SourceT = TypeVar("SourceT")
SourceIn = TypeVar("SourceIn", contravariant=True)
LoadedT = TypeVar("LoadedT", bound=Loaded)
DoneT = TypeVar("DoneT")
DoneOut = TypeVar("DoneOut", covariant=True)


class PictureWork(Protocol[SourceIn, LoadedT, DoneOut]):
    """The work on each picture beside the network; all but `size_of` is called by several threads at once."""

    def size_of(self, source: SourceIn, /) -> tuple[int, int] | None:
        """Return (height, width) as the file's header has it; None where it does not tell."""

    def load(self, source: SourceIn, /) -> LoadedT:
        """Read a picture. Raises UserError."""

    def finish(self, source: SourceIn, loaded: LoadedT, result: Result, /) -> DoneOut:
        """Do what is to be done with a result. Raises UserError."""


@dataclass(frozen=True)
class Outcome(Generic[DoneT]):
    """The outcome of a picture: `get` returns what `PictureWork.finish` did, or raises the error of the user's."""

    done: DoneT | None = None
    error: UserError | None = None

    def get(self) -> DoneT:
        """Return what was done. Raises UserError."""
        if self.error is not None:
            raise self.error
        return self.done  # type: ignore[return-value]


def segment_pictures(
    segmenter: Segmenter,
    sources: Sequence[SourceT],
    work: PictureWork[SourceT, LoadedT, DoneT],
    *,
    total: int | None = None,
    progress: ProgressCallback | None = None,
) -> Generator[tuple[SourceT, Outcome[DoneT]], None, None]:
    """Segment pictures, and yield each with its outcome, in their order.

    When the caller stops asking (an error, Ctrl-C), what is being finished is finished, and nothing else is begun. A
    caller that keeps the generator under a name closes it (`contextlib.closing`): with an error that name lives on in
    the traceback, and so do the workers, until the garbage collector comes by; if that is in one of them, it cannot
    wait for its own end.

    Args:
        segmenter: a `Predictor`, or something around one, which it has as its attribute `network`; any other network is
            called by one thread at a time.
        total: the number of pictures that these are a part of: where processes share them, or some were done before.
            What a picture gives is then what it gives among all of them.
        progress: called with the tiles done and all tiles of each picture that all threads segment together.
    """
    plan = _Plan(segmenter, compute_threads())
    if (len(sources) if total is None else total) < plan.workers:
        for source in sources:
            yield source, _segment_alone(segmenter, source, work, progress)
        return
    pool = _Pool(segmenter, work, plan)
    coming = deque[tuple[list[SourceT], "Future[list[Outcome[DoneT]]] | None"]]()
    groups = _groups(sources, work, plan)
    try:
        while True:
            # Behind a picture that all threads take nobody computes.
            while len(coming) < plan.workers + _WAITING and not (coming and coming[-1][1] is None):
                group, alone = next(groups, ([], False))
                if not group:
                    break
                coming.append((group, None if alone else pool.submit(group)))
            if not coming:
                return
            group, future = coming.popleft()
            if future is not None:
                yield from zip(group, future.result(), strict=True)
            else:
                yield group[0], _segment_alone(segmenter, group[0], work, progress)
    finally:
        pool.stop()


class _Plan:
    """The number of pictures that are worked on at once, and their workers."""

    def __init__(self, segmenter: Segmenter, threads: int) -> None:
        network = getattr(segmenter, "network", segmenter)
        self._predictor = network if isinstance(network, Predictor) else None
        self.side_by_side = isinstance(network, NetworkPredictor) and network.computes_in_calling_thread
        # A network that nobody knows is given all threads, one picture at a time.
        self.threads_of_worker = threads if self._predictor is None else 1
        self.workers = threads if self.side_by_side else max(threads, _LEAST_WORKERS)
        channels = segmenter.labels.num_classes
        # The picture, its labels and overlay; logits at the network's size and at that of the picture.
        self._bytes = 12 + 8 * channels
        if self.side_by_side and self._predictor:
            # Activations of the first block, three at a time: input and output of a convolution, and a copy.
            self._bytes += 12 * self._predictor.model.trunk.channels[0]

    def together(self, size: tuple[int, int] | None) -> int:
        """Return how many pictures of (height, width) a worker takes at once; 0 where all threads take one."""
        if size is None or self._predictor is None:
            return 1
        pixels = max(size[0] * size[1], computed_pixels(self._predictor.model_file, size))
        fit = _WORKER_BYTES // (self._bytes * pixels)
        on_gpu = isinstance(self._predictor, NetworkPredictor) and self._predictor.engine in IN_TORCH
        if self.side_by_side or not on_gpu:
            return min(fit, 1)
        return min(fit, self._predictor.batch_size_for(size))


def _groups(
    sources: Sequence[SourceT], work: PictureWork[SourceT, LoadedT, DoneT], plan: _Plan
) -> Iterator[tuple[list[SourceT], bool]]:
    """Yield neighbours of one size, and whether all threads take them, one picture then; few at the end, so that no
    worker is left alone with many."""
    group, group_size, most = list[SourceT](), None, 0
    for index, source in enumerate(sources):
        size = work.size_of(source)
        if group and (size != group_size or len(group) >= most):
            yield group, False
            group = []
        if not group:
            group_size, fit = size, plan.together(size)
            if fit == 0:
                yield [source], True
                continue
            most = min(fit, -(-(len(sources) - index) // plan.workers))
        group.append(source)
    if group:
        yield group, False


class _Pool(Generic[SourceT, LoadedT, DoneT]):
    """The workers."""

    def __init__(self, segmenter: Segmenter, work: PictureWork[SourceT, LoadedT, DoneT], plan: _Plan) -> None:
        self._segmenter, self._work = segmenter, work
        self._turn: AbstractContextManager[object] = nullcontext() if plan.side_by_side else threading.Lock()
        self._stopped = threading.Event()
        threads = torch.get_num_threads()
        self._threads = ThreadPoolExecutor(plan.workers, "pictures")
        # torch's number of threads is that of the thread that sets it, and of those that begin later: all begin here.
        everyone = threading.Barrier(plan.workers + 1)
        for _ in range(plan.workers):
            self._threads.submit(_begin, everyone, plan.threads_of_worker)
        everyone.wait()
        torch.set_num_threads(threads)

    def submit(self, group: list[SourceT]) -> Future[list[Outcome[DoneT]]]:
        return self._threads.submit(self._segment, group)

    def stop(self) -> None:
        """Begin nothing more, and wait for what is being finished: no file is left half-written."""
        self._stopped.set()
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _segment(self, group: list[SourceT]) -> list[Outcome[DoneT]]:
        outcomes: dict[int, Outcome[DoneT]] = {}
        loaded: dict[int, LoadedT] = {}
        for index, source in enumerate(group):
            self._require_wanted()
            try:
                loaded[index] = self._work.load(source)
            except UserError as error:
                outcomes[index] = Outcome(error=error)
        with self._turn:
            self._require_wanted()
            results = _segment_together(self._segmenter, [one.image for one in loaded.values()])
        for (index, one), result in zip(loaded.items(), results, strict=True):
            self._require_wanted()
            outcomes[index] = _finished(self._work, group[index], one, result)
        return [outcomes[index] for index in range(len(group))]

    def _require_wanted(self) -> None:
        if self._stopped.is_set():
            raise _Stopped


class _Stopped(Exception):
    """Nobody wants the pictures any more."""


def _begin(everyone: threading.Barrier, threads: int) -> None:
    # Asked once, torch does not set this thread's number by itself when it first computes.
    torch.get_num_threads()
    torch.set_num_threads(threads)
    everyone.wait()


def _segment_alone(
    segmenter: Segmenter,
    source: SourceT,
    work: PictureWork[SourceT, LoadedT, DoneT],
    progress: ProgressCallback | None,
) -> Outcome[DoneT]:
    """Segment a picture with all threads."""
    try:
        loaded = work.load(source)
    except UserError as error:
        return Outcome(error=error)
    if not isinstance(segmenter, Predictor):
        return _finished(work, source, loaded, segmenter(loaded.image))
    result = segmenter.segment(loaded.image, progress)
    return _finished(work, source, loaded, segmenter.annotated(result, None, ()))


def _finished(
    work: PictureWork[SourceT, LoadedT, DoneT], source: SourceT, loaded: LoadedT, result: Result
) -> Outcome[DoneT]:
    try:
        return Outcome(work.finish(source, loaded, result))
    except UserError as error:
        return Outcome(error=error)


def _segment_together(segmenter: Segmenter, images: Sequence[NDArray[np.uint8]]) -> list[Result]:
    """Segment pictures whose headers say that they are of one size; lying and standing ones may be among them."""
    if not isinstance(segmenter, Predictor):
        return [segmenter(image) for image in images]
    if len({image.shape for image in images}) > 1:
        results = [segmenter.segment(image) for image in images]
    else:
        results = segmenter.segment_together(images)
    return [segmenter.annotated(result, None, ()) for result in results]
