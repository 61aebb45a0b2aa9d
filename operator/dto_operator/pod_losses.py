"""Pods that the machines took away, counted as they are heard of: what was preempted is deleted within seconds."""

from collections import deque
from collections.abc import Callable, Collection, Iterable
from datetime import datetime

from dto_operator.sightings import Held
from dto_operator.stored_run import group, items, moment

REMEMBERED = 4096
"""A pod that goes is heard of several times, and counted once."""


class PodLosses:
    """Counts each lost pod once; those that were lost before somebody counted are in no count."""

    def __init__(self, lost: Callable[[str], None], since: datetime) -> None:
        self._lost = lost
        # Kubernetes notes whole seconds.
        self._since = since.replace(microsecond=0)
        self._counted: deque[str] = deque(maxlen=REMEMBERED)
        self._of_job: dict[str, set[str]] = {}

    def noticed(self, pod: Held) -> None:
        """Count a pod if something took it away."""
        for condition in items(group(pod, "status"), "conditions"):
            if condition.get("type") == "DisruptionTarget" and condition.get("status") == "True":
                self._count(pod["metadata"]["uid"], condition)
                for owner in items(group(pod, "metadata"), "ownerReferences"):
                    self._of_job.setdefault(str(owner.get("uid")), set()).add(pod["metadata"]["uid"])

    def of(self, jobs: Iterable[Held]) -> dict[str, int]:
        """Return how many pods of each Job were lost, as far as this process has heard: also those that have vanished."""
        uids = (job["metadata"]["uid"] for job in jobs)
        return {uid: len(self._of_job[uid]) for uid in uids if uid in self._of_job}

    def keep(self, jobs: Collection[str]) -> None:
        """Forget the pods of all Jobs but these."""
        for job in set(self._of_job) - set(jobs):
            self.forget(job)

    def forget(self, job: str) -> None:
        """Forget the pods of a Job that is gone."""
        self._of_job.pop(job, None)

    def _count(self, uid: str, condition: Held) -> None:
        at = moment(condition.get("lastTransitionTime"))
        if uid not in self._counted and (at is None or at >= self._since):
            self._counted.append(uid)
            self._lost(str(condition.get("reason") or "Unknown"))
