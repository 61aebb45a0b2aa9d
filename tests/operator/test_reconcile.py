"""What the operator does about a run, told by what happens on a cluster in miniature."""

import pytest
from scene import ORDER, Scene
from simulated_cluster import seconds

from dto_operator.orders import Start


def test_a_run_starts_with_a_preflight_and_waits_for_it():
    scene = Scene()
    assert scene.cluster.live() == ["preflight"]
    assert scene.status.phase == "Running"
    assert (scene.status.stage, scene.row("rollout").state) == ("preflight", "Pending")
    assert scene.condition("Accepted").status == "True"


def test_what_is_ready_after_the_preflight_starts_side_by_side():
    scene = Scene()
    scene.make("preflight")
    assert sorted(scene.cluster.live()) == ["baseline", "rollout"]
    assert scene.status.plan == "store:runs/7f3c/plan.json"
    assert [order.plan for order in scene.cluster.started[1:]] == ["store:runs/7f3c/plan.json"] * 2


def test_a_run_goes_through_all_its_steps_and_is_complete():
    scene = Scene()
    scene.make(*ORDER[:2], "baseline", *ORDER[2:])
    assert [order.step for order in scene.cluster.started] == ["preflight", "rollout", "baseline", *ORDER[2:]]
    assert scene.status.phase == "Succeeded"
    assert scene.condition("Complete").status == "True"
    assert scene.condition("Progressing").status == "False"
    assert {row.state for row in scene.status.stages} == {"Succeeded"}
    assert scene.status.results is not None
    assert scene.condition("GatePassed").status == "True"
    assert [one.reason for one in scene.operator.said] == ["Accepted", "Complete"]


def test_nothing_more_is_done_about_a_finished_run():
    scene = Scene({"until": "rollout"})
    scene.make("preflight", "rollout", "results")
    before, writes = scene.cluster.run, list(scene.cluster.writes)
    for job in scene.cluster.jobs():
        scene.cluster.drop("job", job["metadata"]["name"])
    scene.wait(1e6)
    assert scene.cluster.run == before
    assert scene.cluster.writes == writes


def test_results_wait_for_the_stage_beside_the_others():
    scene = Scene()
    scene.make(*ORDER[:-1])
    assert scene.cluster.live() == ["baseline"]
    scene.make("baseline")
    assert scene.cluster.live() == ["results"]


def test_stages_whose_artifacts_are_there_need_no_job():
    scene = Scene()
    scene.cluster.reusable = {"rollout", "exits", "baseline"}
    scene.make("preflight")
    assert scene.cluster.live() == ["endings"]
    row = scene.row("rollout")
    assert row.state == "Succeeded"
    assert row.job_name is None
    assert row.cache is not None
    assert row.cache.hit
    assert not scene.row("endings").cache.hit


def test_an_artifact_that_is_damaged_is_told_and_made_anew():
    scene = Scene()
    scene.cluster.damaged = {"rollout"}
    scene.make("preflight")
    assert scene.cluster.live() == ["rollout", "baseline"]
    cache = scene.row("rollout").cache
    assert cache is not None
    assert (cache.hit, cache.damaged) == (False, True)
    assert scene.row("baseline").cache == cache.model_copy(update={"damaged": None})


def test_a_run_ends_with_the_stage_that_it_is_cut_at():
    scene = Scene({"until": "exits"})
    assert [row.name for row in scene.status.stages] == ["preflight", "rollout", "exits", "results"]


def test_suspending_ends_what_is_at_work_and_nothing_is_charged():
    scene = Scene()
    scene.make("preflight")
    scene.cluster.edit(suspend=True)
    scene.operator.catch_up()
    assert scene.status.phase == "Running"
    assert scene.condition("Suspended").reason == "Suspending"
    scene.go()
    assert scene.cluster.live() == []
    assert scene.status.phase == "Suspended"
    assert scene.condition("Suspended").status == "True"
    row = scene.row("rollout")
    assert (row.state, row.attempts.counted, row.attempts.infrastructure) == ("Suspended", 0, 0)
    scene.cluster.edit(suspend=False)
    scene.go()
    assert sorted(scene.cluster.live()) == ["baseline", "rollout"]
    assert scene.condition("Suspended").status == "False"


def test_a_run_created_suspended_starts_nothing():
    scene = Scene({"suspend": True})
    assert scene.cluster.started == []
    assert scene.status.phase == "Suspended"


def test_a_job_in_a_queue_reads_as_queued_and_is_let_be():
    scene = Scene({"queueName": "gpus"})
    assert scene.status.phase == "Queued"
    assert scene.condition("Suspended").reason == "Queued"
    (job,) = scene.cluster.jobs()
    scene.cluster.change("job", job["metadata"]["name"], spec={"suspend": False})
    scene.go()
    assert scene.status.phase == "Running"
    scene.cluster.change("job", job["metadata"]["name"], spec={"suspend": True})
    scene.go()
    assert scene.status.phase == "Queued"
    assert scene.row("preflight").attempts.infrastructure == 0
    assert len(scene.cluster.started) == 1


def test_a_stage_and_all_after_it_are_made_anew_on_request():
    scene = Scene()
    scene.make(*ORDER[:2], "baseline", *ORDER[2:])
    scene.cluster.edit(rerunFrom="training")
    scene.go()
    assert scene.cluster.started[-1] == Start("preflight", 2, rerun_from="training")
    assert scene.condition("Complete").status == "False"
    assert scene.row("pairs").state == "Succeeded"
    assert scene.row("training").state == "Pending"
    scene.make("preflight", "training", "baseline", "evaluation", "results")
    assert scene.status.phase == "Succeeded"
    assert [order.step for order in scene.cluster.started[-5:]] == [
        "preflight",
        "training",
        "baseline",
        "evaluation",
        "results",
    ]
    scene.wait(100)
    assert scene.cluster.started[-1].step == "results"


def test_what_is_at_work_ends_before_a_stage_is_made_anew():
    scene = Scene()
    scene.make(*ORDER[:3])
    assert sorted(scene.cluster.live()) == ["baseline", "endings"]
    scene.cluster.edit(rerunFrom="rollout")
    scene.operator.catch_up()
    assert scene.cluster.live() == []
    assert len(scene.cluster.working()) == 2
    scene.go()
    assert scene.cluster.live() == ["preflight"]


def test_the_same_stage_can_be_asked_for_again():
    scene = Scene({"until": "rollout"})
    scene.make("preflight", "rollout", "results")
    for again in range(2):
        scene.cluster.edit(rerunFrom="rollout")
        scene.go()
        scene.make("preflight", "rollout", "results")
        assert scene.row("rollout").attempts.total == 2 + again
        scene.cluster.edit(rerunFrom=None)
        scene.go()
        assert scene.status.phase == "Succeeded"


def test_a_failed_run_goes_on_when_a_stage_is_asked_for_anew():
    scene = Scene()
    scene.make("preflight")
    scene.fail("rollout", 6, "never")
    assert scene.status.phase == "Failed"
    scene.cluster.edit(rerunFrom="rollout")
    scene.go()
    scene.make("preflight")
    assert scene.row("rollout").state == "Running"
    assert scene.row("rollout").attempts.counted == 0
    assert scene.condition("Failed").status == "False"


def test_a_run_of_another_controller_is_left_alone():
    scene = Scene({"managedBy": "kueue.x-k8s.io/multikueue"})
    assert scene.cluster.writes == []


def test_an_invalid_run_says_where_and_starts_nothing():
    scene = Scene({"stages": {"exits": {"threshold": 7}}})
    assert scene.cluster.started == []
    accepted = scene.condition("Accepted")
    assert (accepted.status, accepted.reason) == ("False", "InvalidSpec")
    assert accepted.message.startswith("spec.stages.exits.threshold")
    assert scene.status.phase == "Failed"
    assert [one.kind for one in scene.operator.said] == ["Warning"]


def test_a_run_that_no_pod_could_work_on_is_refused():
    scene = Scene({"artifacts": {}})
    assert scene.cluster.started == []
    assert scene.condition("Accepted").reason == "NotPossibleHere"
    assert "spec.artifacts.bucket" in scene.condition("Accepted").message


def test_what_works_for_a_run_that_is_deleted_is_removed():
    scene = Scene()
    scene.cluster.change("run", "qwen", metadata={"deletionTimestamp": scene.cluster.time()})
    scene.go()
    assert scene.cluster.live() == []
    assert len(scene.cluster.started) == 1


def test_a_finished_run_is_deleted_when_its_time_is_over():
    scene = Scene({"until": "rollout", "ttlSecondsAfterFinished": 60})
    scene.make("preflight", "rollout", "results")
    scene.wait(59)
    assert scene.cluster.all("run")
    assert scene.operator.last.look_again == pytest.approx(1, abs=1)
    scene.wait(2)
    assert scene.cluster.all("run") == []


def test_all_jobs_of_a_run_use_the_image_of_its_preflight():
    scene = Scene()
    (job,) = scene.cluster.jobs()
    template = {"spec": {"containers": [{"name": "dto", "image": "jobs:of-the-day"}]}}
    scene.cluster.change("job", job["metadata"]["name"], spec={"template": template})
    scene.make("preflight")
    assert scene.status.image == "jobs:of-the-day"
    assert {order.image for order in scene.cluster.started[1:]} == {"jobs:of-the-day"}


def test_a_step_takes_three_writes_when_nothing_goes_wrong():
    scene = Scene()
    scene.make(*ORDER[:2], "baseline", *ORDER[2:])
    assert len(scene.cluster.writes) <= 3 * len(scene.status.stages)


def test_since_when_something_is_so_stays_while_it_stays_so():
    scene = Scene()
    first = scene.condition("Accepted").last_transition_time
    scene.cluster.now += seconds(60)
    scene.make("preflight")
    scene.cluster.edit(suspend=True)
    scene.go()
    assert scene.condition("Accepted").last_transition_time == first
    assert scene.condition("Accepted").observed_generation == 2
    assert scene.condition("Suspended").last_transition_time > first


def test_the_same_question_has_the_same_answer():
    scene = Scene()
    scene.make("preflight", "rollout")
    scene.operator.dirty = True
    scene.operator.look()
    assert scene.operator.last.status is None
    assert scene.operator.last.orders == ()


def test_a_preflight_that_was_on_its_way_when_a_stage_was_asked_for_anew_does_not_count():
    scene = Scene({"suspend": True})
    scene.cluster.start(Start("preflight", 1))
    scene.cluster.edit(suspend=None, rerunFrom="exits")
    scene.operator.take_in("run")
    scene.operator.look()
    assert scene.status.rerun_from == "exits"
    scene.go()
    assert scene.cluster.started[-1] == Start("preflight", 2, rerun_from="exits")
    assert scene.row("preflight").attempts.infrastructure == 0
    assert scene.cluster.live() == ["preflight"]
