"""A server's metrics in Prometheus' text format."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

LATENCY = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 60)  # seconds
BATCH = (1, 2, 4, 8, 16, 32, 64, 128, 256)  # images


class Metrics:
    """Metrics with their own registry, so that several servers in one process do not share counters."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "jaxgen_requests", "Requests answered", ["route", "method", "status"], registry=self.registry
        )
        self._seconds = Histogram(
            "jaxgen_request_seconds", "From a request to its answer", ["route"], buckets=LATENCY, registry=self.registry
        )
        self._images = Counter("jaxgen_images", "Images sampled", ["model"], registry=self.registry)
        self._batch = Histogram(
            "jaxgen_batch_size", "Images in one call of onnxruntime", buckets=BATCH, registry=self.registry
        )
        self._queue = Gauge("jaxgen_queue_depth", "Images requested and not sampled yet", registry=self.registry)

    def answered(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count one answer; route: the path's pattern, since the number of paths is unbounded."""
        self._requests.labels(route, method, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def sampled(self, model: str, count: int) -> None:
        self._images.labels(model).inc(count)

    def called(self, count: int) -> None:
        """Count one call of onnxruntime for so many images."""
        self._batch.observe(count)

    def watch_queue(self, depth: Callable[[], float]) -> None:
        """Report depth(), which is called each time the metrics are read."""
        self._queue.set_function(depth)

    def text(self) -> bytes:
        return generate_latest(self.registry)
