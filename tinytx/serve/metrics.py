"""What ``GET /metrics`` tells: counts and times, in the text format of Prometheus."""

from collections.abc import Callable, Iterator

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram
from prometheus_client import generate_latest as render
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from tinytx.serve.model import Model

KNOWN = ("/", "/v1/completions", "/v1/score", "/v1/models", "/health", "/metrics", "/openapi.json")
SECONDS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100)


class Metrics:
    """Of one server; nothing in them comes from a prompt or a text."""

    def __init__(self, model: Callable[[], Model | None]) -> None:
        """``model`` tells which one answers now."""
        self._registry = CollectorRegistry()
        labels = ["path", "status"]
        self._requests = Counter(
            "tinytx_requests", "Answered requests.", labels, registry=self._registry
        )
        self._seconds = Histogram(
            "tinytx_request_seconds",
            "From a request to the end of its answer.",
            ["path"],
            buckets=SECONDS,
            registry=self._registry,
        )
        self._registry.register(_Now(model))

    def answered(self, path: str, status: int, seconds: float) -> None:
        known = path if path in KNOWN else "other"
        self._requests.labels(known, str(status)).inc()
        self._seconds.labels(known).observe(seconds)

    def render(self) -> tuple[bytes, str]:
        """The text and its type."""
        return render(self._registry), CONTENT_TYPE_LATEST


class _Now(Collector):
    """What is so at the moment of asking."""

    def __init__(self, model: Callable[[], Model | None]) -> None:
        self._model = model

    def collect(self) -> Iterator[Metric]:
        model = self._model()
        if model is None:
            return
        loop = model.loop
        for name, told, value in (
            ("tinytx_slots", "Texts that can be made at once.", loop.batch.slots),
            ("tinytx_running", "Texts in the making.", loop.running),
            ("tinytx_waiting", "Texts that wait for a slot.", loop.waiting),
            ("tinytx_steps", "Runs of the graph so far.", loop.steps),
            ("tinytx_step_rows", "Rows of all runs together.", loop.step_rows),
        ):
            yield GaugeMetricFamily(name, told, value=value)
