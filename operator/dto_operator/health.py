"""What the operator says about itself: `/healthz`, `/readyz` and `/metrics`, from a thread of its own that a stuck loop does not stop."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app

from dto_jobs.metrics import Sample
from dto_operator.metrics import AGE, BUILD, DEPTH, LAG, LEADER, REQUESTS, WATCH_AGE, WATCH_ALLOWED

SLOW_QUEUE_SECONDS = 300.0
SLOW_LOOP_SECONDS = 30.0
SPARE_SECONDS = 60.0
"""A watch is renewed by the server every `watch_seconds`, and by ourselves soon after; so much longer is silence."""


@dataclass(eq=False)
class Health:
    """Signs of life, and what they say."""

    watched: tuple[str, ...]
    """What is watched, by plural and namespace: each must be heard of."""
    watch_seconds: float
    queue_age: Callable[[], float]
    clock: Callable[[], float] = time.monotonic
    leading: Callable[[], bool] = lambda: True
    _watches: dict[str, float] = field(default_factory=dict)
    _turned: float | None = None
    _began: float = 0.0

    def __post_init__(self) -> None:
        """Begin to wait for signs of life."""
        self._began = self.clock()

    def watch_renewed(self, watch: str) -> None:
        """Take note that a watch was begun or renewed."""
        self._watches[watch] = self.clock()

    def loop_turned(self) -> None:
        """Take note that the loop goes round."""
        self._turned = self.clock()

    def watch_ages(self) -> dict[str, float]:
        """Return for how long each watch was not renewed, since the start for one that never was."""
        return {watch: self.clock() - self._watches.get(watch, self._began) for watch in self.watched}

    @property
    def watch_allowed(self) -> float:
        """For how long a watch may go without being renewed."""
        return 2 * self.watch_seconds + SPARE_SECONDS

    @property
    def lag(self) -> float:
        """For how long the loop has not turned."""
        return self.clock() - (self._turned if self._turned is not None else self._began)

    def troubles(self) -> list[str]:
        """Return what is wrong, in words; nothing where the operator is well."""
        silent = [
            f"the watch of {watch} was not renewed for {age:.0f} s"
            for watch, age in self.watch_ages().items()
            if age > self.watch_allowed
        ]
        slow = [] if self.lag <= SLOW_LOOP_SECONDS else [f"the loop did not turn for {self.lag:.0f} s"]
        # Who does not lead lets the queue lie.
        waiting = self.queue_age() if self.leading() else 0.0
        old = [] if waiting <= SLOW_QUEUE_SECONDS else [f"a run has waited for {waiting:.0f} s to be looked at"]
        return silent + slow + old

    def missing(self) -> list[str]:
        """Return what the operator has not heard of yet: it is ready when there is nothing."""
        return [f"{watch} is not watched yet" for watch in self.watched if watch not in self._watches]


def operator_samples(
    health: Health, depth: Callable[[], int], requests: Callable[[], dict[tuple[str, str], int]], version: str
) -> Iterator[Sample]:
    """Yield how the operator is."""
    yield BUILD, (version,), 1
    yield LEADER, (), float(health.leading())
    yield DEPTH, (), depth()
    yield AGE, (), health.queue_age()
    yield LAG, (), health.lag
    yield WATCH_ALLOWED, (), health.watch_allowed
    for watch, age in health.watch_ages().items():
        yield WATCH_AGE, (watch,), age
    for labels, amount in requests().items():
        yield REQUESTS, labels, amount


class _Quiet(WSGIRequestHandler):
    """Answers without a line of log for each probe."""

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


class _Server(ThreadingMixIn, WSGIServer):
    """Answers several at a time."""

    daemon_threads = True


def served(health: Health, registry: CollectorRegistry, port: int) -> WSGIServer:
    """Serve from now on and return the server; its `shutdown` ends that."""
    metrics: Callable[..., Iterable[bytes]] = make_wsgi_app(registry)

    def application(environment: dict[str, Any], respond: Callable[..., Any]) -> Iterable[bytes]:
        match environment["PATH_INFO"]:
            case "/metrics":
                return metrics(environment, respond)
            case "/healthz":
                return _answer(respond, health.troubles())
            case "/readyz":
                return _answer(respond, [*health.missing(), *health.troubles()])
            case _:
                respond("404 Not Found", [("Content-Type", "text/plain")])
                return [b"there are /metrics, /healthz and /readyz\n"]

    # Every address of the pod: kubelet and Prometheus ask from outside.
    server = make_server("", port, application, server_class=_Server, handler_class=_Quiet)
    threading.Thread(target=server.serve_forever, name="health", daemon=True).start()
    return server


def _answer(respond: Callable[..., Any], troubles: list[str]) -> Iterable[bytes]:
    respond("503 Service Unavailable" if troubles else "200 OK", [("Content-Type", "text/plain")])
    return [("\n".join(troubles or ["ok"]) + "\n").encode()]
