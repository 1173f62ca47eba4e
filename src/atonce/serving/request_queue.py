"""Who is served when: a queue of known length before the one thread that uses the network."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import TypeVar

import anyio
import anyio.to_thread
from starlette.requests import Request

from atonce.serving.refusal import Abandoned, Refusal

T = TypeVar("T")

WAITING = ("queue", "wait")
"""Steps that are none: for a place, then for the network."""

# While the network is at work on one picture, the next is decoded or the last one's answer is written.
_AT_WORK = 2


class Visit:
    """A picture on its way. Its client may go; then `go_on` raises Abandoned."""

    def __init__(self, network: ThreadPoolExecutor) -> None:
        self._network, self._gone = network, threading.Event()
        self._marks, self._last = dict[str, float](), time.perf_counter()

    def go_on(self, *_: object) -> None:
        """Called between two steps of the work."""
        if self._gone.is_set():
            raise Abandoned

    def leave(self) -> None:
        """The client has gone."""
        self._gone.set()

    def done(self, step: str) -> None:
        """A step has been finished: its time runs from the one before."""
        now = time.perf_counter()
        self._marks[step], self._last = 1000 * (now - self._last), now

    @property
    def milliseconds(self) -> dict[str, float]:
        """Of each step so far, and all together."""
        found = {step: round(value, 1) for step, value in self._marks.items()}
        return found | {"total": round(sum(self._marks.values()), 1)}

    @property
    def seconds_of_work(self) -> float:
        """Without the waiting."""
        return sum(value for step, value in self._marks.items() if step not in WAITING) / 1000

    def with_network(self, work: Callable[[], T]) -> T:
        """Do it in the network's own thread, one visit after the other; every thread would have threads of its own."""

        def unless_gone() -> T:
            self.go_on()
            self.done("wait")
            return work()

        return self._network.submit(unless_gone).result()


class Desk:
    """Lets two pictures be worked on and `queue` of them wait.

    One network at a time: engines use all cores for one picture, and memory is that of one picture.
    """

    def __init__(self, queue: int) -> None:
        self.queue = queue
        self._network = ThreadPoolExecutor(1, "network")
        self._usual_seconds = 1.0

    @cached_property
    def _places(self) -> anyio.CapacityLimiter:
        # Belongs to the event loop that is running when it is first needed.
        return anyio.CapacityLimiter(_AT_WORK)

    @property
    def waiting(self) -> int:
        return self._places.statistics().tasks_waiting

    @property
    def at_work(self) -> int:
        return self._places.statistics().borrowed_tokens

    def check(self) -> None:
        """Raises Refusal (503): the queue is full."""
        if self.at_work == _AT_WORK and self.waiting >= self.queue:
            after = min(math.ceil(self._usual_seconds * (self.waiting + 1)), 600)
            found = f"{self.at_work + self.waiting} pictures are in work or waiting"
            raise Refusal(503, found, remedy=f"try again in {after} s", retry_after=after)

    async def serve(self, request: Request, work: Callable[[Visit], T]) -> T:
        """Do the work in a thread, when it is this request's turn; its body has been read.

        A client that goes loses its place in the queue; work that has begun ends at its next step, and its place is
        free only then.

        Raises:
            Refusal: the queue is full.
            Abandoned: the client has gone.
        """
        self.check()
        visit = Visit(self._network)
        outcome: list[T] = []
        failure: Exception | None = None
        async with anyio.create_task_group() as group:
            group.start_soon(_watch, request, visit, group.cancel_scope)
            try:
                outcome.append(await anyio.to_thread.run_sync(work, visit, limiter=self._places))
            except Exception as error:
                # Raised from here it would come out as a group of errors.
                failure = error
            finally:
                visit.leave()
            group.cancel_scope.cancel()
        if failure:
            raise failure
        if not outcome:
            raise Abandoned
        self._usual_seconds += 0.2 * (visit.seconds_of_work - self._usual_seconds)
        return outcome[0]

    def now(self, work: Callable[[Visit], T]) -> T:
        """Do it at once, before there are clients."""
        return work(Visit(self._network))


async def _watch(request: Request, visit: Visit, scope: anyio.CancelScope) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
    visit.leave()
    scope.cancel()
