"""Settings of a stage's Jobs: what is refused, and that no result depends on them."""

import pytest

from dto_jobs.errors import InvalidRunError
from dto_jobs.pipeline import BENCHMARKS, PROBLEMS
from dto_jobs.plan import plan
from dto_jobs.run_file import parse_run

FULL = {
    "image": "registry.local/dto:1@sha256:0",
    "resources": {"requests": {"cpu": "500m"}, "limits": {"nvidia.com/gpu": 1, "memory": "32Gi"}},
    "nodeSelector": {"gpu": "h100"},
    "tolerations": [{"key": "gpu", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 60}],
    "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": []}}},
    "priorityClassName": "batch-low",
    "runtimeClassName": "nvidia",
    "env": [
        {"name": "HF_HOME", "value": "/models"},
        {"name": "T", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
    ],
    "envFrom": [{"configMapRef": {"name": "c"}}],
    "volumes": [{"name": "models", "mountPath": "/models", "persistentVolumeClaim": {"claimName": "models"}}],
    "activeDeadlineSeconds": 3600,
    "retry": {"application": 0, "infrastructure": 5},
    "cache": False,
}


def run(stages):
    content = {
        "apiVersion": "dto.run/v1alpha1",
        "kind": "DTORun",
        "metadata": {"name": "r"},
        "spec": {"model": {"source": "m"}, "problems": {"source": "p"}, "stages": stages},
    }
    return parse_run(content, "run.yaml")


def keys(stages):
    sources = {PROBLEMS: "p", BENCHMARKS: "b"}
    return {step.name: step.key for step in plan(run(stages).spec.stages, sources, {"model": "m"})}


def test_every_stage_takes_job_settings():
    names = ("rollout", "exits", "endings", "pruning", "pairs", "evaluation")
    stages = {name: {"job": FULL | {"shards": 4, "parallelism": 2}} for name in names}
    read = run(stages | {"training": {"job": FULL | {"nodes": 2}}}).spec.stages
    assert read.evaluation.job.shards == 4
    assert read.training.job.nodes == 2
    assert read.rollout.job.resources.limits == {"nvidia.com/gpu": "1", "memory": "32Gi"}


def test_job_settings_change_no_content_key():
    names = ("rollout", "exits", "endings", "pruning", "pairs", "training", "evaluation")
    assert keys({name: {"job": FULL} for name in names}) == keys({})
    assert keys({"rollout": {"samples": 5}}) != keys({})


def test_imported_traces_keep_the_rollouts_job():
    stages = run({"rollout": {"import": {"source": "t"}, "job": {"shards": 3}}}).spec.stages
    assert next(stages.links()).stage.job.shards == 3


@pytest.mark.parametrize(
    ("job", "words"),
    [
        ({"shards": 2, "parallelism": 3}, ["rollout.job", "parallelism"]),
        ({"nodes": 2}, ["rollout.job.nodes", "unknown field"]),
        ({"image": "two words"}, ["rollout.job.image"]),
        ({"resources": {"limits": {"cpu": "much"}}}, ["rollout.job.resources.limits.cpu", "much"]),
        ({"resources": {"limits": {"cpu": -1}}}, ["rollout.job.resources.limits.cpu"]),
        ({"resources": {"limits": {"c p u": 1}}}, ["rollout.job.resources.limits"]),
        ({"tolerations": [{"operator": "Exists", "value": "x"}]}, ["rollout.job.tolerations[0]", "takes no value"]),
        ({"tolerations": [{"value": "x"}]}, ["rollout.job.tolerations[0]", "needs a key"]),
        ({"tolerations": [{"key": "k", "tolerationSeconds": 1}]}, ["rollout.job.tolerations[0]", "NoExecute"]),
        ({"env": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]}, ["rollout.job.env", "A is there twice"]),
        ({"env": [{"name": "A"}]}, ["rollout.job.env[0]", "value"]),
        ({"volumes": [{"name": "v", "mountPath": "/v"}]}, ["rollout.job.volumes[0]", "exactly one"]),
        ({"volumes": [{"name": "v", "mountPath": "v", "emptyDir": {}}]}, ["rollout.job.volumes[0].mountPath"]),
        (
            {"volumes": [{"name": n, "mountPath": "/v", "emptyDir": {}} for n in "ab"]},
            ["rollout.job", "same mountPath"],
        ),
        ({"retry": {"application": -1}}, ["rollout.job.retry.application"]),
        ({"affinity": {"nodeAfinity": {}}}, ["rollout.job.affinity.nodeAfinity", "`nodeAffinity`"]),
    ],
)
def test_a_mistake_is_named(job, words):
    with pytest.raises(InvalidRunError) as caught:
        run({"rollout": {"job": job}})
    for word in words:
        assert word in str(caught.value)


def test_gpus_are_named_once():
    with pytest.raises(InvalidRunError, match="gpusPerNode"):
        run({"training": {"job": {"gpusPerNode": 8, "resources": {"limits": {"nvidia.com/gpu": 8}}}}})
