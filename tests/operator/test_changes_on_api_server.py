"""What may be changed while a run exists, on a real API server."""

import json

import pytest
from stored_runs import MINIMAL, manifest, read

from dto_jobs.resource import Spec

pytestmark = pytest.mark.services
START = MINIMAL | {
    "artifacts": {"bucket": "dto", "prefix": "team/"},
    "queueName": "team-a",
    "until": "evaluation",
    "managedBy": "dto.run/operator",
    "stages": {"pruning": {"guard": False}, "training": {"lora": {"rank": 8}}},
}
FIXED = {
    "model": {"source": "other"},
    "problems": {"source": "other"},
    "artifacts": {"bucket": "other"},
    "engine": {"transformers": {"slots": 4}},
    "seed": 1,
    "stages": {"training": {"beta": 2.5}},
    "gate": {"minTokenSaving": 0.1},
    "until": "pairs",
    "queueName": "team-b",
    "queuePolicy": "WholeRun",
    "managedBy": "other.io/operator",
}
FREE = {
    "suspend": [True, False],
    "budget": [{"gpuHours": 4}, {"gpuHours": 0.5}, None],
    "ttlSecondsAfterFinished": [60, 0, None],
    "rerunFrom": ["training", "rollout", None],
}


@pytest.fixture(scope="module")
def stored(runs):
    runs.created(manifest(START, "held"))
    return runs


def test_the_tables_know_every_field():
    assert {*FIXED, *FREE} == {field.alias for field in Spec.model_fields.values()}


@pytest.mark.parametrize("field", FIXED)
def test_what_decides_the_result_stays(stored, field):
    answer = stored.changed("held", {"spec": {field: FIXED[field]}})
    assert answer.code == 422
    assert f"spec.{field}" in answer.message
    assert "cannot be changed once the run exists" in answer.message
    assert "another metadata.name" in answer.message


@pytest.mark.parametrize(
    "patch",
    [
        {"until": None},
        {"queueName": None},
        {"managedBy": None},
        {"artifacts": {"prefix": None}},
        {"artifacts": {"endpoint": "http://other"}},
        {"artifacts": {"secretRef": {"name": "s"}}},
        {"engine": {"transformers": None, "scripted": {}}},
        {"stages": {"training": {"lora": None}}},
        {"stages": {"rollout": {"job": {"shards": 2}}}},
        {"stages": {"pruning": {"guard": True}}},
        {"problems": {"source": None, "inline": [{"problem": "1+1", "answer": "2"}]}},
    ],
    ids=str,
)
def test_nothing_is_added_or_taken_away(stored, patch):
    answer = stored.changed("held", {"spec": patch})
    assert answer.code == 422
    assert "cannot be changed once the run exists" in answer.message


def test_inline_problems_stay(runs):
    runs.created(manifest(MINIMAL | {"problems": {"inline": [{"problem": "1+1", "answer": "2"}]}}, "inline"))
    answer = runs.changed("inline", {"spec": {"problems": {"inline": [{"problem": "1+1", "answer": "3"}]}}})
    assert answer.code == 422


@pytest.mark.parametrize("field", FREE)
def test_what_decides_nothing_may_be_changed(runs, field):
    runs.created(manifest(START, "free"))
    for value in FREE[field]:
        answer = runs.changed("free", {"spec": {field: value}})
        assert answer.code == 200, answer.message
        assert answer.content["spec"].get(field) == value


def test_retention_may_be_changed(runs):
    runs.created(manifest(START, "free"))
    for policy in ("DeleteIntermediates", "DeleteOnRunDeletion", "Retain"):
        answer = runs.changed("free", {"spec": {"artifacts": {"policy": policy}}})
        assert answer.code == 200, answer.message


def test_a_change_is_held_to_the_other_rules(runs):
    runs.created(manifest(MINIMAL | {"until": "pairs"}, "free"))
    answer = runs.changed("free", {"spec": {"rerunFrom": "training"}})
    assert answer.code == 422
    assert "rerunFrom names a stage" in answer.message


def test_writing_the_same_again_is_no_change(stored):
    before = stored.changed("held", {"metadata": {"labels": {"a": "b"}}}).content
    again = stored.changed("held", {"spec": MINIMAL | {"seed": 0, "suspend": None, "until": "evaluation"}})
    assert again.code == 200, again.message
    assert again.content["metadata"]["generation"] == before["metadata"]["generation"]


@pytest.mark.parametrize("side", ["", "--server-side"])
def test_applying_the_same_file_again_is_no_change(runs, side):
    content = json.dumps(manifest(START, f"applied{side}"))
    for _ in range(2):
        done = runs.server.kubectl("apply", *filter(None, [side]), "-f", "-", content=content)
        assert done.returncode == 0, done.stderr
    stored = runs.server.admin.ask("GET", f"{runs.path}/applied{side}").content
    assert stored["metadata"]["generation"] == 1
    assert stored["spec"]["stages"]["pruning"]["guard"] is False


def test_a_run_read_back_is_the_run_that_was_written(stored):
    content = stored.server.admin.ask("GET", f"{stored.path}/held").content
    assert read(content).spec == read(manifest(START, "held")).spec
