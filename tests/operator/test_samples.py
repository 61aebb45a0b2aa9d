"""The samples for a cluster: nothing in them is refused there, and the pods of their every step are taken."""

from pathlib import Path

import pytest
import yaml

from dto_jobs.json_form import from_yaml
from dto_jobs.resource import STAGE_NAMES
from dto_jobs.run_file import parse_run
from dto_operator.acceptance import refusals
from dto_operator.job_manifest import manifests
from dto_operator.orders import Start
from dto_operator.settings import OperatorSettings

SAMPLES = Path(__file__).parents[2] / "manifests/samples"
ON_A_CLUSTER = sorted(path for path in SAMPLES.glob("*.yaml") if "bucket:" in path.read_text())
NAMESPACE = """
apiVersion: v1
kind: Namespace
metadata: {name: samples, labels: {pod-security.kubernetes.io/enforce: restricted, pod-security.kubernetes.io/warn: restricted}}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: default, namespace: samples}
"""


def made(path):
    run = from_yaml(path.read_text())
    run["metadata"] |= {"namespace": "samples", "uid": "5f2b6c0e"}
    for step in ("preflight", *STAGE_NAMES, "results"):
        plan = None if step == "preflight" else "store:runs/5f2b6c0e/plan.json"
        yield from manifests(run, Start(step, 1, plan=plan), OperatorSettings())


def test_there_is_one_for_each_way_to_run():
    ways = {
        "demo-cluster",
        "one-gpu-1.5b",
        "many-gpus-7b",
        "kueue",
        "external-judge",
        "imported-traces",
        "out-of-domain-gate",
    }
    assert ways <= {path.stem for path in ON_A_CLUSTER}


@pytest.mark.parametrize("path", ON_A_CLUSTER, ids=lambda path: path.stem)
def test_nothing_in_it_is_refused_on_a_cluster(path):
    assert refusals(parse_run(from_yaml(path.read_text()), path.name), OperatorSettings()) == []


def test_the_demo_on_a_cluster_computes_what_the_demo_does():
    demo, on_a_cluster = (
        parse_run(from_yaml((SAMPLES / name).read_text()), name) for name in ("demo.yaml", "demo-cluster.yaml")
    )
    ours, theirs = (run.spec.model_dump(exclude={"artifacts"}) for run in (demo, on_a_cluster))
    assert ours == theirs


@pytest.fixture(scope="module")
def cluster(api_server):
    applied = api_server.kubectl("apply", "-f", "-", content=NAMESPACE)
    assert applied.returncode == 0, applied.stderr
    return api_server


@pytest.mark.services
@pytest.mark.parametrize("path", ON_A_CLUSTER, ids=lambda path: path.stem)
def test_the_pods_of_all_its_steps_are_taken(cluster, path):
    content = yaml.safe_dump_all(made(path))
    done = cluster.kubectl("create", "--dry-run=server", "--validate=strict", "-f", "-", content=content)
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    assert done.stdout.count("job.batch/") == len(STAGE_NAMES) + 2
