"""What is asked of the API server: the only file that knows the Kubernetes client.

Objects go in and out as the plain dicts that the server speaks of. Requests are paced and counted; what may work a moment
later (429, 5xx, a broken connection) is asked again a few times, which harms nothing: names are chosen by the caller, and what
is deleted or written is named by its uid. A watch is kopf's business (`handlers.py`).
"""

import contextlib
import hashlib
import json
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import urllib3
from kubernetes import client, config

from dto_jobs.resource import API_VERSION, KIND
from dto_operator import names
from dto_operator.crd import PLURAL
from dto_operator.orders import Say
from dto_operator.pace import Pace
from dto_operator.refused_pods import newest_first

Held = dict[str, Any]
"""An object as the API server holds it."""

RUNS, JOBS, PODS = "runs", "jobs", "pods"
_FOLDERS = {
    KIND: (f"/apis/{API_VERSION}", PLURAL),
    "Job": ("/apis/batch/v1", "jobs"),
    "Pod": ("/api/v1", "pods"),
    "Service": ("/api/v1", "services"),
    "Lease": ("/apis/coordination.k8s.io/v1", "leases"),
    "Event": ("/apis/events.k8s.io/v1", "events"),
}
TIMEOUT = (5.0, 15.0)
"""Seconds to connect, and to be answered."""
TRIES = 6
FIRST_WAIT, LONGEST_WAIT = 0.1, 5.0
PAGE = 500
"""Objects in one answer of a list."""
TAIL_BYTES = 1024
"""What is kept of a log's end."""
APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
NOTE_BYTES = 1024
"""Longest note of an Event."""


class ClusterError(Exception):
    """The API server did not do what it was asked; the message is its own."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.code, self.reason = code, reason


class MissingError(ClusterError):
    """404: there is no such object, or no such kind of objects."""


class ConflictError(ClusterError):
    """409: the object exists already, is another one than was meant, or was changed in between."""


class UnavailableError(ClusterError):
    """No answer, or none but 429 and 5xx, however often it was tried."""


class TakenNameError(Exception):
    """The name that a Job was to have belongs to an object of somebody else's."""

    def __init__(self, held: Held) -> None:
        super().__init__(f"{held['metadata']['name']} belongs to another object")
        self.held = held


class NotLeadingError(Exception):
    """Another replica leads: this one writes nothing."""


@dataclass
class Requests:
    """How many requests had which answer: by verb and code, `0` for none."""

    counts: dict[tuple[str, str], int] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, verb: str, code: int) -> None:
        """Take note of an answer."""
        with self._lock:
            self.counts[verb, str(code)] = self.counts.get((verb, str(code)), 0) + 1


class Cluster:
    """The API server, as this operator speaks with it; any number of threads may ask."""

    def __init__(
        self,
        api: client.ApiClient,
        pace: Pace,
        identity: str = names.OPERATOR,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._api, self._pace, self._identity, self._sleep = api, pace, identity, sleep
        self.requests = Requests()
        self.may_write: Callable[[], bool] = lambda: True
        """Asked before each write but those to the Lease itself."""

    def listed(self, kind: str, namespace: str | None) -> Iterator[Held]:
        """Yield all objects of a kind (`DTORun`, `Job`, `Pod`) in a namespace or everywhere, the operator's own of Jobs and pods."""
        query: dict[str, str] = {"limit": str(PAGE)}
        if kind != KIND:
            query["labelSelector"] = names.SELECTOR
        while True:
            page = self._ask("GET", _path(kind, namespace), query=query)
            for item in page.get("items", ()):
                # A list says what its items are once for all.
                yield {"apiVersion": page.get("apiVersion"), "kind": kind, **item}
            query["continue"] = str(page["metadata"].get("continue") or "")
            if not query["continue"]:
                return

    def create(self, manifest: Held, owner_uid: str) -> Held:
        """Create an object and return it as it is held; one that exists is as good, if the owner controls it.

        TakenNameError where it belongs to something else.
        """
        metadata = manifest["metadata"]
        try:
            return self._ask("POST", _path(manifest["kind"], metadata["namespace"]), manifest)
        except ConflictError:
            held = self._ask("GET", _path(manifest["kind"], metadata["namespace"], metadata["name"]))
        owners = held["metadata"].get("ownerReferences", ())
        ours = any(owner.get("controller") and owner["uid"] == owner_uid for owner in owners)
        labels = held["metadata"].get("labels", {})
        # A Job that must outlive its run has no owner.
        ours |= not owners and labels.get(names.WORK) == "discard" and labels.get(names.RUN_UID) == owner_uid
        if not ours:
            raise TakenNameError(held)
        return held

    def remove(self, kind: str, namespace: str, name: str, uid: str) -> None:
        """Delete an object, and in the background what it owns; another one of its name is left alone."""
        wish = {"propagationPolicy": "Background", "preconditions": {"uid": uid}}
        with contextlib.suppress(MissingError, ConflictError):
            self._ask("DELETE", _path(kind, namespace, name), wish)

    def set_finalizer(self, run: Mapping[str, Any], *, held: bool) -> Held | None:
        """Set our finalizer, or take it away, and leave others' as they are; return the run then, None where it is gone.

        ConflictError where the run has changed since.
        """
        metadata = run["metadata"]
        others = [name for name in metadata.get("finalizers", ()) if name != names.FINALIZER]
        wish = {
            "uid": metadata["uid"],
            "resourceVersion": metadata["resourceVersion"],
            "finalizers": [*others, *([names.FINALIZER] if held else [])],
        }
        path = _path(KIND, metadata["namespace"], metadata["name"])
        try:
            return self._ask("PATCH", path, {"metadata": wish}, MERGE)
        except MissingError:
            return None

    def write_status(self, run: Mapping[str, Any], status: Held) -> Held:
        """Write a run's whole status and return the run as it is held then; ConflictError where it has changed since."""
        metadata = run["metadata"]
        wish = {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "metadata": {key: metadata[key] for key in ("name", "namespace", "uid", "resourceVersion")},
            "status": status,
        }
        path = _path(KIND, metadata["namespace"], metadata["name"]) + "/status"
        return self._ask("PATCH", path, wish, APPLY, {"fieldManager": names.OPERATOR, "force": "true"})

    def say(self, run: Mapping[str, Any], order: Say) -> None:
        """Write an Event about a run; the same words again within the life of an Event are one Event."""
        metadata = run["metadata"]
        words = f"{metadata['uid']}/{order.reason}/{order.message}"
        event = {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {
                "name": f"{metadata['name'][:200]}.{hashlib.sha256(words.encode()).hexdigest()[:16]}",
                "namespace": metadata["namespace"],
            },
            "eventTime": datetime.now(tz=UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
            "reportingController": f"{names.DOMAIN}/{names.OPERATOR}",
            "reportingInstance": self._identity[:128],
            "action": "Reconcile",
            "reason": order.reason,
            "type": order.kind,
            "note": order.message.encode()[:NOTE_BYTES].decode(errors="ignore"),
            "regarding": {
                "apiVersion": API_VERSION,
                "kind": KIND,
                **{key: metadata[key] for key in ("name", "namespace", "uid", "resourceVersion") if key in metadata},
            },
        }
        with contextlib.suppress(ConflictError):
            self._ask("POST", _path("Event", metadata["namespace"]), event)

    def told(self, namespace: str, uid: str, reason: str) -> list[str]:
        """Return what Events with a reason say about an object, the newest first; nothing where they cannot be read."""
        query = {"fieldSelector": f"regarding.uid={uid},reason={reason}", "limit": str(PAGE)}
        try:
            held = self._ask("GET", _path("Event", namespace), query=query)
        except ClusterError:
            return []
        return newest_first(held.get("items", ()))

    def log_tail(self, namespace: str, pod: str) -> str:
        """Return the last lines of a pod's log, at most 1 KiB; nothing where it is gone or was never there."""
        query = {"container": names.CONTAINER, "tailLines": "20", "limitBytes": str(64 * TAIL_BYTES)}
        try:
            text = self._text("GET", _path("Pod", namespace, pod) + "/log", query=query)
        except ClusterError:
            return ""
        return text[-TAIL_BYTES:].encode()[-TAIL_BYTES:].decode(errors="ignore")

    def lease(self, namespace: str, name: str) -> Held:
        """Return a Lease; MissingError where there is none."""
        return self._ask("GET", _path("Lease", namespace, name))

    def create_lease(self, lease: Held) -> Held:
        """Create a Lease; ConflictError where another replica was faster."""
        return self._ask("POST", _path("Lease", lease["metadata"]["namespace"]), lease, free=True)

    def replace_lease(self, lease: Held) -> Held:
        """Write a Lease; ConflictError where it changed since it was read."""
        metadata = lease["metadata"]
        return self._ask("PUT", _path("Lease", metadata["namespace"], metadata["name"]), lease, free=True)

    def _ask(
        self,
        verb: str,
        path: str,
        content: Held | None = None,
        kind: str = "application/json",
        query: Mapping[str, str] | None = None,
        *,
        free: bool = False,
    ) -> Held:
        """Return the object that the API server answers with."""
        held: Held = json.loads(self._text(verb, path, content, kind, query, free=free))
        return held

    def _text(
        self,
        verb: str,
        path: str,
        content: Held | None = None,
        kind: str = "application/json",
        query: Mapping[str, str] | None = None,
        *,
        free: bool = False,
    ) -> str:
        """Return what the API server answers; `free`: also while another replica leads, and without being asked again."""
        url = path + (f"?{urlencode(query)}" if query else "")
        for wait in [*(FIRST_WAIT * 2**number for number in range(TRIES - 1)), None]:
            if verb != "GET" and not free and not self.may_write():
                raise NotLeadingError
            # The Lease does not wait in the line of the rest: who is late for it leads no more.
            if not free:
                self._pace.wait()
            code, text, asked = self._answer(verb, url, content, kind)
            self.requests.count(verb, code)
            if 200 <= code < 300:
                return text.decode(errors="replace")
            error = _error(code, text)
            # A lease that cannot be renewed now is tried again by whoever wants to lead, in its own time.
            if not isinstance(error, UnavailableError) or wait is None or free:
                raise error
            self._sleep(max(asked, min(LONGEST_WAIT, wait) * random.uniform(0.5, 1.5)))  # noqa: S311 - no secret
        raise AssertionError

    def _answer(self, verb: str, url: str, content: Held | None, kind: str) -> tuple[int, bytes, float]:
        """Return code, text, and the seconds that the server asks to wait; code 0 where it did not answer."""
        headers = {"Accept": "application/json", "User-Agent": names.OPERATOR}
        if content is not None:
            headers["Content-Type"] = kind
        self._api.update_params_for_auth(headers, [], ["BearerToken"], url, verb, content)
        host = self._api.configuration.host
        try:
            answer = self._api.rest_client.request(  # type: ignore[no-untyped-call]
                verb, host + url, headers, content, _request_timeout=TIMEOUT
            )
            text = answer.read()
        except (urllib3.exceptions.HTTPError, client.ApiException, OSError) as error:
            return 0, str(error).encode(), 0.0
        try:
            asked = float(answer.headers.get("Retry-After", 0))
        except ValueError:
            asked = 0.0
        return answer.status, text, min(asked, LONGEST_WAIT * 2)


def connected(pace: Pace, identity: str, connections: int) -> Cluster:
    """Return the cluster that this process is to work on: the one it runs in, else the kubeconfig's."""
    settings = client.Configuration()
    try:
        config.load_incluster_config(client_configuration=settings)  # type: ignore[no-untyped-call]
    except config.ConfigException:
        config.load_kube_config(client_configuration=settings)  # type: ignore[no-untyped-call]
    # Repeating is decided in one place, here.
    settings.retries = False
    settings.connection_pool_maxsize = connections
    return Cluster(client.ApiClient(settings), pace, identity)


def _path(kind: str, namespace: str | None, name: str | None = None) -> str:
    folder, plural = _FOLDERS[kind]
    inside = f"/namespaces/{namespace}" if namespace is not None else ""
    return f"{folder}{inside}/{plural}" + (f"/{name}" if name is not None else "")


def _error(code: int, text: bytes) -> ClusterError:
    try:
        held = json.loads(text)
        reason, message = str(held.get("reason", "")), str(held.get("message", ""))
    except (ValueError, AttributeError):
        reason, message = "", text.decode(errors="replace")[:NOTE_BYTES]
    found = {404: MissingError, 409: ConflictError}.get(code, ClusterError)
    if code in {0, 408, 429} or code >= 500:
        found = UnavailableError
    return found(code, reason, message or f"the API server answered {code}")
