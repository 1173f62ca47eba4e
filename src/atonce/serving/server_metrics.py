"""Metrics of the server as Prometheus reads them: requests by status, times of the steps, the queue, refusals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    ProcessCollector,
    generate_latest,
)

from atonce.serving.paths import PATHS
from atonce.serving.request_queue import RequestQueue
from atonce.version import __version__

_METHODS = ("GET", "HEAD", "POST", "OPTIONS")
"""Methods that requests are counted by; those of strangers' invention count as "other", and so do paths."""

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
"""Upper bounds of the histograms' buckets: from a small picture on a GPU to a huge one on a busy CPU."""


class ServerMetrics:
    """The counters of one server.

    Args:
        queue: whose length and capacity are read when somebody asks.
        model: "file" and "fingerprint", the labels of atonce_model_info.
        engine: a label of it, too.
    """

    def __init__(self, queue: RequestQueue, model: Mapping[str, str], engine: str) -> None:
        # One of its own: the package's global one would count two servers of a process together.
        self._registry = registry = CollectorRegistry()
        self._requests = Counter(
            "atonce_requests", "Requests that were answered.", ["method", "path", "status"], registry=registry
        )
        self._seconds = Histogram(
            "atonce_request_seconds",
            "Time from the head of a request to the end of its answer.",
            ["path"],
            registry=registry,
            buckets=_SECONDS,
        )
        self._steps = Histogram(
            "atonce_step_seconds",
            "Time of each step of a picture that was segmented; queue and wait are waiting.",
            ["step"],
            registry=registry,
            buckets=_SECONDS,
        )
        self._refusals = Counter("atonce_refusals", "Requests that were refused.", ["reason"], registry=registry)
        for name, about, read in (
            ("atonce_pictures_waiting", "Pictures in the queue.", lambda: queue.waiting),
            (
                "atonce_pictures_in_progress",
                "Pictures that are decoded, segmented or encoded.",
                lambda: queue.in_progress,
            ),
            ("atonce_queue_capacity", "Pictures that may wait.", lambda: queue.max_waiting),
        ):
            Gauge(name, about, registry=registry).set_function(read)
        about_model = {"version": __version__, "engine": engine, **model}
        Info("atonce_model", "The model that is served.", registry=registry).info(about_model)
        ProcessCollector(registry=registry)

    def count_request(self, method: str, path: str, *, status: int, seconds: float, reason: str | None) -> None:
        """Count a request that was answered.

        Args:
            seconds: from its head to the end of its answer.
            reason: why it was refused; None where it was not.
        """
        path = path if path in PATHS else "other"
        method = method if method in _METHODS else "other"
        self._requests.labels(method, path, str(status)).inc()
        self._seconds.labels(path).observe(seconds)
        if reason:
            self._refusals.labels(reason).inc()

    def observe_steps(self, milliseconds: Mapping[str, float]) -> None:
        """Take the times of a picture's steps, see `QueuedRequest.milliseconds`; called in any thread."""
        for step, value in milliseconds.items():
            if step != "total":
                self._steps.labels(step).observe(value / 1000)

    def exposition(self) -> tuple[bytes, str]:
        """Return all metrics in Prometheus' text format, and its media type."""
        content: Any = generate_latest(self._registry)
        return content, CONTENT_TYPE_LATEST
