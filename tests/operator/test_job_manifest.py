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


def test_a_key_is_given_to_the_steps_that_ask_with_it_and_to_no_others():
    endpoint = {"url": "http://judge/v1", "model": "m", "secretRef": {"name": "judge"}, "apiKeyVariable": "JUDGE_KEY"}
    engine = {
        "openai": {"url": "http://base/v1", "model": "b", "secretRef": {"name": "base"}, "apiKeyVariable": "BASE_KEY"}
    }
    spec = {"engine": engine, "until": "training", "stages": {"pruning": {"judge": {"endpoint": endpoint}}}}
    given = {
        step: {name for name in variables(job(step, **spec)) if name.endswith("_KEY") and not name.startswith("AWS")}
        for step in ("preflight", "rollout", "pruning", "pairs", "training", "results")
    }
    assert given == {
        "preflight": {"BASE_KEY", "JUDGE_KEY"},
        "rollout": {"BASE_KEY"},
        "pruning": {"BASE_KEY", "JUDGE_KEY"},
        "pairs": set(),
        "training": set(),
        "results": set(),
    }
    assert not {"BASE_KEY", "JUDGE_KEY"} & set(variables(job("pruning", work="collect", **spec)))


def test_what_the_contract_says_wins_over_a_persons_variables_and_theirs_over_the_usual():
    env = [{"name": name, "value": "mine"} for name in ("DTO_PLAN", "DTO_ATTEMPT", "AWS_ACCESS_KEY_ID", "HF_HOME")]
    found = variables(job("rollout", stages={"rollout": {"job": {"env": env}}}))
    assert found["HF_HOME"] == "mine"
    assert found["DTO_PLAN"] == "store:runs/0b8ee1c8/plan.json"
    assert found["AWS_ACCESS_KEY_ID"] == {"secretKeyRef": {"name": "operators", "key": "accessKey"}}


def test_a_secret_is_only_ever_named():
    made = json.dumps(job("rollout", artifacts={"bucket": "b", "secretRef": {"name": "mine"}}))
    assert '"secretKeyRef": {"name": "mine", "key": "secretKey"}' in made
    assert "operators" not in made.replace("s3://", "")


def test_the_operators_keys_are_shown_to_no_other_service():
    found = variables(job("rollout", artifacts={"bucket": "b", "endpoint": "http://elsewhere:9000"}))
    assert found["DTO_S3_ENDPOINT"] == "http://elsewhere:9000"
    assert "AWS_ACCESS_KEY_ID" not in found


def test_a_queued_job_waits_from_the_start_and_takes_the_runs_priority_along():
    made = job("rollout", queueName="gpus")
    assert made["spec"]["suspend"] is True
    assert made["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "gpus"
    assert "suspend" not in job("rollout")["spec"]


def test_a_deadline_is_the_stages_own_and_not_of_who_collects_for_it():
    spec = {"stages": {"exits": {"job": {"activeDeadlineSeconds": 60}}}}
    assert job("exits", **spec)["spec"]["activeDeadlineSeconds"] == 60
    assert "activeDeadlineSeconds" not in job("exits", work="collect", **spec)["spec"]


def test_the_same_attempt_is_made_the_same_to_the_byte():
    assert json.dumps(job("rollout")) == json.dumps(job("rollout"))
    assert job("rollout")["metadata"]["name"] != job("rollout", attempt=2)["metadata"]["name"]


@pytest.mark.parametrize("name", ["r", "x" * 63, "1-starts-with-a-digit", "a" * 49 + "-b"])
def test_names_are_labels_and_a_service_begins_with_a_letter(name):
    run = run_object(stages={"training": {"job": {"nodes": 256}}})
    run["metadata"]["name"] = name
    service, made = manifests(run, Start("training", 1000, plan="store:p"), SETTINGS)
    assert len(made["metadata"]["name"]) + len("-255") <= 63
    assert len(service["metadata"]["name"]) <= 63
    assert service["metadata"]["name"][0].isalpha()
    assert made["spec"]["template"]["spec"]["subdomain"] == service["metadata"]["name"]
    assert service["spec"]["selector"].items() <= made["spec"]["template"]["metadata"]["labels"].items()
