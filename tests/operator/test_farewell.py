"""What becomes of a run that is deleted and is to take its artifacts along: they go first, and nothing waits for ever."""

import pytest
from scene import ORDER, Scene
from simulated_cluster import Cluster, seconds
from simulated_operator import KilledError, Operator

from dto_operator import names
from dto_operator.job_manifest import manifests
from dto_operator.observation import observe
from dto_operator.orders import Release, Remove, Start
from dto_operator.reconcile import reconcile
from dto_operator.settings import OperatorSettings

POLICY = {"artifacts": {"bucket": "dto", "policy": "DeleteOnRunDeletion"}}
SETTINGS = OperatorSettings(store="s3://dto/tests")


def here(scene):
    return ("run", "qwen") in scene.cluster.objects


def discarding(scene):
    return [job for job in scene.cluster.jobs("discard") if job["metadata"]["labels"][names.WORK] == "discard"]


def test_the_finalizer_is_set_before_anything_is_started():
    scene = Scene(POLICY)
    assert scene.cluster.writes[:2] == ["hold", "start preflight"]
    assert scene.cluster.run["metadata"]["finalizers"] == [names.FINALIZER]


@pytest.mark.parametrize("policy", ["Retain", "DeleteIntermediates"])
def test_a_run_that_leaves_its_artifacts_has_none(policy):
    scene = Scene({"artifacts": {"bucket": "dto", "policy": policy}})
    assert "hold" not in scene.cluster.writes
    scene.cluster.delete()
    scene.go()
    assert not here(scene)


def test_a_run_of_which_the_policy_changes_gets_it_and_loses_it_again():
    scene = Scene()
    scene.cluster.edit(**POLICY)
    scene.go()
    assert scene.cluster.run["metadata"]["finalizers"] == [names.FINALIZER]
    scene.cluster.edit(artifacts={"bucket": "dto", "policy": "Retain"})
    scene.go()
    assert scene.cluster.run["metadata"]["finalizers"] == []
    scene.make("preflight")
    assert scene.row("rollout").state == "Running"


def test_a_finished_run_of_which_the_policy_changes_is_held_too():
    scene = Scene({"until": "rollout"})
    scene.make("preflight", "rollout", "results")
    assert scene.status.phase == "Succeeded"
    scene.cluster.edit(**POLICY)
    scene.go()
    assert scene.cluster.run["metadata"]["finalizers"] == [names.FINALIZER]


@pytest.mark.parametrize("foreground", [False, True])
@pytest.mark.parametrize("done", [0, 1, 3])
def test_work_ends_then_artifacts_go_then_the_run(done, foreground):
    scene = Scene(POLICY)
    scene.make(*ORDER[:done])
    scene.cluster.delete(foreground=foreground)
    scene.go()
    scene.wait(100)
    (job,) = discarding(scene)
    assert here(scene)
    assert scene.cluster.live() == ["discard"]
    assert not job["metadata"]["ownerReferences"]
    scene.make("discard")
    assert not here(scene)
    assert [one.message for one in scene.says("ArtifactsDeleted")] == ["well"]


def test_a_pod_that_still_commits_is_waited_for():
    scene = Scene(POLICY)
    scene.make("preflight")
    scene.cluster.delete()
    scene.operator.catch_up()
    assert any("remove" in one for one in scene.cluster.writes)
    assert not discarding(scene)


def test_a_removal_that_fails_is_tried_again():
    scene = Scene(POLICY)
    scene.cluster.delete()
    scene.go()
    scene.wait(100)
    scene.fail("discard", 4, "infrastructure")
    assert here(scene)
    assert len(discarding(scene)) == 1
    scene.wait(10)
    assert len(discarding(scene)) == 2
    assert len(scene.says("ArtifactsNotDeleted")) == 1
    scene.make("discard")
    assert not here(scene)


def test_one_that_can_never_work_lets_the_run_go_and_says_where_its_artifacts_are():
    scene = Scene(POLICY)
    scene.cluster.delete()
    scene.go()
    scene.wait(100)
    scene.fail("discard", 3, "never")
    assert not here(scene)
    (said,) = scene.says("ArtifactsOrphaned")
    assert "s3://dto/runs/7f3c/" in said.message
    assert "dto discard 7f3c" in said.message


def test_after_the_deadline_the_run_goes_and_its_artifacts_stay():
    scene = Scene(POLICY)
    scene.cluster.delete()
    scene.go()
    scene.wait(100)
    assert discarding(scene)
    scene.wait(501)
    assert not here(scene)
    assert not discarding(scene)
    (said,) = scene.says("ArtifactsOrphaned")
    assert "not removed within 600 s" in said.message


def test_a_job_that_will_not_end_holds_it_no_longer_than_the_deadline():
    cluster = Cluster(POLICY)
    run = {**cluster.run, "metadata": {**cluster.run["metadata"], "finalizers": [names.FINALIZER]}}
    run["metadata"]["deletionTimestamp"] = cluster.time()
    job = cluster.start(Start("rollout", 1))
    cluster.delete_job(job["metadata"]["name"])
    seen = observe(run, cluster.jobs())
    assert reconcile(seen, cluster.now, SETTINGS).orders == ()
    late = reconcile(seen, cluster.now + seconds(601), SETTINGS)
    assert Release() in late.orders


def test_in_a_namespace_that_ends_nothing_is_made_and_nothing_waited_for():
    cluster = Cluster(POLICY)
    run = {**cluster.run, "metadata": {**cluster.run["metadata"], "finalizers": [names.FINALIZER]}}
    run["metadata"]["deletionTimestamp"] = cluster.time()
    working = cluster.start(Start("rollout", 1))
    found = reconcile(observe(run, cluster.jobs(), namespace_ends=True), cluster.now, SETTINGS)
    assert found.orders == (Remove(working["metadata"]["name"], working["metadata"]["uid"]), Release())


def test_a_run_that_was_never_accepted_is_not_held():
    scene = Scene({"artifacts": {"folder": "here", "policy": "DeleteOnRunDeletion"}})
    assert "hold" not in scene.cluster.writes


def test_its_job_is_restricted_small_and_asks_no_queue_and_no_volume():
    spec = {
        "model": {"source": "pvc://models/m"},
        "problems": {"source": "builtin:graded-sums"},
        "queueName": "gpus",
        **POLICY,
    }
    metadata = {"name": "r", "namespace": "ns", "uid": "u"}
    run = {"apiVersion": "dto.run/v1alpha1", "kind": "DTORun", "metadata": metadata, "spec": spec}
    (job,) = manifests(run, Start("discard", 1, "discard"), SETTINGS)
    assert "ownerReferences" not in job["metadata"]
    assert names.QUEUE not in job["metadata"]["labels"]
    assert "suspend" not in job["spec"]
    assert job["spec"]["ttlSecondsAfterFinished"] == 300
    pod = job["spec"]["template"]["spec"]
    assert pod["containers"][0]["args"] == ["discard"]
    assert pod["automountServiceAccountToken"] is False
    assert {volume["name"] for volume in pod["volumes"]} == {"dto-scratch", "dto-tmp"}
    (tidy,) = manifests(run, Start("discard", 1), SETTINGS)
    assert tidy["spec"]["template"]["spec"]["containers"][0]["args"] == ["discard", "--intermediates"]
    assert tidy["metadata"]["ownerReferences"][0]["uid"] == "u"


def removed_after(call):
    """Delete a run half-way, with an operator that is killed at the given point; return whether it was, and what is left."""
    cluster, counted, killed = Cluster(POLICY), 0, False

    def at_call(_name):
        nonlocal counted, killed
        counted += 1
        if counted - 1 == call:
            killed = True
            raise KilledError

    operator = Operator(cluster, at_call)
    asked = False
    for _ in range(300):
        try:
            operator.catch_up()
        except KilledError:
            operator = Operator(cluster, at_call)
            continue
        pods = cluster.working()
        if not asked and cluster.jobs("exits"):
            asked = True
            cluster.delete(foreground=call % 2 == 0)
        elif pods:
            cluster.succeed(pods[0])
        elif not cluster.control():
            if ("run", "qwen") not in cluster.objects:
                break
            cluster.now = max(cluster.now, operator.due or cluster.now) + seconds(0.001)
            operator.dirty = True
    return killed, cluster


def test_an_operator_that_is_killed_anywhere_still_removes_everything_and_lets_the_run_go():
    calls = 0
    while True:
        killed, cluster = removed_after(calls)
        assert ("run", "qwen") not in cluster.objects, calls
        assert cluster.made == set(), calls
        starts = [(one.step, one.attempt, one.work) for one in cluster.started]
        assert len(starts) == len(set(starts)), calls
        if not killed:
            break
        calls += 1
    assert calls > 20


# What is left of a run that only keeps what it was for

TIDY = {"artifacts": {"bucket": "dto", "policy": "DeleteIntermediates"}}


def test_intermediates_go_last_and_the_run_is_complete_then():
    scene = Scene(TIDY)
    scene.make(*ORDER[:7], "baseline", *ORDER[7:])
    assert scene.status.phase == "Running"
    assert scene.status.stage == "discard"
    scene.make("discard")
    assert scene.status.phase == "Succeeded"
    assert scene.row("discard").counts == {"objects": 3, "bytes": 100}
    assert [start.step for start in scene.cluster.started][-2:] == ["results", "discard"]


def test_intermediates_that_cannot_be_removed_do_not_fail_a_run_that_is_done():
    scene = Scene({**TIDY, "until": "rollout"})
    scene.make("preflight", "rollout", "results")
    scene.fail("discard", 3, "never")
    assert scene.status.phase == "Succeeded"
    assert scene.condition("Complete").status == "True"
    assert scene.row("discard").state == "Failed"
    assert scene.says("StageFailed")


def test_a_run_that_fails_keeps_all():
    scene = Scene(TIDY)
    scene.make("preflight")
    scene.fail("rollout", 3, "never")
    assert scene.status.phase == "Failed"
    assert scene.cluster.jobs("discard") == []
