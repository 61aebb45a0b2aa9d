"""Why the Job controller makes no pods: only Events about the Job tell, so they are read where an attempt has had none for a while."""

import time
from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Protocol

from dto_operator.attempts import PODLESS_PAUSE, PODLESS_SECONDS
from dto_operator.observation import SeenJob, Why, seen_job
from dto_operator.sightings import Held


class Events(Protocol):
    """Tells what was said about an object."""

    def told(self, namespace: str, uid: str, reason: str) -> list[str]:
        """Return the notes of Events, the newest first."""


class RefusedPods:
    """Reads Events about Jobs without pods, each Job's at most once a minute, and remembers what they said."""

    def __init__(self, events: Events) -> None:
        self._events = events
        self._heard: dict[str, tuple[float, tuple[Why, ...]]] = {}

    def of(self, jobs: Iterable[Held], pods: Iterable[Held]) -> Mapping[str, tuple[Why, ...]]:
        """Return what is said about each Job that has no pods, by the Job's uid."""
        owners = {owner.get("uid") for pod in pods for owner in pod["metadata"].get("ownerReferences", ())}
        podless = [(held, seen_job(held)) for held in jobs if held["metadata"]["uid"] not in owners]
        return {job.uid: self._said(held, job) for held, job in podless if _waits(job)}

    def keep(self, jobs: Collection[str]) -> None:
        """Forget all Jobs but these."""
        for uid in set(self._heard) - set(jobs):
            self.forget(uid)

    def forget(self, uid: str) -> None:
        """Forget a Job that is gone."""
        self._heard.pop(uid, None)

    def _said(self, held: Held, job: SeenJob) -> tuple[Why, ...]:
        at, known = self._heard.get(job.uid, (float("-inf"), ()))
        now = time.monotonic()
        if now - at < PODLESS_PAUSE:
            return known
        notes = self._events.told(held["metadata"]["namespace"], job.uid, "FailedCreate")
        said = tuple(Why("FailedCreate", note) for note in notes)
        self._heard[job.uid] = (now, said)
        return said


def _waits(job: SeenJob) -> bool:
    """Tell whether a Job should have pods."""
    idle = job.over or job.suspended or job.deleting or job.active or job.done_indexes
    return not idle and (datetime.now(tz=UTC) - job.created).total_seconds() >= PODLESS_SECONDS


def newest_first(events: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the notes of Events, the newest first."""

    def when(event: Mapping[str, Any]) -> str:
        series = event.get("series") or {}
        return str(
            series.get("lastObservedTime") or event.get("deprecatedLastTimestamp") or event.get("eventTime") or ""
        )

    return [str(event.get("note") or "") for event in sorted(events, key=when, reverse=True)]
