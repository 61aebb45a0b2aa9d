"""The kopf shell: watches of runs, Jobs and pods, whose events are handed on. The only file that knows kopf.

kopf writes nothing here: no annotations, finalizers, Events or peerings. Every watch ends after a bounded time, by the server,
by ourselves if it does not, and by silence; what a break loses is found by comparing with whole lists (`background.py`).
"""

import asyncio
import logging
import random
from collections.abc import Callable, Iterator
from typing import Any

import aiohttp
import kopf
import yarl

from dto_jobs.resource import API_VERSION, KIND
from dto_operator import names
from dto_operator.crd import PLURAL
from dto_operator.health import Health
from dto_operator.settings import OperatorSettings

log = logging.getLogger(__name__)

Noticed = Callable[[str, dict[str, Any], bool], None]
"""Hears of an object: its kind, the object, and whether it is gone."""

GROUP, VERSION = API_VERSION.split("/")
WATCHED = {PLURAL: KIND, "jobs": "Job", "pods": "Pod"}
SPARE_SECONDS = 5.0
CONNECT_SECONDS, REQUEST_SECONDS = 5.0, 20.0
PAGE = 500
FIRST_WAIT, LONGEST_WAIT = 0.2, 5.0


class Waits:
    """Growing pauses with chance in them, and no end: a watch is never given up."""

    def __iter__(self) -> Iterator[float]:
        """Yield the pauses, in seconds."""
        wait = FIRST_WAIT
        while True:
            yield wait * random.uniform(0.5, 1.5)  # noqa: S311 - no secret
            wait = min(2 * wait, LONGEST_WAIT)


class NoMemory(kopf.DiffBaseStorage):
    """Keeps no earlier state of objects: nothing here asks what changed, and copying each object at each event is costly."""

    def build(self, **_: object) -> Any:  # noqa: ANN401 - kopf's signature
        """Return that nothing matters."""
        return {}

    def fetch(self, **_: object) -> Any:  # noqa: ANN401 - kopf's signature
        """Return that nothing is known."""
        return None

    def store(self, **_: object) -> None:
        """Write nothing."""


def watches(settings: OperatorSettings) -> tuple[str, ...]:
    """Return the names of all watches, by namespace and plural."""
    return tuple(
        f"{namespace}/{plural}" if namespace else plural
        for plural in WATCHED
        for namespace in settings.namespaces or ("",)
    )


def run(settings: OperatorSettings, health: Health, noticed: Noticed, relisted: Callable[[], None]) -> None:
    """Watch until a signal ends the process; begin anew where kopf gives up."""
    asyncio.run(_watch_on(settings, health, noticed, relisted))


async def _watch_on(settings: OperatorSettings, health: Health, noticed: Noticed, relisted: Callable[[], None]) -> None:
    beat = asyncio.create_task(_beat(health))
    try:
        for wait in Waits():
            try:
                await kopf.operator(
                    registry=_registry(health, noticed, relisted),
                    settings=_watching(settings),
                    standalone=True,
                    # Else kopf asks the system for the user's name, and the image's user has none.
                    identity=names.OPERATOR,  # type: ignore[arg-type]
                    namespaces=settings.namespaces,
                    clusterwide=not settings.namespaces,
                )
            except Exception:
                log.exception("the watches broke off; they begin anew in %.1f s", wait)
                await asyncio.sleep(wait)
            else:
                return
    finally:
        beat.cancel()


async def _beat(health: Health) -> None:
    while True:
        health.loop_turned()
        await asyncio.sleep(1)


def _watching(settings: OperatorSettings) -> kopf.OperatorSettings:
    """Return how kopf is to watch, and that it is to write nothing."""
    chosen = kopf.OperatorSettings()
    chosen.posting.enabled = False
    # Namespaces and resources are named: nothing is to be discovered, and no right for it needed.
    chosen.scanning.disabled = True
    chosen.persistence.diffbase_storage = NoMemory()
    chosen.watching.server_timeout = settings.watch_seconds
    chosen.watching.inactivity_timeout = settings.watch_seconds + SPARE_SECONDS
    chosen.watching.client_timeout = settings.watch_seconds + 2 * SPARE_SECONDS
    chosen.watching.connect_timeout = CONNECT_SECONDS
    chosen.watching.chunk_size = PAGE
    chosen.networking.connect_timeout = CONNECT_SECONDS
    chosen.networking.request_timeout = REQUEST_SECONDS
    chosen.networking.error_backoffs = Waits()
    for plural in ("jobs", "pods"):
        chosen.watching.label_selectors[plural] = names.SELECTOR
    return chosen


def _registry(health: Health, noticed: Noticed, relisted: Callable[[], None]) -> kopf.OperatorRegistry:
    registry = kopf.OperatorRegistry()

    async def login(**arguments: Any) -> kopf.AiohttpSession:  # noqa: ANN401 - kopf's arguments
        return _session(health, **arguments)

    kopf.on.login(registry=registry)(login)
    for selector, kind in (
        ((GROUP, VERSION, PLURAL), KIND),
        (("batch", "v1", "jobs"), "Job"),
        (("", "v1", "pods"), "Pod"),
    ):
        kopf.on.event(*selector, id=kind, registry=registry)(_hearing(kind, noticed, relisted))
    return registry


def _hearing(kind: str, noticed: Noticed, relisted: Callable[[], None]) -> Callable[..., Any]:
    async def hear(event: dict[str, Any], **_: Any) -> None:  # noqa: ANN401 - kopf's arguments
        # Objects of a list come without a type.
        if event["type"] is None:
            relisted()
        noticed(kind, dict(event["object"]), event["type"] == "DELETED")

    return hear


def _session(health: Health, **arguments: Any) -> kopf.AiohttpSession:  # noqa: ANN401 - kopf's arguments
    """Return the connection that kopf's own client would make, with an ear on it for watches that begin."""
    found = kopf.login_via_client(logger=arguments["logger"], settings=arguments["settings"])
    if found is None:
        raise kopf.LoginError("the Kubernetes client is not installed")
    trace = aiohttp.TraceConfig()

    async def answered(_session: Any, _context: Any, told: aiohttp.TraceRequestEndParams) -> None:  # noqa: ANN401
        if "watch" in told.url.query and told.response.status == 200:
            health.watch_renewed(_watch_name(told.url))

    trace.on_request_end.append(answered)
    # Nothing is asked often here; a connection of its own for each request cannot be one that died in silence.
    connector = aiohttp.TCPConnector(limit=0, ssl=found.as_ssl_context(), force_close=True)
    session = aiohttp.ClientSession(connector=connector, headers=found.as_http_headers(), trace_configs=[trace])
    return kopf.AiohttpSession(server=found.server, aiohttp_session=session, default_namespace=found.default_namespace)


def _watch_name(url: yarl.URL) -> str:
    _, _, inside = url.path.partition("/namespaces/")
    return inside or url.name
