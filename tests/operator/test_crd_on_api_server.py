"""The CRD as people and programs meet it on a real API server."""

import json
import re

import pytest
from stored_runs import MINIMAL, manifest

from dto_operator.crd import COLUMNS, crd, to_yaml

pytestmark = pytest.mark.services
NOW = "2026-01-02T03:04:05Z"
RUNNING = {
    "observedGeneration": 1,
    "phase": "Running",
    "stage": "exits",
    "progress": "12/32",
    "conditions": [
        {"type": kind, "status": "True", "reason": "Started", "message": "at work", "lastTransitionTime": NOW}
        for kind in ("Accepted", "Progressing")
    ],
    "stages": [
        {
            "name": "rollout",
            "state": "Succeeded",
            "attempts": {"total": 2, "counted": 1},
            "jobName": "r-rollout-2-0a1b",
            "startTime": NOW,
            "cache": {"key": "k", "hit": False},
            "artifact": {"uri": "s3://dto/runs/u/rollout/2", "sha256": "0" * 64, "bytes": 1},
        },
        {"name": "exits", "state": "Running", "progress": {"done": 12, "total": 32, "eta": NOW}},
    ],
    "summary": {"tokensSaved": "35 %", "flopsSaved": "38 %", "accuracyChange": "+11.3"},
    "results": {"pairs": {"pairs": 3, "copies": 3, "problems": 2, "kinds": {}}, "training": {"any": {"thing": 1}}},
}


@pytest.fixture
def running(runs):
    runs.created(manifest(MINIMAL | {"queueName": "team-a"}, "seen"))
    answer = runs.changed("seen", {"status": RUNNING}, "/status")
    assert answer.code == 200, answer.message
    return runs


def test_kubectl_applies_the_definition_and_it_stays_small(runs):
    done = runs.server.kubectl("apply", "-f", "-", content=to_yaml(crd()))
    assert done.returncode == 0, done.stderr
    stored = runs.server.admin.ask(
        "GET", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/dtoruns.dto.run"
    ).content
    noted = stored["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"]
    assert len(noted.encode()) <= 256 * 1024
    assert len(json.dumps(stored["spec"]).encode()) <= 256 * 1024
    assert {(one["type"], one["status"]) for one in stored["status"]["conditions"]} >= {
        ("Established", "True"),
        ("NamesAccepted", "True"),
    }
    assert "NonStructuralSchema" not in {one["type"] for one in stored["status"]["conditions"]}


def test_what_is_fixed_in_the_definition_reaches_the_server_unchanged(runs):
    stored = runs.server.admin.ask(
        "GET", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/dtoruns.dto.run"
    ).content
    assert stored["spec"]["versions"][0]["schema"] == crd()["spec"]["versions"][0]["schema"]


def test_a_person_sees_phase_stage_and_gain(running):
    done = running.server.kubectl("get", "dto", "seen")
    assert done.returncode == 0, done.stderr
    head, line = done.stdout.splitlines()
    assert re.split(r"\s{2,}", head.strip()) == ["NAME", *(name.upper() for name, *_, wide in COLUMNS if not wide)]
    assert all(words in line for words in ("Running", "exits", "12/32", "35 %", "38 %", "+11.3"))
    wide = running.server.kubectl("get", "dto", "seen", "-o", "wide").stdout
    assert "team-a" in wide
    assert "builtin:tiny-reasoner" in wide


@pytest.mark.parametrize("category", ["all", "ml"])
def test_runs_are_in_their_categories(running, category):
    assert "dtorun.dto.run/seen" in running.server.kubectl("get", category, "-o", "name").stdout


@pytest.mark.parametrize(
    ("selector", "found"),
    [
        ("status.phase=Running", True),
        ("status.phase=Failed", False),
        ("spec.queueName=team-a", True),
        ("spec.queueName=team-b", False),
    ],
)
def test_runs_are_selected_by_phase_and_queue(running, selector, found):
    done = running.server.kubectl("get", "dto", "--field-selector", selector, "-o", "name")
    assert done.returncode == 0, done.stderr
    assert ("seen" in done.stdout) == found


def test_waiting_for_a_condition_works(running):
    done = running.server.kubectl("wait", "--for=condition=Progressing", "dto/seen", "--timeout=60s")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("dto.spec.stages.exits.threshold", "The exit is the first boundary"),
        ("dto.spec.stages.training.job.gpusPerNode", "GPUs, and by that processes, of each"),
        ("dto.status.results.evaluation.slices.base.accuracy.n", "Clusters it rests on"),
        ("dto.status.conditions.reason", "Why, in one word"),
    ],
)
def test_fields_are_explained(runs, path, words):
    done = runs.server.kubectl("explain", path)
    assert done.returncode == 0, done.stderr
    assert words in " ".join(done.stdout.split())


def test_the_status_is_written_by_itself(running):
    before = running.changed("seen", {"status": {"phase": "Failed"}})
    assert before.content["status"]["phase"] == "Running"
    spec = running.changed("seen", {"spec": {"seed": 5}, "status": {"phase": "Failed"}}, "/status")
    assert spec.content["spec"]["seed"] == 0
    assert spec.content["status"]["phase"] == "Failed"


def test_two_writers_own_conditions_and_stages_of_their_own(running):
    def applied(manager, **status):
        path = f"{running.path}/seen/status?fieldManager={manager}"
        content = {"apiVersion": "dto.run/v1alpha1", "kind": "DTORun", "metadata": {"name": "seen"}, "status": status}
        return running.server.admin.ask("PATCH", path, json.dumps(content), "application/apply-patch+yaml")

    mine = {"type": "Mine", "status": "True", "reason": "R", "message": "", "lastTransitionTime": NOW}
    answer = applied("another", conditions=[mine])
    assert answer.code == 200, answer.message
    kinds = [one["type"] for one in answer.content["status"]["conditions"]]
    assert sorted(kinds) == ["Accepted", "Mine", "Progressing"]


@pytest.mark.parametrize(
    ("status", "path"),
    [
        ({"phase": "Done"}, "status.phase"),
        ({"conditions": [{"type": "Complete", "status": "yes"}]}, "status.conditions[0]"),
        ({"stages": [{"name": "rollout", "state": "Running"}] * 2}, "status.stages[1]"),
        ({"stages": [{"name": "exits", "state": "Running", "message": "x" * 1025}]}, "status.stages[0].message"),
        ({"stages": [{"name": "sampling", "state": "Running"}]}, "status.stages[0].name"),
    ],
)
def test_a_wrong_status_is_refused(running, status, path):
    answer = running.changed("seen", {"status": status}, "/status")
    assert answer.code == 422
    assert path in answer.message
