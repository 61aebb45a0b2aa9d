"""What a real API server and the real helm make of the chart: admission, rights, install, upgrade, rollback, uninstall."""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from api_server import ApiServer, started
from helm_chart import CHART, NAMESPACE, RELEASE, Releases, helm, pod_templates, rendered, written
from service_process import built
from stored_runs import MINIMAL, manifest

from dto_jobs.run_file import parse_run
from dto_operator.acceptance import refusals
from dto_operator.settings import OperatorSettings

CASES: dict[str, Any] = yaml.safe_load((Path(__file__).parent / "chart/cases.yaml").read_text())
NAMESPACES = (NAMESPACE, "research", "production")
RUNS = f"/apis/dto.run/v1alpha1/namespaces/{NAMESPACE}/dtoruns"
RESOURCE = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/dtoruns.dto.run"
DEPLOYMENT = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/dto-operator"
WITHOUT_RESOURCE = ("--set=crds.enabled=false",)
"""It is long, and takes its time."""
KINDS = ",".join(
    (
        *("deployments", "services", "configmaps", "secrets"),
        *("serviceaccounts", "roles", "rolebindings", "clusterroles", "clusterrolebindings"),
        *("networkpolicies", "poddisruptionbudgets", "persistentvolumeclaims", "priorityclasses"),
    )
)

ROOT = CHART.parents[1]
PAGE = (ROOT / "docs/install.md").read_text()

pytestmark = pytest.mark.services


@pytest.fixture(scope="module")
def cluster(tmp_path_factory) -> Iterator[ApiServer]:
    """A cluster without the resource, whose namespaces enforce what Pod Security calls restricted."""
    server = started(tmp_path_factory.mktemp("chart-cluster"))
    for name in NAMESPACES:
        labels = {"pod-security.kubernetes.io/enforce": "restricted"}
        content = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
        assert server.admin.ask("POST", "/api/v1/namespaces", content).code == 201
    yield server
    server.kill()


@pytest.fixture
def releases(cluster, tmp_path) -> Iterator[Releases]:
    """Helm on the cluster; what it installed is gone after the test, the resource included."""
    made = Releases(cluster, tmp_path)
    yield made
    made.run("uninstall", "--ignore-not-found")
    cluster.admin.ask("DELETE", f"{RUNS}/r")
    cluster.admin.ask("DELETE", RESOURCE)
    cluster.until(lambda: cluster.admin.ask("GET", RESOURCE).code == 404)


def remaining(cluster: ApiServer) -> list[str]:
    listed = cluster.kubectl("get", KINDS, "-A", "-o", "name", "-l", f"app.kubernetes.io/instance={RELEASE}")
    assert listed.returncode == 0, listed.stderr
    return listed.stdout.split()


def may(cluster: ApiServer, account: str, verb: str, what: str, part: str = "", namespace: str = NAMESPACE) -> bool:
    """Tell whether the API server lets a ServiceAccount do something."""
    resource, _, group = what.partition(".")
    asked = {"namespace": namespace, "verb": verb, "group": group, "resource": resource, "subresource": part}
    review = {"user": f"system:serviceaccount:{account}", "resourceAttributes": asked}
    content = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": review}
    answer = cluster.admin.ask("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", content)
    return bool(answer.content["status"]["allowed"])


@pytest.mark.parametrize("case", CASES)
def test_the_api_server_takes_every_object(cluster, case):
    text = written(CASES[case].get("values"), () if case == "default" else WITHOUT_RESOURCE)
    done = cluster.kubectl("apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-", content=text)
    assert done.returncode == 0, done.stderr
    # It would warn of pods that the namespace will refuse.
    assert "Warning" not in done.stderr
    assert len(done.stdout.splitlines()) == text.count("\nkind: ")


def test_restricted_namespaces_take_the_pods(cluster):
    # Where no release is installed, its accounts are made by hand.
    for name in ("dto-operator", "operator", "thinking", "default"):
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}}
        cluster.admin.ask("POST", "/api/v1/namespaces/production/serviceaccounts", account)
    pods = [
        {**pod, "metadata": {**pod["metadata"], "generateName": f"{case}-"}}
        for case in CASES
        if case != "placed"
        for pod in pod_templates(rendered(CASES[case].get("values"), WITHOUT_RESOURCE)).values()
    ]
    tried = "/api/v1/namespaces/production/pods?dryRun=All"
    answers = [cluster.admin.ask("POST", tried, pod) for pod in pods]
    assert [answer.message for answer in answers if answer.code != 201] == []
    assert len(pods) > len(CASES)
    loose = {**pods[0], "spec": {**pods[0]["spec"], "securityContext": {}}}
    assert "PodSecurity" in cluster.admin.ask("POST", tried, loose).message


def test_a_release_lives_and_goes(cluster, releases):
    minio = {"minio": {"enabled": True}}
    said = releases.run("install", CHART, values=minio)
    assert f"kubectl -n {NAMESPACE} rollout status deployment/dto-operator" in said
    keys = f"/api/v1/namespaces/{NAMESPACE}/secrets/dto-operator-minio"
    noted = yaml.safe_load(said.partition("<<'RUN'\n")[2].partition("\n  RUN")[0])
    assert refusals(parse_run(noted, "NOTES"), OperatorSettings(store="s3://dto", store_secret="s")) == []
    made_up = cluster.admin.ask("GET", keys).content["data"]
    cluster.until(lambda: cluster.admin.ask("POST", RUNS, manifest(MINIMAL)).code in {201, 409})
    assert cluster.admin.ask("POST", f"{RUNS}?dryRun=All&fieldValidation=Strict", noted).code == 201
    before = cluster.admin.ask("GET", f"{RUNS}/r").content["metadata"]

    releases.run("upgrade", CHART, values={**minio, "replicas": 2})
    assert cluster.admin.ask("GET", DEPLOYMENT).content["spec"]["replicas"] == 2
    assert "poddisruptionbudget.policy/dto-operator" in remaining(cluster)
    assert cluster.admin.ask("GET", keys).content["data"] == made_up

    releases.run("rollback", "1")
    assert cluster.admin.ask("GET", DEPLOYMENT).content["spec"]["replicas"] == 1
    assert "poddisruptionbudget.policy/dto-operator" not in remaining(cluster)
    assert cluster.admin.ask("GET", keys).content["data"] == made_up
    after = cluster.admin.ask("GET", f"{RUNS}/r").content["metadata"]
    assert (after["uid"], after["resourceVersion"]) == (before["uid"], before["resourceVersion"])

    releases.run("uninstall")
    assert remaining(cluster) == []
    assert cluster.admin.ask("GET", f"{RUNS}/r").content["metadata"]["uid"] == before["uid"]
    assert cluster.admin.ask("DELETE", f"{RUNS}/r").code == 200
    assert cluster.admin.ask("GET", f"{RUNS}/r").code == 404


def test_a_release_takes_up_the_resource_that_an_earlier_one_left(cluster, releases):
    releases.run("install", CHART)
    kept = cluster.admin.ask("GET", RESOURCE).content["metadata"]["uid"]
    releases.run("uninstall")
    releases.run("install", CHART)
    assert cluster.admin.ask("GET", RESOURCE).content["metadata"]["uid"] == kept
    releases.run("uninstall")


def test_the_resource_goes_with_the_release_if_it_is_not_to_be_kept(cluster, releases):
    releases.run("install", CHART, "--set=crds.keep=false")
    assert cluster.admin.ask("GET", RESOURCE).code == 200
    releases.run("uninstall")
    cluster.until(lambda: cluster.admin.ask("GET", RESOURCE).code == 404)


def test_rights_end_where_the_operator_is_not_to_look(cluster, releases):
    releases.run("install", CHART, *WITHOUT_RESOURCE, values={"watch": {"namespaces": [NAMESPACE, "research"]}})
    operator, stages = f"{NAMESPACE}:dto-operator", "research:dto-operator-stages"
    assert may(cluster, operator, "create", "jobs.batch", namespace="research")
    assert may(cluster, operator, "update", "leases.coordination.k8s.io")
    assert not may(cluster, operator, "create", "jobs.batch", namespace="production")
    assert not may(cluster, operator, "get", "secrets")
    assert not may(cluster, operator, "update", "leases.coordination.k8s.io", namespace="research")
    for verb, what in (("get", "dtoruns.dto.run"), ("get", "jobs.batch"), ("get", "secrets"), ("list", "pods")):
        assert not may(cluster, stages, verb, what, namespace="research")
    releases.run("upgrade", CHART, *WITHOUT_RESOURCE, values={"watch": {"clusterWide": True}})
    assert may(cluster, operator, "create", "jobs.batch", namespace="production")
    releases.run("uninstall")
    assert not may(cluster, operator, "create", "jobs.batch", namespace="production")


def test_editors_edit_runs_and_viewers_look(cluster, releases):
    releases.run("install", CHART)
    roles = "/apis/rbac.authorization.k8s.io/v1/clusterroles"
    for name, into in (("dtorun-viewer", {"view", "edit", "admin"}), ("dtorun-editor", {"edit", "admin"})):
        role = cluster.admin.ask("GET", f"{roles}/{name}").content
        added = {label.rpartition("-to-")[2] for label in role["metadata"]["labels"] if "aggregate-to-" in label}
        assert added == into
        account = f"{NAMESPACE}:{name}"
        cluster.kubectl(
            "create", "rolebinding", name, "-n", NAMESPACE, f"--clusterrole={name}", f"--serviceaccount={account}"
        )
        assert may(cluster, account, "watch", "dtoruns.dto.run")
        assert may(cluster, account, "get", "dtoruns.dto.run", "status")
        assert may(cluster, account, "create", "dtoruns.dto.run") is (name == "dtorun-editor")
        assert not may(cluster, account, "patch", "dtoruns.dto.run", "status")
        assert not may(cluster, account, "get", "jobs.batch")


def test_a_second_release_lives_beside_the_first(cluster, releases, tmp_path):
    releases.run("install", CHART)
    beside = ("install", RELEASE, CHART, "--namespace=research")
    surroundings = {"KUBECONFIG": str(cluster.kubeconfig), "HOME": str(tmp_path)}
    refused = helm(*beside, **surroundings)
    assert "dtorun" in refused.stderr
    taken = helm(*beside, "--set=crds.enabled=false,crds.aggregatedRoles=false", **surroundings)
    assert taken.returncode == 0, taken.stderr
    assert helm("uninstall", RELEASE, "--namespace=research", **surroundings).returncode == 0
    assert "deployment.apps/dto-operator" in remaining(cluster)


@pytest.mark.parametrize("sections", [("With Helm", "Upgrading", "Uninstalling"), ("Without Helm",)])
def test_what_the_page_tells_to_type_works(cluster, tmp_path, sections):
    folders = ":".join(str(built(tool)) for tool in ("helm", "kubernetes/kubectl"))
    surroundings = {
        "PATH": f"{folders}:{os.environ['PATH']}",
        "KUBECONFIG": str(cluster.kubeconfig),
        "HOME": str(tmp_path),
    }
    for section in sections:
        text = PAGE.partition(f"## {section}\n")[2].partition("\n## ")[0]
        for command in re.findall(r"```sh\n(.*?)```", text, re.DOTALL):
            done = subprocess.run(
                ["bash", "-ec", command], check=False, cwd=ROOT, env=surroundings, capture_output=True, text=True
            )
            assert done.returncode == 0, (command, done.stderr)
        if section == "With Helm":
            assert "deployment.apps/dto-operator" in remaining(cluster)
    cluster.kubectl("delete", "-f", str(ROOT / "manifests/crd.yaml"), "--ignore-not-found")
    if "Without Helm" in sections:
        assert "deployment.apps/dto-operator" in remaining(cluster)
        cluster.kubectl("delete", "-f", str(ROOT / "manifests/install.yaml"), "--wait=false")
    cluster.until(lambda: not [name for name in remaining(cluster) if not name.startswith("namespace")])
