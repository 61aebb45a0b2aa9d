"""What is read from the API server's raw objects."""

import json

import pytest

from dto_jobs.termination import Termination
from dto_operator import names
from dto_operator.observation import indexes, observe, seen_job, seen_pod

RUN = {
    "apiVersion": "dto.run/v1alpha1",
    "kind": "DTORun",
    "metadata": {
        "name": "a",
        "namespace": "lab",
        "uid": "u1",
        "generation": 3,
        "creationTimestamp": "2026-01-01T00:00:00Z",
        "managedFields": [{"manager": "kubectl"}],
        "finalizers": ["dto.run/artifacts"],
    },
    "spec": {"model": {"source": "builtin:tiny-reasoner"}, "problems": {"source": "builtin:arithmetic"}},
}
OWNED = [{"uid": "u1", "controller": True, "kind": "DTORun", "name": "a"}]


def job(name="a-rollout-1-x", owners=OWNED, status=None, spec=None, created="2026-01-01T00:01:00Z", **metadata):
    return {
        "metadata": {
            "name": name,
            "uid": f"uid-{name}",
            "creationTimestamp": created,
            "labels": names.labels("a", "u1", "rollout", 1),
            "ownerReferences": owners,
            **metadata,
        },
        "spec": {
            "completions": 4,
            "completionMode": "Indexed",
            "template": {"spec": {"containers": [{"name": "dto", "image": "jobs:1"}]}},
            **(spec or {}),
        },
        "status": status or {},
    }


def pod(state=None, index="2", conditions=(), phase="Running", **status):
    container = {"name": "dto", "state": state or {"running": {"startedAt": "2026-01-01T00:02:00Z"}}}
    sidecar = {"name": "mesh", "state": {"running": {}}}
    return {
        "metadata": {
            "name": "p",
            "uid": "up",
            "annotations": {"batch.kubernetes.io/job-completion-index": index},
            "ownerReferences": [{"uid": "uid-a-rollout-1-x", "controller": True}],
        },
        "spec": {"nodeName": "n1"},
        "status": {
            "phase": phase,
            "podIP": "10.0.0.7",
            "conditions": list(conditions),
            "containerStatuses": [sidecar, container],
            **status,
        },
    }


def terminated(code, reason="Error", message=""):
    return {
        "terminated": {
            "exitCode": code,
            "reason": reason,
            "message": message,
            "startedAt": "2026-01-01T00:02:00Z",
            "finishedAt": "2026-01-01T00:03:00Z",
        }
    }


def test_a_run_and_what_belongs_to_it():
    seen = observe(RUN, [job()], [pod()], {"p": (1, 8)})
    assert seen.run is not None
    assert seen.invalid is None
    assert (seen.identity.uid, seen.identity.generation, seen.identity.deleting) == ("u1", 3, False)
    assert [one.name for one in seen.jobs] == ["a-rollout-1-x"]
    assert [one.name for one in seen.pods_of(seen.jobs[0])] == ["p"]
    assert seen.progress == {"p": (1, 8)}


def test_an_invalid_run_is_seen_with_the_field_and_the_remedy():
    broken = {**RUN, "spec": {**RUN["spec"], "stages": {"exits": {"threshold": 7}}, "speling": 1}}
    seen = observe(broken)
    assert seen.run is None
    assert seen.invalid is not None
    assert seen.invalid.path == "spec.stages.exits.threshold"
    assert "spec.speling: unknown field" in seen.invalid.message


@pytest.mark.parametrize("nonsense", [{}, {"metadata": None, "spec": 3, "status": []}, {"spec": {"managedBy": 5}}])
def test_no_object_is_too_broken_to_be_seen(nonsense):
    assert observe(nonsense, [nonsense], [nonsense]).invalid is not None


def test_a_job_of_another_owner_is_a_stranger():
    others = [{"uid": "u0", "controller": True}]
    seen = observe(RUN, [job(owners=others), job(name="b", owners=[])])
    assert seen.jobs == ()
    assert [one.name for one in seen.strangers] == ["a-rollout-1-x", "b"]


def test_another_controllers_name_is_read_of_an_invalid_run_too():
    seen = observe({**RUN, "spec": {"managedBy": "kueue.x-k8s.io/multikueue"}})
    assert seen.identity.managed_by == "kueue.x-k8s.io/multikueue"


def test_a_failed_job_says_why_and_when():
    at = "2026-01-01T01:00:00Z"
    failed = {
        "type": "Failed",
        "status": "True",
        "reason": "DeadlineExceeded",
        "message": "m",
        "lastTransitionTime": at,
    }
    seen = seen_job(job(status={"conditions": [failed], "failed": 2, "completedIndexes": "0,2-3", "active": 1}))
    assert seen.failed is not None
    assert (seen.failed.reason, seen.failed.message) == ("DeadlineExceeded", "m")
    assert seen.finished is not None
    assert seen.finished.isoformat() == "2026-01-01T01:00:00+00:00"
    assert (seen.over, seen.failed_pods, seen.active) == (True, 2, 1)
    assert seen.done_indexes == {0, 2, 3}
    assert (seen.expected_indexes, seen.image, seen.step, seen.attempt) == (4, "jobs:1", "rollout", 1)


def test_a_job_whose_pods_still_end_is_not_over():
    target = {"type": "FailureTarget", "status": "True", "reason": "PodFailurePolicy"}
    off = {"type": "Failed", "status": "False", "reason": "x"}
    seen = seen_job(job(status={"conditions": [target, off]}))
    assert seen.failing is not None
    assert not seen.over


def test_a_suspended_and_a_deleted_job():
    assert seen_job(job(spec={"suspend": True})).suspended
    assert seen_job(job(deletionTimestamp="2026-01-01T00:00:00Z")).deleting


def test_a_job_without_indexes_is_one():
    assert seen_job(job(spec={"completionMode": "NonIndexed", "completions": 1})).expected_indexes == 1


def test_last_words_of_a_pod_are_read_from_its_container_among_others():
    words = Termination(run="u1", stage="rollout", state="failed", exit_code=4, retry="infrastructure", message="no")
    seen = seen_pod(pod(terminated(4, message=words.text()), phase="Failed"))
    assert seen.words == words
    assert (seen.exit_code, seen.index, seen.over) == (4, 2, True)


def test_what_a_pod_said_without_last_words_is_kept_raw():
    seen = seen_pod(pod(terminated(137, "OOMKilled", "line of a log"), phase="Failed"))
    assert seen.words is None
    assert seen.ended is not None
    assert (seen.ended.reason, seen.ended.message, seen.exit_code) == ("OOMKilled", "line of a log", 137)


def test_why_a_pod_does_not_start():
    seen = seen_pod(pod({"waiting": {"reason": "ImagePullBackOff", "message": "m"}}, phase="Pending"))
    assert seen.waiting is not None
    assert seen.waiting.reason == "ImagePullBackOff"
    unscheduled = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes"}
    seen = seen_pod(pod(conditions=[unscheduled], phase="Pending"))
    assert seen.unschedulable is not None
    assert seen.unschedulable.message == "0/3 nodes"


def test_what_took_a_pod_away():
    target = {"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler", "message": "m"}
    seen = seen_pod(pod(conditions=[target], phase="Failed", reason="Evicted", message="disk"))
    assert seen.disrupted is not None
    assert seen.evicted is not None
    assert (seen.disrupted.reason, seen.evicted.reason) == ("PreemptionByScheduler", "Evicted")
    assert seen_pod(pod(phase="Pending")).disrupted is None


def test_a_status_of_a_newer_operator_is_read_as_far_as_it_goes():
    status = {
        "phase": "Ascended",
        "plan": "store:runs/u1/plan.json",
        "observedGeneration": "three",
        "stages": [
            {"name": "rollout", "state": "Succeeded", "novelty": 1},
            {"name": "polishing", "state": "Succeeded"},
            {"name": "exits", "state": "Levitating"},
            {"name": "endings", "state": "Running", "startTime": "2026-01-01T00:00:00Z"},
        ],
        "conditions": [{"type": "Complete", "status": "Perhaps"}],
    }
    read = observe({**RUN, "status": json.loads(json.dumps(status))}).status
    assert read.plan == "store:runs/u1/plan.json"
    assert [stage.name for stage in read.stages] == ["rollout", "endings"]
    assert (read.phase, read.observed_generation, read.conditions) == (None, None, ())


@pytest.mark.parametrize(("text", "numbers"), [("", set()), ("1", {1}), ("0,2-4,9", {0, 2, 3, 4, 9}), ("x,3-y,5", {5})])
def test_indexes_as_jobs_write_them(text, numbers):
    assert indexes(text) == numbers
