"""Admission control: a queue of bounded length before the one thread that runs the network."""

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

from atonce.serving.request_errors import ClientDisconnected, RequestError
from atonce.text import count_of

T = TypeVar("T")

_WAITING_STEPS = ("queue", "wait")
"""Steps in which nothing is computed: waiting for a slot, then for the network."""

# While the network runs on one picture, the next is decoded or the last one's response is encoded.
_SLOTS = 2


class QueuedRequest:
    """One request on its way through the queue: whether its client is still there, and how long each step took."""

    def __init__(self, network_thread: ThreadPoolExecutor) -> None:
        self._network_thread, self._disconnected = network_thread, threading.Event()
        self._step_milliseconds, self._last = dict[str, float](), time.perf_counter()

    def raise_if_disconnected(self, *_: object) -> None:
        """Raise ClientDisconnected if the client has gone; called between two steps of the work.

        Takes any arguments, so that it can be given as a progress callback.
        """
        if self._disconnected.is_set():
            raise ClientDisconnected

    def mark_disconnected(self) -> None:
        """Note that the client has gone: the work ends at its next step."""
        self._disconnected.set()

    def finish_step(self, step: str) -> None:
        """Note that a step has been finished: its time runs from the end of the one before."""
        now = time.perf_counter()
        self._step_milliseconds[step], self._last = 1000 * (now - self._last), now

    @property
    def milliseconds(self) -> dict[str, float]:
        """The time of each step so far, and of all together ("total")."""
        found = {step: round(value, 1) for step, value in self._step_milliseconds.items()}
        return found | {"total": round(sum(self._step_milliseconds.values()), 1)}

    @property
    def processing_seconds(self) -> float:
        """The time of all steps so far but the waiting."""
        return sum(value for step, value in self._step_milliseconds.items() if step not in _WAITING_STEPS) / 1000

    def run_on_network_thread(self, work: Callable[[], T]) -> T:
        """Run `work` in the network's own thread, one request after the other.

        One thread, because torch and the other engines keep a pool of threads for every thread that calls them.

        Raises:
            ClientDisconnected: the client has gone before the thread was free.
        """

        def unless_disconnected() -> T:
            self.raise_if_disconnected()
            self.finish_step("wait")
            return work()

        return self._network_thread.submit(unless_disconnected).result()


class RequestQueue:
    """Lets two requests be in progress and `max_waiting` more wait; refuses the rest.

    One network at a time: engines use all cores for one picture, and memory is that of one picture.
    """

    def __init__(self, max_waiting: int) -> None:
        self.max_waiting = max_waiting
        self._network_thread = ThreadPoolExecutor(1, "network")
        self._average_seconds = 1.0

    @cached_property
    def stopping(self) -> anyio.Event:
        """Set when the server is about to end. It belongs to the event loop that is running when it is first needed."""
        return anyio.Event()

    def stop(self) -> None:
        """Refuse whoever waits or comes from now on; what is in progress goes on. Called in the event loop."""
        self.stopping.set()

    def shutdown_error(self) -> RequestError:
        """Build the error for requests that the end of the server meets."""
        return RequestError(
            503, "the server is being stopped", remedy="try again later", retry_after=10, reason="stopping"
        )

    @cached_property
    def _slots(self) -> anyio.CapacityLimiter:
        # Belongs to the event loop that is running when it is first needed.
        return anyio.CapacityLimiter(_SLOTS)

    @property
    def waiting(self) -> int:
        """The number of requests that wait for a slot."""
        return self._slots.statistics().tasks_waiting

    @property
    def in_progress(self) -> int:
        """The number of requests that have a slot."""
        return self._slots.statistics().borrowed_tokens

    def require_capacity(self) -> None:
        """Raise RequestError (503, with Retry-After) if the queue is full, or the server is being stopped."""
        if self.stopping.is_set():
            raise self.shutdown_error()
        if self.in_progress == _SLOTS and self.waiting >= self.max_waiting:
            after = min(math.ceil(self._average_seconds * (self.waiting + 1)), 600)
            found = f"{count_of(self.in_progress + self.waiting, 'picture')} in work or waiting"
            raise RequestError(503, found, remedy=f"try again in {after} s", retry_after=after, reason="full")

    async def run(self, request: Request, work: Callable[[QueuedRequest], T]) -> T:
        """Run `work` in a thread, when it is this request's turn; the request's body has been read.

        A client that disconnects loses its turn; work that has begun ends at its next step, and its slot is free only
        then.

        Raises:
            RequestError: the queue is full, or the server is stopped while the request waits.
            ClientDisconnected: the client has gone.
        """
        self.require_capacity()
        queued = QueuedRequest(self._network_thread)
        outcome: list[T] = []
        failure: Exception | None = None
        async with anyio.create_task_group() as group:
            group.start_soon(_watch_connection, request, queued, group.cancel_scope)
            group.start_soon(_watch_shutdown, self.stopping, group.cancel_scope)
            try:
                outcome.append(await anyio.to_thread.run_sync(work, queued, limiter=self._slots))
            except Exception as error:
                # Raised from here it would come out as a group of errors.
                failure = error
            finally:
                queued.mark_disconnected()
            group.cancel_scope.cancel()
        if failure:
            raise failure
        if not outcome:
            raise self.shutdown_error() if self.stopping.is_set() else ClientDisconnected()
        # An exponential moving average, from which Retry-After is estimated.
        self._average_seconds += 0.2 * (queued.processing_seconds - self._average_seconds)
        return outcome[0]

    def run_immediately(self, work: Callable[[QueuedRequest], T]) -> T:
        """Run `work` in the calling thread, before there are clients."""
        return work(QueuedRequest(self._network_thread))


async def _watch_connection(request: Request, queued: QueuedRequest, scope: anyio.CancelScope) -> None:
    """Cancel the request's turn when its client disconnects."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
    queued.mark_disconnected()
    scope.cancel()


async def _watch_shutdown(stopping: anyio.Event, scope: anyio.CancelScope) -> None:
    """Cancel the request's turn when the server is stopped; work that has begun is not cancelled by that."""
    await stopping.wait()
    scope.cancel()
