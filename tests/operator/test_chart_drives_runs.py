"""What the chart installs suffices: the operator, with the rights and the environment that a release gave it, drives a run."""

from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from api_server import ApiServer, started
from helm_chart import CHART, NAMESPACE, Releases
from operator_process import Ground, OperatorProcess
from stored_runs import MINIMAL

from dto_operator.settings import PREFIX

DEPLOYMENT = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/dto-operator"
RESTRICTED = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}
VALUES = {"replicas": 2, "store": {"uri": "s3://dto/team", "endpoint": "http://minio:9000", "secret": "bucket"}}

pytestmark = pytest.mark.services


@pytest.fixture
def cluster(tmp_path) -> Iterator[ApiServer]:
    """A cluster that has never heard of DTORuns."""
    (tmp_path / "cluster").mkdir()
    server = started(tmp_path / "cluster")
    server.admin.ask("POST", "/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
    yield server
    server.kill()


def settings_in(deployment: dict[str, Any]) -> dict[str, str]:
    """Return the settings that an operator's pod gets, by their names."""
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    told = {entry["name"]: entry["value"] for entry in container["env"] if "value" in entry}
    return {name.removeprefix(PREFIX).lower(): value for name, value in told.items()}


def as_account(server: ApiServer, name: str) -> str:
    """Return a kubeconfig with a token of a ServiceAccount, as its pods get one."""
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 3600}}
    path = f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/{name}/token"
    token = server.admin.ask("POST", path, request).content["status"]["token"]
    return yaml.safe_dump(server.admin.configuration() | {"users": [{"name": "tests", "user": {"token": token}}]})


def test_the_installed_operator_drives_a_run_with_what_its_release_gave_it(cluster, tmp_path):
    ground = Ground(cluster)
    ground.ask("PATCH", f"/api/v1/namespaces/{ground.namespace}", RESTRICTED, "application/merge-patch+json")
    Releases(cluster, tmp_path).run("install", CHART, values={**VALUES, "watch": {"namespaces": [ground.namespace]}})
    deployment = ground.ask("GET", DEPLOYMENT)
    settings = settings_in(deployment)
    del settings["metrics_port"]
    kubeconfig = tmp_path / "operator.yaml"
    kubeconfig.write_text(as_account(cluster, deployment["spec"]["template"]["spec"]["serviceAccountName"]))
    operator = OperatorProcess(kubeconfig, ground.namespace, tmp_path / "operator.log", **settings).start()
    try:
        ground.until(lambda: operator.asked("/readyz")[0] == 200)
        ground.apply("whole", MINIMAL | {"until": "pairs"})
        ground.drive("whole")
        ground.until(lambda: ground.condition("whole", "Complete"))
        assert ground.events("whole")
        assert operator.metric("dto_operator_leader") == 1
        refused = [line for line in operator.asked("/metrics")[1].splitlines() if 'code="403"' in line]
        assert refused == []
        accounts = {job["spec"]["template"]["spec"]["serviceAccountName"] for job in ground.jobs()}
        assert accounts == {"dto-operator-stages"}
    finally:
        operator.kill()
