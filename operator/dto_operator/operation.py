"""The operator put together: who knows whom, and in which order things start and end."""

import logging
import socket
import time
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from dto_jobs.metrics import Sample
from dto_jobs.resource import KIND
from dto_operator import handlers
from dto_operator.background import WORKERS, Background
from dto_operator.cluster import Cluster, MissingError, connected
from dto_operator.conductor import Conductor, Decide, Tools
from dto_operator.health import Health, operator_samples, served
from dto_operator.leadership import Leadership
from dto_operator.metrics import OperatorMetrics, Samples
from dto_operator.pace import Pace
from dto_operator.run_samples import RunSamples
from dto_operator.settings import OperatorSettings
from dto_operator.sightings import Sightings
from dto_operator.work_queue import WorkQueue

log = logging.getLogger("dto_operator")

CRD_SECONDS = 2.0


def operate(settings: OperatorSettings, decide: Decide) -> None:
    """Drive runs until a signal ends the process."""
    identity = settings.identity or socket.gethostname()
    # One connection for each worker, and one for each of the threads that also ask.
    cluster = connected(Pace(settings.requests_per_second), identity, WORKERS + 4)
    _operate(cluster, identity, settings, decide)


def _operate(cluster: Cluster, identity: str, settings: OperatorSettings, decide: Decide) -> None:
    tools = Tools(cluster, Sightings(), WorkQueue(), OperatorMetrics(), {})
    leadership = None
    if settings.leader_election:
        leadership = Leadership(cluster, settings.lease_namespace, identity, settings.lease_seconds)
    conductor = Conductor(tools, decide, settings)
    background = Background(tools, conductor, leadership, settings)
    health = Health(
        handlers.watches(settings),
        settings.watch_seconds,
        lambda: tools.queue.oldest_seconds,
        leading=background.leading,
    )
    server = served(health, _registered(tools, health), settings.metrics_port)
    log.info("health and metrics at port %d", server.server_port)
    _wait_for_resource(cluster, settings.namespaces[0] if settings.namespaces else None)
    background.start()

    def noticed(kind: str, held: dict[str, Any], gone: bool) -> None:  # noqa: FBT001 - called by handlers alone
        conductor.noticed(kind, held, gone=gone)

    handlers.run(settings, health, noticed, background.relisted)
    background.stop()
    server.shutdown()


def _registered(tools: Tools, health: Health) -> Any:  # noqa: ANN401 - a CollectorRegistry
    runs = RunSamples(tools.sightings, health.leading)

    def samples() -> Iterator[Sample]:
        yield from runs()
        yield from operator_samples(
            health, lambda: tools.queue.depth, lambda: dict(tools.cluster.requests.counts), _version()
        )

    tools.metrics.registry.register(Samples(samples))
    return tools.metrics.registry


def _wait_for_resource(cluster: Cluster, namespace: str | None) -> None:
    """Return when the API server knows DTORuns: kopf would not notice that it learns of them."""
    told = False
    while True:
        try:
            next(cluster.listed(KIND, namespace), None)
        except MissingError:
            if not told:
                log.warning("the API server knows no %s: apply the CRD; waiting for it", KIND)
            told = True
            time.sleep(CRD_SECONDS)
        else:
            return


def _version() -> str:
    try:
        return version("dto-operator")
    except PackageNotFoundError:
        return "unknown"
