"""Drives runs: what is seen → what is decided → what is done → one write of the status."""

import logging
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, NamedTuple

from dto_jobs.errors import DtoError
from dto_jobs.resource import KIND
from dto_operator import names
from dto_operator.cluster import Cluster, ClusterError, ConflictError, MissingError, NotLeadingError, TakenNameError
from dto_operator.decision import Decision
from dto_operator.job_manifest import manifests
from dto_operator.metrics import OperatorMetrics
from dto_operator.observation import Amount, Observed, observe
from dto_operator.orders import DeleteRun, Hold, Order, Release, Remove, Say, Start
from dto_operator.pod_losses import PodLosses
from dto_operator.refused_pods import RefusedPods
from dto_operator.settings import OperatorSettings
from dto_operator.sightings import Held, Sight, Sightings
from dto_operator.status import Status
from dto_operator.work_queue import WorkQueue

log = logging.getLogger(__name__)

Decide = Callable[[Observed, datetime, OperatorSettings], Decision]
ROUNDS = 3
"""After a Job was started the run is looked at again at once, so that one write of the status tells of both the stage that is
done and the one that began; at most so often in a row."""
CONFLICT_SECONDS = 0.2
ENDING = "because it is being terminated"
"""What the API server says of a namespace in which it creates nothing any more."""
REFUSALS = frozenset({400, 403, 422})
"""What no repetition mends: a quota, a missing right, a rule of the cluster's own."""


class Tools(NamedTuple):
    """What a conductor works with."""

    cluster: Cluster
    sightings: Sightings
    queue: WorkQueue
    metrics: OperatorMetrics
    amounts: dict[str, Amount]
    """How far pods are that were asked, by name."""


class Conductor:
    """Works off the queue, any number of threads at a time; each run is in the hands of one."""

    def __init__(self, tools: Tools, decide: Decide, settings: OperatorSettings) -> None:
        self._cluster, self._sightings, self._queue = tools.cluster, tools.sightings, tools.queue
        self._metrics, self._amounts = tools.metrics, tools.amounts
        self._decide, self._settings = decide, settings
        self._progress_written: dict[str, float] = {}
        self._succeeded: dict[str, float] = {}
        self._ended_pods: set[str] = set()
        self._tails: dict[str, str] = {}
        self._ending: set[str] = set()
        """Runs in whose namespace nothing can be created any more."""
        self._losses = PodLosses(tools.metrics.pod_lost, datetime.now(tz=UTC))
        self._refused = RefusedPods(tools.cluster)

    def work(self, may_write: Callable[[], bool]) -> None:
        """Work until the queue is closed; what comes while nothing may be written is looked at when it may be again."""
        while (key := self._queue.take()) is not None:
            if not may_write():
                self._queue.done(key)
                continue
            began = time.monotonic()
            outcome = "done"
            try:
                self.drive(key)
            except NotLeadingError:
                outcome = "not_leading"
                self._queue.done(key)
            except Exception as error:
                outcome = "failed"
                expected = isinstance(error, ClusterError | DtoError)
                wait = self._queue.failed(key)
                log.warning("run %s: %s; again in %.1f s", key, error, wait, exc_info=None if expected else error)
            else:
                self._queue.done(key)
            self._metrics.reconciled(outcome, time.monotonic() - began)

    def noticed(self, kind: str, held: Held, *, gone: bool = False) -> None:
        """Take note of an object, and have its run looked at if that is news."""
        uid = held["metadata"]["uid"]
        if kind == "Pod":
            self._losses.noticed(held)
        if gone:
            self._ended_pods.discard(uid)
            self._tails.pop(uid, None)
        run = self._sightings.forget(kind, uid) if gone else self._sightings.notice(kind, held)
        if kind == "Job" and gone:
            self._losses.forget(uid)
            self._refused.forget(uid)
        if run is None:
            return
        if not gone and kind == "Pod" and held.get("status", {}).get("phase") == "Succeeded":
            self._pod_succeeded(run, uid)
        if kind == KIND and gone:
            self._forget(run)
        self._queue.add(run)

    def _pod_succeeded(self, run: str, pod: str) -> None:
        """Remember when the last pod of a run succeeded, which is not when more is told of one that has long ended."""
        if pod not in self._ended_pods:
            self._ended_pods.add(pod)
            self._succeeded[run] = time.monotonic()

    def compare(self, namespaces: Iterable[str | None]) -> None:
        """List everything, and have every run looked at."""
        for kind in (KIND, "Job", "Pod"):
            before = self._sightings.known(kind)
            listed = [held for namespace in namespaces for held in self._cluster.listed(kind, namespace)]
            for run in self._sightings.compare(kind, before, listed):
                self._queue.add(run)
        # What ended while nobody heard of it is kept for nobody.
        jobs, known = self._sightings.known("Job"), self._sightings.known("Pod")
        self._losses.keep(jobs)
        self._refused.keep(jobs)
        self._ended_pods &= known
        for uid in self._tails.keys() - known:
            self._tails.pop(uid, None)
        self.look_at_all()

    def look_at_all(self) -> None:
        """Have every run looked at."""
        for held in self._sightings.runs():
            self._queue.add(held["metadata"]["uid"])

    def drive(self, key: str) -> None:
        """Do for a run what is to be done now."""
        left = ROUNDS
        while (sight := self._sightings.of(key)) is not None:
            left -= 1
            observed = self._observed(key, sight)
            decision = self._decide(observed, datetime.now(tz=UTC), self._settings)
            # Of a run that goes with this look, what is to be said is said before.
            goes = any(isinstance(order, Release) for order in decision.orders)
            deeds = [order for order in decision.orders if goes or not isinstance(order, Say)]
            trouble = self._carry_out(sight, deeds)
            if left and deeds and trouble is None and all(isinstance(deed, Start | Hold) for deed in deeds):
                continue
            self._tell(key, sight, observed.status, decision)
            if trouble is not None:
                raise trouble
            return
        self._forget(key)

    def _observed(self, key: str, sight: Sight) -> Observed:
        pods = map(self._with_tail, sight.pods)
        return observe(
            sight.run,
            sight.jobs,
            pods,
            self._amounts_of(sight),
            refused=self._refused.of(sight.jobs, sight.pods),
            lost=self._losses.of(sight.jobs),
            namespace_ends=key in self._ending,
        )

    def _tell(self, key: str, sight: Sight, before: Status, decision: Decision) -> None:
        """Write the status and then what is to be said of it; note when to look again."""
        if self._written(key, sight, before, decision.status):
            for order in () if Release() in decision.orders else decision.orders:
                if isinstance(order, Say):
                    self._cluster.say(sight.run, order)
        if decision.look_again is not None:
            self._queue.add_later(key, decision.look_again)

    def _carry_out(self, sight: Sight, orders: Iterable[Order]) -> Exception | None:
        """Carry orders out up to the first that fails, and return why it did."""
        for order in orders:
            try:
                self._do(sight.run, order)
            except (ClusterError, DtoError, TakenNameError) as error:
                if isinstance(error, ClusterError) and error.code not in REFUSALS:
                    return error
                if isinstance(order, Start) and ENDING in str(error):
                    self._ending.add(sight.run["metadata"]["uid"])
                    self._queue.add_later(sight.run["metadata"]["uid"], 0.0)
                    return None
                # What a person must mend is told to a person.
                reason = "NameTaken" if isinstance(error, TakenNameError) else "FailedCreate"
                self._cluster.say(sight.run, Say("Warning", reason, str(error)))
                return error
        return None

    def _do(self, run: Held, order: Order) -> None:
        metadata = run["metadata"]
        match order:
            case Start():
                self._start(run, order)
            case Remove():
                self._cluster.remove("Job", metadata["namespace"], order.job, order.uid)
                self._sightings.leaves("Job", order.uid)
            case Hold() | Release():
                self._set_finalizer(run, held=isinstance(order, Hold))
            case Say():
                self._cluster.say(run, order)
            case DeleteRun():
                self._cluster.remove(KIND, metadata["namespace"], metadata["name"], metadata["uid"])

    def _set_finalizer(self, run: Held, *, held: bool) -> None:
        now = self._cluster.set_finalizer(run, held=held)
        if now is not None:
            self._sightings.notice(KIND, now)

    def _start(self, run: Held, order: Start) -> None:
        uid = run["metadata"]["uid"]
        try:
            for manifest in manifests(run, order, self._settings):
                held = self._cluster.create(manifest, uid)
                if manifest["kind"] == "Job":
                    self._sightings.notice("Job", {"apiVersion": "batch/v1", "kind": "Job", **held})
        except TakenNameError as error:
            self._sightings.in_the_way(uid, error.held)
            raise
        seen = self._succeeded.pop(uid, None)
        if seen is not None and order.step != names.PREFLIGHT:
            self._metrics.handed_off(time.monotonic() - seen)

    def _written(self, key: str, sight: Sight, before: Status, after: Status | None) -> bool:
        """Write a status that changed; return whether the run has it now. Mere progress is written now and then."""
        if after is None or after == before:
            return True
        now = time.monotonic()
        if _without_progress(before) == _without_progress(after):
            left = self._progress_written.get(key, float("-inf")) + self._settings.progress_seconds - now
            if left > 0:
                self._queue.add_later(key, left)
                return False
        status: dict[str, Any] = after.model_dump(mode="json", by_alias=True, exclude_none=True)
        try:
            held = self._cluster.write_status(sight.run, status)
        except (MissingError, ConflictError) as error:
            # The run was changed or made anew in between; what is decided rests on what was, and is decided again.
            log.info("run %s: the status was not written: %s", key, error)
            self._queue.add_later(key, CONFLICT_SECONDS)
            return False
        self._progress_written[key] = now
        self._sightings.notice(KIND, held)
        self._metrics.moved(before, after)
        return True

    def _with_tail(self, pod: Held) -> Held:
        """Return a pod with the last lines of its log as last words, if it failed and left none."""
        ended = _ended(pod)
        uid = pod["metadata"]["uid"]
        if not ended or ended.get("message") or ended.get("exitCode") == 0:
            return pod
        if uid not in self._tails:
            self._tails[uid] = self._cluster.log_tail(pod["metadata"]["namespace"], pod["metadata"]["name"])
        statuses = [
            {**one, "state": {"terminated": {**ended, "message": self._tails[uid]}}}
            if one.get("name") == names.CONTAINER
            else one
            for one in pod["status"]["containerStatuses"]
        ]
        return {**pod, "status": {**pod["status"], "containerStatuses": statuses}}

    def _amounts_of(self, sight: Sight) -> dict[str, Amount]:
        """Return how far the pods of one run are: with thousands of runs, all of them would be too many to copy for each."""
        found = {name: self._amounts.get(name) for pod in sight.pods if (name := pod["metadata"]["name"])}
        return {name: amount for name, amount in found.items() if amount is not None}

    def _forget(self, key: str) -> None:
        self._progress_written.pop(key, None)
        self._succeeded.pop(key, None)
        self._ending.discard(key)
        self._queue.forget(key)


def _ended(pod: Held) -> dict[str, Any]:
    """Return how the container of a stage ended; nothing where it has not."""
    for one in pod.get("status", {}).get("containerStatuses", ()):
        if one.get("name") == names.CONTAINER:
            found: dict[str, Any] = one.get("state", {}).get("terminated") or {}
            return found
    return {}


def _without_progress(status: Status) -> Status:
    stages = tuple(stage.model_copy(update={"progress": None}) for stage in status.stages)
    return status.model_copy(update={"progress": None, "stages": stages})
