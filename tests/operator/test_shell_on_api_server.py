"""The operator as a process on a real API server: from a run to its results, and what it asks of the server for that."""

import threading

import pytest
from stored_runs import MINIMAL

from dto_operator import names

pytestmark = pytest.mark.services
ANALYSIS = MINIMAL | {"until": "pairs"}


def ready(ground, operator):
    ground.until(lambda: operator.asked("/readyz")[0] == 200)


def writes(operator):
    """Return how many requests changed something."""
    return sum(
        operator.metric(f'dto_operator_api_requests_total{{code="{code}",verb="{verb}"}}')
        for verb, codes in {"POST": (201, 409), "PATCH": (200, 409), "DELETE": (200, 404, 409)}.items()
        for code in codes
    )


def test_a_run_gets_its_first_job_and_nothing_of_kopf(ground, operators):
    operator = operators(ground)
    ready(ground, operator)
    ground.apply("first", MINIMAL)
    job = ground.job("preflight")
    assert job["metadata"]["ownerReferences"][0]["name"] == "first"
    ground.until(lambda: ground.run("first").get("status"))
    held = ground.run("first")
    assert "kopf" not in str(held)
    assert "annotations" not in held["metadata"]
    assert "finalizers" not in held["metadata"]
    assert operator.asked("/healthz") == (200, "ok\n")
    ground.until(lambda: operator.metric('dto_runs{phase="Running"}') == 1)
    assert operator.stop() == 0


def test_an_operator_of_the_whole_cluster_sees_every_namespace(ground, operators):
    operator = operators(ground, namespaces="")
    ready(ground, operator)
    ground.apply("anywhere", ANALYSIS)
    assert ground.job("preflight")
    assert operator.stop() == 0


def test_a_run_goes_through_its_stages_to_complete_with_few_writes(ground, operators):
    operator = operators(ground)
    ready(ground, operator)
    ground.apply("whole", ANALYSIS)
    stages = ground.drive("whole")
    done = ground.server.kubectl(
        "wait", "--for=condition=Complete", "dto/whole", "-n", ground.namespace, "--timeout=60s"
    )
    assert done.returncode == 0, done.stderr
    status = ground.run("whole")["status"]
    assert [stage["state"] for stage in status["stages"]] == ["Succeeded"] * len(stages)
    assert [len(ground.jobs(stage)) for stage in stages] == [1] * len(stages)
    ground.until(lambda: operator.metric('dto_runs_completed_total{result="succeeded"}') == 1)
    assert operator.metric("dto_stage_handoff_seconds_count") == len(stages) - 1
    spent = f'dto_tokens_total{{kind="generated",namespace="{ground.namespace}",run="whole",stage="exits"}}'
    assert operator.metric(spent) == 7
    assert writes(operator) / len(stages) <= 4


def test_an_operator_that_is_killed_goes_on_where_it_was_and_starts_nothing_twice(ground, operators):
    operator = operators(ground)
    ground.apply("killed", ANALYSIS)
    hand = threading.Thread(target=ground.drive, args=("killed",))
    hand.start()
    for step in ("preflight", "rollout", "exits", "pairs"):
        ground.job(step)
        operator.kill()
        operator.start()
    ground.until(lambda: ground.condition("killed", "Complete"))
    hand.join()
    attempts = [job["metadata"]["labels"]["dto.run/attempt"] for job in ground.jobs()]
    assert attempts == ["1"] * len(attempts)
    steps = [job["metadata"]["labels"]["dto.run/step"] for job in ground.jobs()]
    assert sorted(steps) == sorted(set(steps))


def test_a_suspended_run_gives_its_job_back_and_goes_on_later(ground, operators):
    operators(ground)
    ground.apply("paused", ANALYSIS)
    pod = ground.pod(ground.job("preflight"))
    ground.change("paused", {"spec": {"suspend": True}})
    ground.until(lambda: not ground.jobs())
    # Suspended is said when nothing of it works any more.
    assert not ground.condition("paused", "Suspended")
    ground.collect_garbage(pod)
    ground.until(lambda: ground.condition("paused", "Suspended"))
    ground.change("paused", {"spec": {"suspend": False}})
    assert ground.job("preflight", attempt=2)
    row = ground.until(lambda: next(iter(ground.run("paused")["status"]["stages"]), None))
    assert row["attempts"].get("counted", 0) == 0


def test_a_queued_job_is_started_and_preempted_by_its_queue_alone(ground, operators):
    """Kueue itself cannot be built here: the test changes `spec.suspend` as it does."""
    operators(ground)
    ground.apply("queued", ANALYSIS | {"queueName": "team"})
    job = ground.job("preflight")
    assert job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "team"
    path = ground.path("/apis/batch/v1", "jobs", job["metadata"]["name"])
    ground.until(lambda: ground.run("queued").get("status", {}).get("phase") == "Queued")
    for suspended, phase in ((False, "Running"), (True, "Queued"), (False, "Running")):
        ground.ask("PATCH", path, {"spec": {"suspend": suspended}}, "application/merge-patch+json")
        ground.until(lambda phase=phase: ground.run("queued")["status"]["phase"] == phase)
        assert ground.ask("GET", path)["spec"]["suspend"] is suspended
    row = ground.run("queued")["status"]["stages"][0]
    assert (row["attempts"]["total"], row["attempts"]["counted"]) == (1, 0)


def test_a_pod_that_fails_without_words_is_explained_by_its_exit(ground, operators):
    operators(ground)
    ground.apply("failing", ANALYSIS)
    job = ground.job("preflight")
    pod = ground.pod(job)
    ground.pod_status(pod, {"phase": "Failed"}, {"terminated": {"exitCode": 2, "reason": "Error"}})
    ground.job_failed(job)
    row = ground.until(
        lambda: next(
            (
                one
                for one in ground.run("failing").get("status", {}).get("stages", ())
                if one["name"] == "preflight" and one.get("reason")
            ),
            None,
        )
    )
    assert row["message"]


def test_a_job_with_the_runs_name_that_is_somebody_elses_is_left_alone(ground, operators):
    held = ground.apply("taken", ANALYSIS)

    name = names.job_name("taken", held["metadata"]["uid"], "preflight", 1)
    foreign = {
        "metadata": {"name": name},
        "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}},
    }
    made = ground.ask("POST", ground.path("/apis/batch/v1", "jobs"), foreign)
    operators(ground)
    ground.until(lambda: "NameTaken" in [event["reason"] for event in ground.events("taken")])
    left = ground.ask("GET", ground.path("/apis/batch/v1", "jobs", name))
    assert left["metadata"]["uid"] == made["metadata"]["uid"]
    assert left["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]
