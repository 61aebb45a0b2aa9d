"""What a stage's process shows while it lives: `/metrics` for Prometheus, `/healthz` for whoever asks whether it is there."""

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from socketserver import ThreadingMixIn
from threading import Lock, Thread
from time import monotonic
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from dto_jobs.artifacts.artifact import Receipt
from dto_jobs.core.cost import Spend
from dto_jobs.metrics import INPUTS, INPUTS_DONE, PARTS, STAGE_INFO, TRAINING, Metric, Sample, spend_samples


@dataclass(eq=False)
class StageState(Collector):
    """How far a stage's process is: hears its progress, and is asked by the server's thread."""

    run: str
    stage: str
    attempt: int
    shard: str
    inputs: int | None = None
    done: int = 0
    parts: int = 0
    spend: Spend = field(default_factory=Spend)
    figures: dict[str, float] = field(default_factory=dict)
    _moved: float = field(default_factory=monotonic)
    _lock: Lock = field(default_factory=Lock)

    def started(self, stage: str, total: int | None, done: int) -> None:
        """Take in what there is to do."""
        del stage
        with self._lock:
            self.inputs, self.done, self._moved = total, done, monotonic()

    def advanced(self, stage: str, done: int, spend: Spend) -> None:
        """Take in what was done."""
        del stage
        with self._lock:
            self.done, self.spend, self._moved = done, spend, monotonic()

    def committed(self, stage: str) -> None:
        """Count a part."""
        del stage
        with self._lock:
            self.parts += 1

    def noted(self, stage: str, figures: dict[str, float]) -> None:
        """Take in a step of the trainer."""
        del stage
        with self._lock:
            self.figures, self._moved = dict(figures), monotonic()

    def finished(self, stage: str, receipt: Receipt, *, reused: bool) -> None:
        """Take in the receipt of a model, whose spend is told at the end."""
        del stage, reused
        with self._lock:
            if receipt.spend.trained:
                self.spend = receipt.spend
                self.done = self.inputs = receipt.records

    def health(self) -> dict[str, Any]:
        """Return how far the process is, for a person who asks."""
        with self._lock:
            idle = round(monotonic() - self._moved, 1)
            return {
                "stage": self.stage,
                "shard": self.shard,
                "done": self.done,
                "inputs": self.inputs,
                "idleSeconds": idle,
            }

    def samples(self) -> Iterator[Sample]:
        """Yield every sample there is."""
        yield STAGE_INFO, (self.run, self.stage, str(self.attempt), self.shard), 1
        if self.inputs is not None:
            yield INPUTS, (self.stage,), self.inputs
        yield INPUTS_DONE, (self.stage,), self.done
        yield PARTS, (self.stage,), self.parts
        yield from spend_samples(self.stage, self.spend)
        for name, value in self.figures.items():
            if name in TRAINING:
                yield TRAINING[name], (self.stage,), value

    def collect(self) -> Iterable[Family]:
        """Return the samples as the client library's families."""
        with self._lock:
            samples = list(self.samples())
        families: dict[str, Family] = {}
        for metric, labels, value in samples:
            family = families.setdefault(metric.name, _family(metric))
            family.add_metric(labels, value)  # type: ignore[attr-defined] # both kinds have it
        return families.values()


def _family(metric: Metric) -> Family:
    kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
    return kind(metric.name.removesuffix("_total"), metric.meaning, labels=metric.labels)


class _Quiet(WSGIRequestHandler):
    """Answers without a line in the log for each time it is asked."""

    def log_message(self, *_words: object) -> None:
        """Say nothing."""


class _Server(ThreadingMixIn, WSGIServer):
    """Answers each client in a thread of its own, so that none has to wait for one that is slow."""

    daemon_threads = True


@contextmanager
def served(state: StageState, port: int | None) -> Iterator[int | None]:
    """Answer on a port (0: any free one) as long as the context lasts; hand out the port. None: answer nowhere."""
    if port is None:
        yield None
        return
    registry = CollectorRegistry(auto_describe=False)
    registry.register(state)
    with make_server("", port, _application(state, make_wsgi_app(registry)), _Server, _Quiet) as server:
        # A daemon: a client that holds its connection open must not keep the process alive.
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()


def _application(state: StageState, metrics: Callable[..., Iterable[bytes]]) -> Callable[..., Iterable[bytes]]:
    def application(environment: dict[str, Any], respond: Callable[..., Any]) -> Iterable[bytes]:
        match environment["PATH_INFO"]:
            case "/metrics":
                return metrics(environment, respond)
            case "/healthz":
                respond("200 OK", [("Content-Type", "application/json")])
                return [json.dumps(state.health()).encode()]
            case _:
                respond("404 Not Found", [("Content-Type", "text/plain")])
                return [b"there are /metrics and /healthz\n"]

    return application
