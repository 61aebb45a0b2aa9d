"""What is seen of a run on the cluster: plain, frozen, read from the API server's raw objects, whatever they hold.

Everything that is decided is decided from an `Observed`. Nothing here raises because of what an object says.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from itertools import pairwise
from typing import Any

from dto_jobs.resource import DTORun
from dto_jobs.termination import Termination, parse
from dto_operator import names
from dto_operator.status import Status
from dto_operator.stored_run import (
    EPOCH,
    Identity,
    Invalid,
    group,
    identity,
    items,
    moment,
    number,
    spec_of,
    status_of,
)

INDEX = "batch.kubernetes.io/job-completion-index"
"""Kubernetes' annotation and label: which shard a pod of an Indexed Job is."""
KEPT_WORDS = 4096
"""Last words that are kept as they were read: a pod is looked at many times after it has ended."""
Amount = tuple[int, int]
"""Inputs that are done, and inputs in all."""


@dataclass(frozen=True)
class Why:
    """A reason in one word, and what Kubernetes says about it."""

    reason: str
    message: str = ""


@dataclass(frozen=True)
class SeenPod:
    """A pod of an attempt."""

    name: str
    uid: str
    job_uid: str
    """Of the Job that it belongs to."""
    index: int
    """Its shard; 0 where the Job has no indexes."""
    phase: str
    """Pending, Running, Succeeded, Failed or Unknown."""
    created: datetime = EPOCH
    started: datetime | None = None
    """When its container began."""
    finished: datetime | None = None
    """When its container ended."""
    deleting: bool = False
    gone_by: datetime | None = None
    """When it is to be gone at the latest, if it is being deleted."""
    step: str = ""
    node: str | None = None
    address: str | None = None
    """Its IP, by which it is asked how far it is."""
    exit_code: int | None = None
    ended: Why | None = None
    """How its container ended, as the kubelet says: `OOMKilled`, `Error`, `StartError`, `Completed`; with its raw last words
    or last lines of log."""
    words: Termination | None = None
    """Its last words, if it left any that can be read."""
    waiting: Why | None = None
    """Why its container does not start: `ImagePullBackOff`, `CreateContainerConfigError` …"""
    unschedulable: Why | None = None
    """Why no node takes it."""
    disrupted: Why | None = None
    """What took it away: `PreemptionByScheduler`, `EvictionByEvictionAPI`, `DeletionByTaintManager`,
    `DeletionByPodGC`, `TerminationByKubelet`."""
    evicted: Why | None = None
    """What the pod itself says of its end: `Evicted`, `NodeLost`, `Preempting`, `DeadlineExceeded` …"""

    @property
    def over(self) -> bool:
        """It has ended, and nothing of it runs any more."""
        return self.phase in {"Succeeded", "Failed"}


@dataclass(frozen=True)
class SeenJob:
    """A Job of a run: an attempt of a step."""

    name: str
    uid: str
    owner_uid: str | None
    """Uid of the object that controls it; of a Job for a run that is deleted, the run's, which it must outlive."""
    step: str
    attempt: int
    work: str = "make"
    image: str | None = None
    rerun_from: str | None = None
    """Of a preflight: the stage from which it plans artifacts to be made anew."""
    created: datetime = EPOCH
    started: datetime | None = None
    finished: datetime | None = None
    """When it completed or failed."""
    suspended: bool = False
    """It waits in a queue, or a queue has taken it back."""
    complete: bool = False
    failed: Why | None = None
    """Why it failed for good: `DeadlineExceeded`, `BackoffLimitExceeded`, `PodFailurePolicy` …; no pod of it runs any more."""
    failing: Why | None = None
    """Why it will have failed once its pods have ended."""
    deleting: bool = False
    completions: int = 1
    active: int = 0
    ready: int = 0
    failed_pods: int = 0
    """Pods that failed and that its failure policy did not ignore."""
    done_indexes: frozenset[int] = frozenset()
    """Shards of which a pod succeeded, by the Job's own count."""
    expected_indexes: int = 1

    @property
    def over(self) -> bool:
        """It has ended, and no pod of it runs any more."""
        return self.complete or self.failed is not None


@dataclass(frozen=True)
class Observed:
    """A run, and what is seen of its Jobs and pods."""

    identity: Identity
    run: DTORun | None
    """What a person wrote; None where it is invalid."""
    invalid: Invalid | None
    status: Status
    """What was written about the run before: the memory of finished steps."""
    jobs: tuple[SeenJob, ...] = ()
    """Jobs that belong to the run, oldest attempts first."""
    strangers: tuple[SeenJob, ...] = ()
    """Jobs that have a name of the run's and belong to something else."""
    pods: Mapping[str, tuple[SeenPod, ...]] = field(default_factory=dict)
    """Pods by the uid of their Job, oldest first."""
    progress: Mapping[str, Amount] = field(default_factory=dict)
    """How far pods at work are, by pod name, as they said when they were asked."""
    refused: Mapping[str, tuple[Why, ...]] = field(default_factory=dict)
    """What Events say about Jobs that get no pods, by the Job's uid."""
    lost: Mapping[str, int] = field(default_factory=dict)
    """Pods of Jobs that were heard to be taken away, whether they are still there or not, by the Job's uid."""
    namespace_ends: bool = False
    """Its namespace is being deleted: nothing can be created there any more."""

    def pods_of(self, job: SeenJob) -> tuple[SeenPod, ...]:
        """Return the pods of a Job, oldest first."""
        return self.pods.get(job.uid, ())

    def orphans(self, step: str | None = None) -> list[SeenPod]:
        """Return the pods of a step, or of all, that still end while their Job is gone already."""
        known = {job.uid for job in (*self.jobs, *self.strangers)}
        left = [pod for uid, pods in self.pods.items() if uid not in known for pod in pods]
        return [pod for pod in left if not pod.over and step in {None, pod.step}]


def observe(
    run: Mapping[str, Any],
    jobs: Iterable[Mapping[str, Any]] = (),
    pods: Iterable[Mapping[str, Any]] = (),
    progress: Mapping[str, Amount] | None = None,
    *,
    refused: Mapping[str, tuple[Why, ...]] | None = None,
    lost: Mapping[str, int] | None = None,
    namespace_ends: bool = False,
) -> Observed:
    """Return what is seen of a run, from raw objects of the API server.

    `jobs` are those with the run's uid as label, and any that was in the way when a Job of the run was created.
    """
    which, spec = identity(run), spec_of(run)
    seen = sorted(map(seen_job, jobs), key=lambda job: (job.created, job.attempt, job.name))
    by_job: dict[str, list[SeenPod]] = {}
    for pod in sorted(map(seen_pod, pods), key=lambda pod: (pod.created, pod.name)):
        by_job.setdefault(pod.job_uid, []).append(pod)
    return Observed(
        identity=which,
        run=spec if isinstance(spec, DTORun) else None,
        invalid=spec if isinstance(spec, Invalid) else None,
        status=status_of(run),
        jobs=tuple(job for job in seen if job.owner_uid == which.uid),
        strangers=tuple(job for job in seen if job.owner_uid != which.uid),
        pods={uid: tuple(of_job) for uid, of_job in by_job.items()},
        progress=progress or {},
        refused=refused or {},
        lost=lost or {},
        namespace_ends=namespace_ends,
    )


def seen_job(held: Mapping[str, Any]) -> SeenJob:
    """Return what a raw Job says."""
    metadata, spec, status = group(held, "metadata"), group(held, "spec"), group(held, "status")
    labels, true = group(metadata, "labels"), _true_conditions(status)
    failed = true.get("Failed")
    completions = number(spec, "completions", 1)
    container = _container(spec)
    return SeenJob(
        name=str(metadata.get("name", "")),
        uid=str(metadata.get("uid", "")),
        owner_uid=_controller(metadata) or _discarded_for(labels),
        step=str(labels.get(names.STEP, "")),
        attempt=number(labels, names.ATTEMPT),
        work=str(labels.get(names.WORK, "make")),
        image=str(container["image"]) if "image" in container else None,
        rerun_from=_after("--from", items(container, "args")),
        created=moment(metadata.get("creationTimestamp")) or EPOCH,
        started=moment(status.get("startTime")),
        finished=moment(status.get("completionTime")) or moment((failed or {}).get("lastTransitionTime")),
        suspended=bool(spec.get("suspend")),
        complete="Complete" in true,
        failed=_why(failed),
        failing=_why(true.get("FailureTarget")),
        deleting=bool(metadata.get("deletionTimestamp")),
        completions=completions,
        active=number(status, "active"),
        ready=number(status, "ready"),
        failed_pods=number(status, "failed"),
        done_indexes=indexes(str(status.get("completedIndexes") or "")),
        expected_indexes=completions if spec.get("completionMode") == "Indexed" else 1,
    )


def seen_pod(held: Mapping[str, Any]) -> SeenPod:
    """Return what a raw pod says."""
    metadata, status = group(held, "metadata"), group(held, "status")
    state = _state(status)
    ended, true = group(state, "terminated"), _true_conditions(status)
    scheduled = next((one for one in _conditions(status) if one.get("type") == "PodScheduled"), {})
    reason = status.get("reason")
    text = str(ended.get("message") or "")
    return SeenPod(
        name=str(metadata.get("name", "")),
        uid=str(metadata.get("uid", "")),
        job_uid=_controller(metadata) or "",
        index=number(group(metadata, "annotations"), INDEX, number(group(metadata, "labels"), INDEX)),
        phase=str(status.get("phase") or "Pending"),
        created=moment(metadata.get("creationTimestamp")) or EPOCH,
        started=moment(group(state, "running").get("startedAt")) or moment(ended.get("startedAt")),
        finished=moment(ended.get("finishedAt")),
        deleting=bool(metadata.get("deletionTimestamp")),
        gone_by=moment(metadata.get("deletionTimestamp")),
        step=str(group(metadata, "labels").get(names.STEP, "")),
        node=str(group(held, "spec").get("nodeName") or "") or None,
        address=str(status.get("podIP") or "") or None,
        exit_code=number(ended, "exitCode") if ended else None,
        ended=Why(str(ended.get("reason") or "Error"), text) if ended else None,
        words=_words(text) if text else None,
        waiting=_why(group(state, "waiting")),
        unschedulable=_why(scheduled) if scheduled.get("status") == "False" else None,
        disrupted=_why(true.get("DisruptionTarget")),
        evicted=Why(str(reason), str(status.get("message") or "")) if reason else None,
    )


@lru_cache(maxsize=KEPT_WORDS)
def _words(text: str) -> Termination | None:
    return parse(text)


def indexes(text: str) -> frozenset[int]:
    """Return the numbers that `1,3-5,7` names."""
    found: set[int] = set()
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        if first.isdigit() and (last or first).isdigit():
            found.update(range(int(first), int(last or first) + 1))
    return frozenset(found)


def _container(spec: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the container that works, as a Job has it made."""
    return _ours(items(group(spec, "template", "spec"), "containers"))


def _after(option: str, words: list[Any]) -> str | None:
    """Return the word after an option of a command."""
    return next((str(word) for before, word in pairwise(words) if before == option), None)


def _ours(containers: list[Any]) -> Mapping[str, Any]:
    """Return the container that works, among those that a cluster may have put beside it."""
    held = [one for one in containers if isinstance(one, Mapping)]
    return next((one for one in held if one.get("name") == names.CONTAINER), held[0] if held else {})


def _state(status: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the state of the container that works."""
    return group(_ours(items(status, "containerStatuses")), "state")


def _controller(metadata: Mapping[str, Any]) -> str | None:
    owners = [one for one in items(metadata, "ownerReferences") if isinstance(one, Mapping) and one.get("controller")]
    return str(owners[0].get("uid")) if owners else None


def _discarded_for(labels: Mapping[str, Any]) -> str | None:
    return str(labels.get(names.RUN_UID)) if labels.get(names.WORK) == "discard" else None


def _conditions(status: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [one for one in items(status, "conditions") if isinstance(one, Mapping)]


def _true_conditions(status: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {str(one.get("type")): one for one in _conditions(status) if one.get("status") == "True"}


def _why(held: Mapping[str, Any] | None) -> Why | None:
    if not held:
        return None
    return Why(str(held.get("reason") or "Unknown"), str(held.get("message") or ""))
