"""Runs in, manifests out: golden/cases.yaml has what goes in, golden/<case>.yaml what comes out.

`python tests/operator/test_golden_manifests.py` writes the manifests anew; then read what changed.
"""

from pathlib import Path

import pytest
import yaml

from dto_operator.job_manifest import manifests
from dto_operator.orders import Start
from dto_operator.settings import OperatorSettings

GOLDEN = Path(__file__).parent / "golden"
CASES = yaml.safe_load((GOLDEN / "cases.yaml").read_text())
NAMESPACE = "restricted"
CLASSES = """
apiVersion: v1
kind: Namespace
metadata: {name: restricted, labels: {pod-security.kubernetes.io/enforce: restricted, pod-security.kubernetes.io/warn: restricted}}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: default, namespace: restricted}
---
apiVersion: scheduling.k8s.io/v1
kind: PriorityClass
metadata: {name: batch-low}
value: -10
---
apiVersion: node.k8s.io/v1
kind: RuntimeClass
metadata: {name: nvidia}
handler: nvidia
"""


def made(case):
    spec = {"model": {"source": "builtin:tiny-reasoner"}, "problems": {"source": "builtin:graded-sums"}} | case["spec"]
    metadata = {"name": "qwen", "namespace": NAMESPACE, "uid": "5f2b6c0e-3c1d-4f0e-9a57-0d6a5f0c1b2a"}
    head = {"apiVersion": "dto.run/v1alpha1", "kind": "DTORun"}
    run = head | {"metadata": metadata | {"labels": case.get("labels", {})}, "spec": spec}
    return manifests(run, Start(**case["start"]), OperatorSettings(**case.get("settings", {})))


def text(case):
    return yaml.safe_dump_all(made(case), sort_keys=False, width=1000)


def test_every_case_has_its_manifests_and_no_other():
    assert {path.stem for path in GOLDEN.glob("*.yaml")} == {"cases", *CASES}
    assert len(CASES) >= 10


@pytest.mark.parametrize("name", CASES)
def test_a_run_makes_these_manifests(name):
    assert made(CASES[name]) == list(yaml.safe_load_all((GOLDEN / f"{name}.yaml").read_text()))


@pytest.fixture(scope="module")
def cluster(api_server):
    applied = api_server.kubectl("apply", "-f", "-", content=CLASSES)
    assert applied.returncode == 0, applied.stderr
    return api_server


def pod(job):
    template = job["spec"]["template"]
    metadata = template["metadata"] | {"name": "tried", "namespace": NAMESPACE}
    return yaml.safe_dump({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]})


@pytest.mark.services
@pytest.mark.parametrize("name", CASES)
def test_an_api_server_takes_them_where_pods_are_restricted(cluster, name):
    content = text(CASES[name])
    for manifest in (content, pod(made(CASES[name])[-1])):
        done = cluster.kubectl("create", "--dry-run=server", "--validate=strict", "-f", "-", content=manifest)
        assert done.returncode == 0, done.stderr
        assert "Warning" not in done.stderr


@pytest.mark.services
def test_that_namespace_refuses_what_is_not_restricted(cluster):
    job = made(CASES["preflight"])[-1]
    del job["spec"]["template"]["spec"]["securityContext"]["seccompProfile"]
    done = cluster.kubectl("create", "--dry-run=server", "-f", "-", content=pod(job))
    assert "violates PodSecurity" in done.stderr


if __name__ == "__main__":
    for name, case in CASES.items():
        (GOLDEN / f"{name}.yaml").write_text(text(case))
