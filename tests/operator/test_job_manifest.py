"""What an attempt's Job says, case by case; golden/ has whole manifests."""

import json

import pytest

from dto_operator.job_manifest import manifests
from dto_operator.orders import Start
from dto_operator.pod_manifest import RunTooLargeError
from dto_operator.settings import OperatorSettings

SETTINGS = OperatorSettings(store="s3://operators/runs", store_secret="operators")


def run_object(**spec):
    return {
        "apiVersion": "dto.run/v1alpha1",
        "kind": "DTORun",
        "metadata": {"name": "r", "namespace": "team", "uid": "0b8ee1c8", "managedFields": [{"manager": "kubectl"}]},
        "spec": {"model": {"source": "builtin:tiny-reasoner"}, "problems": {"source": "builtin:graded-sums"}} | spec,
        "status": {"phase": "Running"},
    }


def job(step, attempt=1, settings=SETTINGS, work="make", **spec):
    start = Start(step, attempt, work, plan=None if step == "preflight" else "store:runs/0b8ee1c8/plan.json")
    return manifests(run_object(**spec), start, settings)[-1]


def container(manifest):
    return manifest["spec"]["template"]["spec"]["containers"][0]


def variables(manifest):
    names = [one["name"] for one in container(manifest)["env"]]
    assert len(names) == len(set(names))
    return {one["name"]: one.get("value", one.get("valueFrom")) for one in container(manifest)["env"]}


def test_shards_are_indexes_of_one_job():
    made = job("rollout", stages={"rollout": {"job": {"shards": 8, "parallelism": 3}}})["spec"]
    assert (made["completionMode"], made["completions"], made["parallelism"]) == ("Indexed", 8, 3)


def test_a_run_that_is_too_large_for_an_annotation_is_refused_with_the_remedy():
    rows = [{"problem": "x" * 1000, "answer": "1"}] * 260
    with pytest.raises(RunTooLargeError, match=r"problems\.source: s3://"):
        job("preflight", problems={"inline": rows})


def test_the_preflight_reads_the_run_as_it_was_written():
    made = job("preflight", seed=7)["spec"]["template"]
    read = json.loads(made["metadata"]["annotations"]["dto.run/run"])
    assert read == {
        **{key: run_object()[key] for key in ("apiVersion", "kind")},
        "metadata": {"name": "r", "namespace": "team"},
        "spec": run_object(seed=7)["spec"],
    }
    assert made["spec"]["containers"][0]["args"] == ["preflight", "/etc/dto/run.json"]
