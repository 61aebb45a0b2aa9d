"""A run that takes its artifacts along, on a real API server: the finalizer, the Job that outlives the run, a namespace that ends."""

import pytest
from operator_process import last_words, owned
from stored_runs import MINIMAL

from dto_operator import names

pytestmark = pytest.mark.services
SPEC = MINIMAL | {"until": "pairs", "artifacts": {"bucket": "dto", "policy": "DeleteOnRunDeletion"}}
RUNS = "/apis/dto.run/v1alpha1"


def gone(ground, name):
    return ground.server.admin.ask("GET", ground.path(RUNS, "dtoruns", name)).code == 404


def test_a_deleted_run_waits_until_its_artifacts_are_removed(ground, operators):
    operators(ground)
    uid = ground.apply("goes", SPEC)["metadata"]["uid"]
    working = ground.job("preflight")
    assert ground.run("goes")["metadata"]["finalizers"] == [names.FINALIZER]
    ground.until(lambda: ground.run("goes").get("status"))
    ground.ask("DELETE", ground.path(RUNS, "dtoruns", "goes"))
    job = ground.job("discard")
    assert not owned(job, uid)
    assert working["metadata"]["name"] not in [one["metadata"]["name"] for one in ground.jobs()]
    assert not gone(ground, "goes")
    ground.ended(ground.pod(job), last_words("results", uid))
    ground.until(lambda: gone(ground, "goes"))
    assert "ArtifactsDeleted" in [event["reason"] for event in ground.events("goes")]


def test_after_the_deadline_it_goes_and_an_event_says_where_its_artifacts_are(ground, operators):
    operators(ground, discard_seconds="3")
    uid = ground.apply("late", SPEC)["metadata"]["uid"]
    ground.job("preflight")
    ground.ask("DELETE", ground.path(RUNS, "dtoruns", "late"))
    ground.until(lambda: gone(ground, "late"))
    (said,) = [one for one in ground.events("late") if one["reason"] == "ArtifactsOrphaned"]
    assert f"s3://dto/runs/{uid}/" in said["note"]


def test_in_a_namespace_that_ends_it_goes_at_once(ground, operators):
    operators(ground)
    ground.apply("swept", SPEC)
    ground.job("preflight")
    ground.ask("DELETE", f"/api/v1/namespaces/{ground.namespace}")
    ground.ask("DELETE", ground.path(RUNS, "dtoruns", "swept"))
    ground.until(lambda: gone(ground, "swept"))
    assert ground.jobs("discard") == []
