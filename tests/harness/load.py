"""Many runs at once on a real API server: who plays their pods, and clocks by plain watches what comes when.

The hand plays the kubelets for all pods with our label: each begins, works for a while and then succeeds with the last words of
its step. Pods are made, and Jobs completed, by Kubernetes' own Job controller.
"""

import asyncio
import json
import ssl
import sys
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, NamedTuple, Self

import aiohttp
import pytest
from api_server import ApiServer
from control_plane import ControlPlane
from operator_process import NOW, RUNS, STEPS, Ground, last_words

from dto_operator import names
from dto_operator.crd import crd

Held = dict[str, Any]
MERGE = "application/merge-patch+json"


class Way(NamedTuple):
    """How to reach an API server as its administrator; goes from process to process."""

    url: str
    authority: Path
    certificate: Path
    key: Path


def way(server: ApiServer) -> Way:
    """Return how to reach a server of the tests."""
    files = server.authority.certificate("load", "/O=system:masters/CN=load", "DNS:load")
    return Way(server.url, server.authority.folder / "ca.crt", *files)


def install(server: ApiServer) -> None:
    """Teach a server what a DTORun is."""
    made = server.admin.ask("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", crd())
    assert made.code == 201, made.message
    server.until(lambda: server.admin.ask("GET", f"{RUNS}/dtoruns").code == 200)


class Asker:
    """Asks an API server, many things at once."""

    def __init__(self, by: Way) -> None:
        self._url = by.url
        self._context = ssl.create_default_context(cafile=str(by.authority))
        self._context.load_cert_chain(by.certificate, by.key)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        """Open connections."""
        connector = aiohttp.TCPConnector(ssl=self._context, limit=64)
        timeout = aiohttp.ClientTimeout(total=None, sock_read=600)
        self._session = aiohttp.ClientSession(self._url, connector=connector, timeout=timeout)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close them."""
        assert self._session is not None
        await self._session.close()

    async def ask(self, verb: str, path: str, content: Any = None, kind: str = "application/json") -> Any:
        """Return what the API server answers; it must be well."""
        assert self._session is not None
        data = None if content is None else json.dumps(content).encode()
        async with self._session.request(verb, path, data=data, headers={"Content-Type": kind}) as answer:
            text = await answer.text()
            assert answer.status < 300, f"{verb} {path}: {answer.status} {text}"
            return json.loads(text)

    async def watch(self, path: str, selector: str) -> AsyncGenerator[tuple[str, Held]]:
        """Yield what happens to objects from now on, as one long watch tells it."""
        assert self._session is not None
        query = {"watch": "true", "labelSelector": selector, "timeoutSeconds": "3600"}
        async with self._session.get(path, params=query) as answer:
            buffer, connection = b"", answer.connection
            try:
                async for piece in answer.content.iter_any():
                    *lines, buffer = (buffer + piece).split(b"\n")
                    for line in lines:
                        event = json.loads(line)
                        yield event["type"], event["object"]
            finally:
                # One that is closed in good order waits for the other side's goodbye, and the loop is gone before that.
                if connection is not None and connection.transport is not None:
                    connection.transport.abort()


@dataclass
class Clock:
    """When a plain watch showed what, in seconds of one clock, by chain and step."""

    jobs: dict[tuple[str, str], float] = field(default_factory=dict)
    pods: dict[tuple[str, str], float] = field(default_factory=dict)

    def handoffs(self) -> list[float]:
        """Return the seconds from a pod's success to the next Job, one for each that was."""
        return [
            self.jobs[chain, then] - seen
            for (chain, step), seen in self.pods.items()
            if step != STEPS[-1] and (chain, then := STEPS[STEPS.index(step) + 1]) in self.jobs
        ]


class Hand:
    """Plays the pods of all Jobs in a namespace, until so many chains have ended."""

    def __init__(self, asker: Asker, namespace: str, seconds: tuple[float, float]) -> None:
        self._asker, self._namespace, self._seconds = asker, namespace, seconds
        self.clock = Clock()
        self._played: dict[str, asyncio.Task[None]] = {}

    async def play(self, chains: int) -> None:
        """Play, and return when the last pod of the last chain was seen to succeed. An error of any part ends all."""
        watching = [asyncio.create_task(see()) for see in (self._see_pods, self._see_jobs)]
        try:
            while sum(step == STEPS[-1] for _, step in self.clock.pods) < chains:
                await asyncio.sleep(0.05)
                for task in (*watching, *self._played.values()):
                    if task.done():
                        await task
        finally:
            left = (*watching, *self._played.values())
            for task in left:
                task.cancel()
            # Each closes its connection before the session is closed under it.
            await asyncio.gather(*left, return_exceptions=True)

    async def _see_jobs(self) -> None:
        async with aclosing(self._asker.watch(self._path("/apis/batch/v1", "jobs"), names.SELECTOR)) as watched:
            async for kind, job in watched:
                if kind == "ADDED":
                    self.clock.jobs.setdefault(_place(job), time.monotonic())

    async def _see_pods(self) -> None:
        async with aclosing(self._asker.watch(self._path("/api/v1", "pods"), names.SELECTOR)) as watched:
            async for kind, pod in watched:
                await self._seen(kind, pod)

    async def _seen(self, kind: str, pod: Held) -> None:
        place, name = _place(pod), pod["metadata"]["name"]
        if pod["status"].get("phase") == "Succeeded":
            self.clock.pods.setdefault(place, time.monotonic())
            played = self._played.pop(name, None)
            if played is not None:
                await played
        elif kind == "ADDED":
            self._played[name] = asyncio.create_task(self._work(pod, *place))

    async def _work(self, pod: Held, chain: str, step: str) -> None:
        """Be a pod at work."""
        path = self._path("/api/v1", "pods") + f"/{pod['metadata']['name']}/status"
        await self._asker.ask("PATCH", path, _told("Running", {"running": {"startedAt": NOW}}), MERGE)
        # The names decide, so that whoever makes the Jobs meets the same pods.
        await asyncio.sleep(Random(f"{pod['metadata']['labels'][names.RUN]}/{step}").uniform(*self._seconds))
        ended = {"exitCode": 0, "reason": "Completed", "message": last_words(step, chain)}
        state = {"terminated": {**ended, "startedAt": NOW, "finishedAt": NOW}}
        await self._asker.ask("PATCH", path, _told("Succeeded", state), MERGE)

    def _path(self, group: str, plural: str) -> str:
        return f"{group}/namespaces/{self._namespace}/{plural}"


def _place(held: Held) -> tuple[str, str]:
    """Return the chain and the step of a Job or pod."""
    labels = held["metadata"]["labels"]
    return labels[names.RUN_UID], labels[names.STEP]


def _told(phase: str, state: Held) -> Held:
    """Return what a kubelet says of a pod."""
    one = {"name": names.CONTAINER, "state": state, "ready": False, "restartCount": 0, "image": "i", "imageID": "i"}
    return {"status": {"phase": phase, "containerStatuses": [one]}}


async def make_chains(asker: Asker, namespace: str, count: int, job: Callable[[str, str], Held]) -> None:
    """Chain plain Jobs, so many chains at once, as a bare script does: the next when the watch shows a pod's success."""
    path = f"/apis/batch/v1/namespaces/{namespace}/jobs"
    for number in range(count):
        await asker.ask("POST", path, job(f"r-{number:04}", STEPS[0]))
    ended, made = set[tuple[str, str]](), set[asyncio.Task[Any]]()
    async with aclosing(asker.watch(f"/api/v1/namespaces/{namespace}/pods", names.SELECTOR)) as watched:
        async for _, pod in watched:
            chain, step = _place(pod)
            if pod["status"].get("phase") != "Succeeded" or (chain, step) in ended:
                continue
            ended.add((chain, step))
            if step != STEPS[-1]:
                made.add(asyncio.create_task(asker.ask("POST", path, job(chain, STEPS[STEPS.index(step) + 1]))))
            if len(ended) == count * len(STEPS):
                break
        else:
            sys.exit("the watch ended")
    await asyncio.gather(*made)


@pytest.fixture
def acting(tmp_path: Path) -> Iterator[Ground]:
    """A namespace of a test's own on an API server where Kubernetes' Job controller acts; pods are for the test to play."""
    plane = ControlPlane(tmp_path, scheduling=False)
    try:
        plane.start()
        install(plane)
        yield Ground(plane)
    finally:
        plane.kill()
