"""Runs that are valid and yet cannot be run on a cluster: each is refused at its field, with what to do."""

import pytest

from dto_jobs.run_file import parse_run
from dto_operator.acceptance import refusals
from dto_operator.settings import OperatorSettings

WITH_STORE = OperatorSettings(store="s3://operators/runs")
MOUNTED = {"volumes": [{"name": "data", "mountPath": "/data", "configMap": {"name": "rows"}}]}


def refused(settings=WITH_STORE, **spec):
    content = {"model": {"source": "builtin:tiny-reasoner"}, "problems": {"source": "builtin:graded-sums"}} | spec
    head = {"apiVersion": "dto.run/v1alpha1", "kind": "DTORun", "metadata": {"name": "r"}}
    return dict(refusals(parse_run(head | {"spec": content}, "the run"), settings))


REFUSED = [
    ("spec.model.source", "s3://bucket/prefix", {"model": {"source": "file:models/x"}}),
    ("spec.model.source", "pvc://claim/path", {"model": {"source": "models/x"}}),
    ("spec.model.source", "names no claim", {"model": {"source": "pvc:///x"}}),
    ("spec.engine.vllm.adapter", "your machine", {"engine": {"vllm": {"adapter": "./lora"}}}),
    ("spec.stages.pruning.judge.model", "your machine", {"stages": {"pruning": {"judge": {"model": "./judge"}}}}),
    ("spec.problems.source", "s3://bucket/key", {"problems": {"source": "problems.jsonl"}}),
    (
        "spec.problems.source",
        "mountPath",
        {"problems": {"source": "/data/../etc/x"}, "stages": {"rollout": {"job": MOUNTED}}},
    ),
    ("spec.problems.folder", "leave it out", {"problems": {"source": "math500", "folder": "benchmarks"}}),
    ("spec.stages.rollout.import.source", "s3://", {"stages": {"rollout": {"import": {"source": "traces.jsonl"}}}}),
    (
        "spec.stages.evaluation.benchmarks[1]",
        "s3://",
        {"stages": {"evaluation": {"benchmarks": ["gsm8k", "mine.jsonl"]}}},
    ),
    (
        "spec.stages.evaluation.problemSets[0].source",
        "s3://",
        {"stages": {"evaluation": {"problemSets": [{"name": "mine", "source": "mine.jsonl"}]}}},
    ),
    ("spec.artifacts.folder", "name a bucket", {"artifacts": {"folder": "out"}}),
    (
        "spec.stages.pruning.judge.endpoint.apiKeyVariable",
        "another variable",
        {
            "until": "pairs",
            "engine": {"openai": {"url": "http://a/v1", "model": "a", "secretRef": {"name": "a"}}},
            "stages": {
                "pruning": {"judge": {"endpoint": {"url": "http://b/v1", "model": "b", "secretRef": {"name": "b"}}}}
            },
        },
    ),
    ("spec.queuePolicy", "leave it out", {"queueName": "q", "queuePolicy": "WholeRun"}),
    (
        "spec.stages.training.job.nodes",
        "set nodes to 1",
        {"stages": {"training": {"sweep": {"learningRate": [1e-6, 2e-6]}, "job": {"nodes": 2}}}},
    ),
    (
        "spec.problems.inline",
        "s3://bucket/problems.jsonl",
        {"problems": {"inline": [{"problem": "x" * 1000, "answer": "1"}] * 220}},
    ),
    (
        "spec.stages.rollout.job.volumes[0].mountPath",
        "another place",
        {"stages": {"rollout": {"job": {"volumes": [{"name": "a", "mountPath": "/tmp/", "emptyDir": {}}]}}}},
    ),
    (
        "spec.stages.training.job.volumes[0].name",
        "operator's",
        {"stages": {"training": {"job": {"volumes": [{"name": "dto-tmp", "mountPath": "/a", "emptyDir": {}}]}}}},
    ),
]


@pytest.mark.parametrize(("path", "words", "spec"), REFUSED, ids=lambda value: str(value)[:60])
def test_what_no_pod_can_have_is_refused_at_its_field(path, words, spec):
    found = refused(**spec)
    assert list(found) == [path]
    assert words in found[path]


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"model": {"source": "hf://org/name@main"}},
        {"model": {"source": "pvc://models/qwen"}},
        {"model": {"source": "file:unread"}, "engine": {"scripted": {}}},
        {"problems": {"source": "s3://data/math.jsonl"}},
        {"problems": {"source": "gsm8k-train"}},
        {"problems": {"source": "/data/math.jsonl", "folder": "/data"}, "stages": {"rollout": {"job": MOUNTED}}},
        {"problems": {"source": "file:///data/math.jsonl"}, "stages": {"rollout": {"job": MOUNTED}}},
        {"queueName": "q"},
    ],
    ids=str,
)
def test_what_a_pod_can_have_is_taken(spec):
    assert refused(**spec) == {}


def test_a_run_without_a_store_is_refused_where_the_operator_has_none_either():
    assert list(refused(OperatorSettings())) == ["spec.artifacts.bucket"]
    assert refused(OperatorSettings(), artifacts={"bucket": "mine"}) == {}
