"""What was last seen of runs, their Jobs and pods: fed by watches, by lists, and by the answers to the operator's own writes."""

import sys
import threading
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from dto_jobs.resource import KIND
from dto_operator import names

Held = dict[str, Any]
REMEMBERED = 4096
"""Uids of objects that are gone, kept so that a late answer does not bring one of them back."""
METADATA = (
    "name", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp", "labels",
    "annotations", "ownerReferences", "finalizers",
)  # fmt: skip
INDEX = "batch.kubernetes.io/job-completion-index"
READ_LABELS = (names.RUN_UID, names.STEP, names.ATTEMPT, names.WORK, INDEX)
READ_CONDITIONS = ("PodScheduled", "DisruptionTarget")
JOB_SPEC = ("completions", "completionMode", "suspend")
JOB_STATUS = ("startTime", "completionTime", "active", "ready", "failed", "completedIndexes", "conditions")
SHORT = 64
"""Longest string that is looked for among those that are held already: names and words, not messages."""


@dataclass(frozen=True)
class Sight:
    """A run and what belongs to it, as last seen."""

    run: Held
    jobs: tuple[Held, ...]
    pods: tuple[Held, ...]


class Sightings:
    """The last seen state of every object, by the run that it belongs to. Any number of threads may look and tell."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._objects: dict[str, dict[str, Held]] = {KIND: {}, "Job": {}, "Pod": {}}
        self._of_run: dict[str, set[tuple[str, str]]] = {}
        self._gone: deque[str] = deque(maxlen=REMEMBERED)
        self._gone_set: set[str] = set()
        self._strangers: dict[str, dict[str, Held]] = {}

    def notice(self, kind: str, held: Mapping[str, Any]) -> str | None:
        """Take note of an object; return the uid of its run, or None where nothing newer was told than is known."""
        uid = held["metadata"]["uid"]
        with self._lock:
            known = self._objects[kind].get(uid)
            if uid in self._gone_set or (known is not None and _version(known) >= _version(held)):
                return None
            run = run_uid(kind, held)
            self._objects[kind][uid] = _light(kind, held)
            self._of_run.setdefault(run, set()).add((kind, uid))
            return run

    def forget(self, kind: str, uid: str) -> str | None:
        """Take note that an object is gone; return the uid of its run, or None where it was not known."""
        with self._lock:
            if uid not in self._gone_set:
                if len(self._gone) == REMEMBERED:
                    self._gone_set.discard(self._gone[0])
                self._gone.append(uid)
                self._gone_set.add(uid)
            held = self._objects[kind].pop(uid, None)
            if held is None:
                return None
            run = run_uid(kind, held)
            self._of_run[run].discard((kind, uid))
            if not self._of_run[run]:
                del self._of_run[run]
                self._strangers.pop(run, None)
            return run

    def leaves(self, kind: str, uid: str) -> None:
        """Take note that an object was told to go, before the watch says so."""
        with self._lock:
            held = self._objects[kind].get(uid)
            if held is not None:
                stamp = {"deletionTimestamp": datetime.now(tz=UTC).isoformat(), **held["metadata"]}
                self._objects[kind][uid] = {**held, "metadata": stamp}

    def in_the_way(self, run: str, held: Held) -> None:
        """Take note of somebody else's object that has a name which a Job of the run was to have."""
        with self._lock:
            self._strangers.setdefault(run, {})[held["metadata"]["uid"]] = held

    def of(self, run: str) -> Sight | None:
        """Return what is seen of a run; None where there is no such run."""
        with self._lock:
            held = self._objects[KIND].get(run)
            if held is None:
                return None
            which = self._of_run.get(run, set())
            jobs = [self._objects[kind][uid] for kind, uid in which if kind == "Job"]
            pods = [self._objects[kind][uid] for kind, uid in which if kind == "Pod"]
            return Sight(held, (*jobs, *self._strangers.get(run, {}).values()), tuple(pods))

    def runs(self) -> tuple[Held, ...]:
        """Return all runs."""
        with self._lock:
            return tuple(self._objects[KIND].values())

    def pods(self) -> tuple[Held, ...]:
        """Return all pods."""
        with self._lock:
            return tuple(self._objects["Pod"].values())

    def known(self, kind: str) -> frozenset[str]:
        """Return the uids of all objects of a kind."""
        with self._lock:
            return frozenset(self._objects[kind])

    def compare(self, kind: str, before: Iterable[str], listed: Iterable[Mapping[str, Any]]) -> set[str]:
        """Take note of a whole list of a kind; return the runs of which it told something new.

        `before` are the uids that were known when the list was asked for: what came after it is not in it and not gone.
        """
        found, changed = set[str](), set[str | None]()
        for held in listed:
            found.add(held["metadata"]["uid"])
            changed.add(self.notice(kind, held))
        changed |= {self.forget(kind, uid) for uid in set(before) - found}
        with self._lock:
            self._strangers.clear()
        return {run for run in changed if run is not None}


def run_uid(kind: str, held: Mapping[str, Any]) -> str:
    """Return the uid of the run that an object belongs to: its own, or its label's."""
    metadata = held["metadata"]
    return str(metadata["uid"] if kind == KIND else metadata.get("labels", {}).get(names.RUN_UID, ""))


def _version(held: Mapping[str, Any]) -> int:
    # Kubernetes promises since 1.35 that versions of one kind can be compared as numbers; etcd's always could.
    return int(held["metadata"].get("resourceVersion", 0))


def _light(kind: str, held: Mapping[str, Any]) -> Held:
    """Return an object without what nobody here reads: with thousands of them, that is most of the memory."""
    kept = {**held, "metadata": _picked(held["metadata"], METADATA)}
    if kind == KIND:
        # Only when the status was last changed is asked for.
        changes = held["metadata"].get("managedFields", ())
        kept["metadata"]["managedFields"] = [_picked(entry, ("manager", "subresource", "time")) for entry in changes]
    else:
        kept = _of_work(kind, kept)
    light: Held = _interned(kept)
    return light


def _of_work(kind: str, held: Mapping[str, Any]) -> Held:
    """Return what is read of a Job or a pod."""
    metadata, spec, status = dict(held["metadata"]), held.get("spec", {}), held.get("status", {})
    for part in ("labels", "annotations"):
        metadata[part] = _picked(metadata.get(part, {}), READ_LABELS)
    owners = metadata.get("ownerReferences", ())
    metadata["ownerReferences"] = [_picked(one, ("uid", "controller")) for one in owners if one.get("controller")]
    kept = {key: held[key] for key in ("apiVersion", "kind") if key in held} | {"metadata": metadata}
    if kind == "Pod":
        told = _picked(status, ("phase", "reason", "message", "podIP"))
        told["conditions"] = [one for one in status.get("conditions", ()) if one.get("type") in READ_CONDITIONS]
        told["containerStatuses"] = [_picked(one, ("name", "state")) for one in status.get("containerStatuses", ())]
        return {**kept, "spec": _picked(spec, ("nodeName",)), "status": told}
    containers = spec.get("template", {}).get("spec", {}).get("containers", ())
    template = {"spec": {"containers": [_picked(one, ("name", "image", "args")) for one in containers]}}
    return {**kept, "spec": {**_picked(spec, JOB_SPEC), "template": template}, "status": _picked(status, JOB_STATUS)}


def _picked(held: Mapping[str, Any], keys: Iterable[str]) -> Held:
    return {key: held[key] for key in keys if key in held}


def _interned(held: Any) -> Any:  # noqa: ANN401 - any JSON
    """Return JSON with each short string held once for all objects: a parser makes each anew, and thousands of objects are alike."""
    if isinstance(held, dict):
        return {sys.intern(key): _interned(value) for key, value in held.items()}
    if isinstance(held, list | tuple):
        return [_interned(one) for one in held]
    return sys.intern(held) if type(held) is str and len(held) <= SHORT else held
