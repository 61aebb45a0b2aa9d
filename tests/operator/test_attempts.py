"""What becomes of attempts: done, lost, failed, tried again, told on a cluster in miniature."""

from scene import Scene
from simulated_cluster import UID, seconds

from dto_operator.names import STEP, job_name
from dto_operator.orders import Start


def test_a_stage_is_done_when_every_shard_is_and_before_its_job_says_so():
    scene = Scene({"stages": {"rollout": {"job": {"shards": 3}}}})
    scene.make("preflight")
    for pod in scene.pods("rollout"):
        assert scene.row("rollout").state == "Running"
        scene.cluster.succeed(pod)
        scene.operator.catch_up()
    assert scene.row("rollout").state == "Succeeded"
    assert "exits" in scene.cluster.live()
    assert "rollout" in scene.cluster.live()
    scene.go()
    assert [write for write in scene.cluster.writes if write.startswith("remove")] == []


def test_a_failure_of_its_own_is_tried_again_after_a_while():
    scene = Scene()
    scene.make("preflight")
    scene.fail("rollout", 9)
    row = scene.row("rollout")
    assert (row.state, row.attempts.counted, row.attempts.infrastructure) == ("Pending", 1, 0)
    assert row.next_attempt_time is not None
    assert scene.cluster.live() == ["baseline"]
    assert len(scene.says("StageRetried")) == 1
    scene.until_next()
    assert sorted(scene.cluster.live()) == ["baseline", "rollout"]
    assert (scene.row("rollout").attempts.total, scene.row("rollout").next_attempt_time) == (2, None)


def test_the_same_failure_again_and_again_fails_the_run_and_frees_the_gpus():
    scene = Scene()
    scene.make("preflight")
    for _ in range(2):
        scene.fail("rollout")
        scene.until_next()
    scene.fail("rollout")
    assert scene.status.phase == "Failed"
    assert scene.row("rollout").state == "Failed"
    assert scene.row("rollout").attempts.counted == 3
    assert "job.retry.application is 2" in scene.row("rollout").message
    assert scene.condition("Failed").status == "True"
    assert scene.cluster.live() == []
    assert scene.row("baseline").reason == "RunFailed"
    assert [one.kind for one in scene.says("StageFailed")] == ["Warning"]


def test_an_error_that_no_other_try_mends_fails_at_once():
    scene = Scene()
    scene.fail("preflight", 3, "never")
    assert scene.status.phase == "Failed"
    assert scene.row("preflight").attempts.total == 1
    assert scene.condition("Failed").message.startswith("preflight: ")


def test_losses_to_machines_are_on_another_account():
    scene = Scene()
    scene.make("preflight")
    for _ in range(5):
        scene.fail("rollout", 4, "infrastructure")
        scene.until_next()
    row = scene.row("rollout")
    assert (row.state, row.attempts.counted, row.attempts.infrastructure) == ("Running", 0, 5)


def test_a_budget_for_losses_is_kept():
    scene = Scene({"stages": {"rollout": {"job": {"retry": {"infrastructure": 1}}}}})
    scene.make("preflight")
    scene.fail("rollout", 4, "infrastructure")
    scene.until_next()
    scene.fail("rollout", 4, "infrastructure")
    assert scene.row("rollout").state == "Failed"


def test_a_shard_that_was_replaced_is_charged_to_the_machines_when_its_attempt_ends():
    scene = Scene({"stages": {"rollout": {"job": {"shards": 2}}}})
    scene.make("preflight")
    scene.cluster.end_pod(scene.pods("rollout")[0], 143, disruption="PreemptionByScheduler")
    scene.go()
    assert scene.row("rollout").state == "Running"
    assert len(scene.pods("rollout")) == 2
    scene.fail("rollout")
    assert (scene.row("rollout").attempts.counted, scene.row("rollout").attempts.infrastructure) == (1, 1)


def test_more_lost_shards_than_the_budget_end_the_attempt():
    scene = Scene({"stages": {"rollout": {"job": {"retry": {"infrastructure": 2}}}}})
    scene.make("preflight")
    for _ in range(3):
        scene.cluster.end_pod(scene.pods("rollout")[0], 143, disruption="PreemptionByScheduler")
        scene.go()
    assert scene.row("rollout").state == "Failed"
    assert scene.cluster.live() == []


def test_a_job_deleted_by_hand_is_made_anew_on_the_machines_account():
    scene = Scene()
    scene.make("preflight")
    (job,) = scene.cluster.jobs("rollout")
    scene.cluster.delete_job(job["metadata"]["name"])
    scene.operator.catch_up()
    assert scene.row("rollout").reason == "JobDeleted"
    scene.go()
    assert (scene.row("rollout").reason, scene.row("rollout").attempts.infrastructure) == ("JobGone", 1)
    scene.until_next()
    assert scene.row("rollout").state == "Running"
    assert scene.row("rollout").attempts.total == 2


def test_jobs_that_vanish_after_their_stage_are_not_missed():
    scene = Scene()
    scene.make("preflight", "rollout")
    for step in ("preflight", "rollout"):
        for job in scene.cluster.jobs(step):
            scene.cluster.drop("job", job["metadata"]["name"])
    scene.go()
    assert sorted(scene.cluster.live()) == ["baseline", "exits"]
    assert scene.row("rollout").state == "Succeeded"


def test_a_receipt_that_nobody_heard_of_is_read_again():
    scene = Scene()
    scene.make("preflight")
    scene.make("rollout", say=False)
    assert sorted(scene.cluster.live()) == ["baseline"]
    scene.until_next()
    assert scene.cluster.started[-1] == Start("rollout", 1, "collect", "store:runs/7f3c/plan.json", "jobs:1")
    assert scene.row("rollout").reason == "Collecting"
    scene.make("rollout")
    assert scene.row("rollout").state == "Succeeded"
    assert scene.row("rollout").artifact.sha256 == "c" * 64
    assert "exits" in scene.cluster.live()


def test_what_cannot_be_collected_is_made_anew():
    scene = Scene()
    scene.make("preflight")
    scene.make("rollout", say=False)
    scene.until_next()
    scene.fail("rollout", 3, "never")
    scene.until_next()
    assert scene.row("rollout").state == "Running"
    assert scene.row("rollout").attempts.total == 2


def test_a_preflight_that_nobody_heard_of_is_made_anew():
    scene = Scene()
    scene.make("preflight", say=False)
    scene.until_next()
    assert scene.row("preflight").reason == "LastWordsLost"
    scene.until_next()
    scene.make("preflight")
    assert "rollout" in scene.cluster.live()


def test_a_name_that_something_else_has_fails_the_run_with_a_remedy():
    scene = Scene({"suspend": True})
    name = job_name("qwen", UID, "preflight", 1)
    owners = [{"uid": "other", "controller": True}]
    scene.cluster.put(
        "job", name, {"metadata": {"name": name, "uid": "x", "ownerReferences": owners, "labels": {STEP: ""}}}
    )
    scene.cluster.edit(suspend=None)
    scene.operator.catch_up()
    assert (scene.row("preflight").state, scene.row("preflight").reason) == ("Failed", "NameTaken")
    assert name in scene.row("preflight").message
    assert scene.cluster.started == []


def test_a_pod_that_cannot_start_is_explained_while_it_waits_and_given_up_in_the_end():
    scene = Scene()
    scene.cluster.hold_up(scene.pods("preflight")[0], "ImagePullBackOff")
    scene.go()
    assert scene.row("preflight").state == "Running"
    assert scene.row("preflight").reason == "ImagePullFailed"
    assert scene.condition("Progressing").reason == "ImagePullFailed"
    scene.until_next()
    assert scene.row("preflight").attempts.counted == 1
    assert scene.cluster.live() == []
    scene.until_next()
    assert scene.cluster.live() == ["preflight"]


def test_a_job_of_an_attempt_that_is_over_is_removed():
    scene = Scene()
    scene.make("preflight")
    scene.cluster.start(Start("rollout", 7))
    scene.cluster.start(Start("rollout", 8))
    scene.go()
    assert sorted(scene.cluster.live()) == ["baseline", "rollout"]
    assert scene.row("rollout").attempts.total == 8


def test_progress_is_the_sum_of_what_the_shards_say():
    scene = Scene({"stages": {"rollout": {"job": {"shards": 4}}}})
    scene.make("preflight")
    scene.cluster.now += seconds(100)
    two = scene.pods("rollout")[:2]
    scene.operator.progress = {pod["metadata"]["name"]: (2, 8) for pod in two}
    scene.wait(0)
    progress = scene.row("rollout").progress
    assert (progress.done, progress.total) == (4, 32)
    assert scene.status.progress == "4/32"
    assert progress.eta == scene.cluster.now + seconds(700)
    scene.wait(5)
    assert scene.row("rollout").progress == progress


def test_what_all_attempts_spent_is_added_up_once():
    scene = Scene({"stages": {"rollout": {"job": {"shards": 2}}}})
    scene.make("preflight")
    scene.fail("rollout")
    assert scene.row("rollout").figures == {"generated": 5.0}
    scene.wait(100)
    scene.make("rollout")
    assert scene.row("rollout").figures == {"generated": 25.0}
    scene.wait(100)
    assert scene.row("rollout").figures == {"generated": 25.0}


def test_what_an_artifact_counts_is_told_by_whoever_found_it_whole():
    scene = Scene({"stages": {"rollout": {"job": {"shards": 2}}}})
    scene.make("preflight", "rollout")
    assert scene.row("preflight").counts == {}
    assert scene.row("rollout").counts == {"kept": 8}


def test_a_status_that_was_lost_is_told_anew_from_what_is_there():
    scene = Scene()
    scene.make("preflight", "rollout")
    before = scene.status
    held = dict(scene.cluster.run)
    held.pop("status")
    scene.cluster.put("run", "qwen", held)
    scene.go()
    assert [(row.name, row.state) for row in scene.status.stages] == [(row.name, row.state) for row in before.stages]
    assert sorted(scene.cluster.live()) == ["baseline", "exits"]


def test_the_failure_that_ends_a_job_is_no_loss_while_its_other_pods_end():
    scene = Scene({"stages": {"rollout": {"job": {"retry": {"infrastructure": 0}}}}})
    scene.make("preflight")
    (job,) = scene.cluster.jobs("rollout")
    target = {"type": "FailureTarget", "status": "True", "reason": "BackoffLimitExceeded", "message": ""}
    scene.cluster.change("job", job["metadata"]["name"], status={"failed": 1, "conditions": [target]})
    scene.operator.catch_up()
    assert scene.row("rollout").state == "Running"
