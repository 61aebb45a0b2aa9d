"""What helm makes of the chart, for many sets of values, and what it refuses.

After a change that is meant, `python tests/operator/test_chart_rendered.py` writes the snapshots anew.
"""

import functools
import io
from contextlib import closing
from pathlib import Path
from typing import Any

import minio_service
import pytest
import yaml
from helm_chart import CHART, PROMETHEUS, helm, pod_templates, rendered

from dto_operator.crd import crd
from dto_operator.names import MANAGED_BY
from dto_operator.names import OPERATOR as OPERATOR_NAME
from dto_operator.pod_manifest import USER
from dto_operator.settings import OperatorSettings, settings_from_environment

HERE = Path(__file__).parent / "chart"
CASES: dict[str, Any] = yaml.safe_load((HERE / "cases.yaml").read_text())
RESOURCE = "CustomResourceDefinition/dtoruns.dto.run"
MINIO = "Deployment/platform/dto-operator-minio"
OPERATOR = "Deployment/platform/dto-operator"

pytestmark = pytest.mark.services


@functools.cache
def objects(case: str) -> dict[str, Any]:
    flags = PROMETHEUS if CASES[case].get("prometheus") else ()
    return rendered(CASES[case].get("values"), flags)


def snapshot(case: str) -> dict[str, Any]:
    """Return what a set of values changes: objects as they are, and the names of those that are as by default."""
    made = {name: content for name, content in objects(case).items() if name != RESOURCE}
    default = {} if case == "default" else objects("default")
    same = [name for name in made if made[name] == default.get(name)]
    return {
        "asByDefault": same,
        "missing": [name for name in default if name not in made and name != RESOURCE],
        "objects": [_short(content) for name, content in made.items() if name not in same],
    }


def _short(content: dict[str, Any]) -> dict[str, Any]:
    """Return an object, with dashboards by their names: what is in them has a test of its own."""
    if not content["metadata"]["labels"].get("grafana_dashboard"):
        return content
    [(file, text)] = content["data"].items()
    assert text == (CHART / "files" / "dashboards" / file).read_text()
    return content | {"data": f"files/dashboards/{file}"}


def environment(case: str) -> dict[str, str]:
    """Return the operator's environment as its pod gets it."""
    (container,) = objects(case)[OPERATOR]["spec"]["template"]["spec"]["containers"]
    return {entry["name"]: entry.get("value", "from the pod") for entry in container["env"]}


@pytest.mark.parametrize("case", CASES)
def test_values_make_what_they_made(case):
    assert yaml.safe_load((HERE / f"{case}.yaml").read_text()) == snapshot(case)


def test_helm_finds_nothing_to_say():
    done = helm("lint", CHART, "--strict", "--quiet")
    assert (done.returncode, done.stdout.strip()) == (0, "")


def test_the_resource_is_the_generated_one():
    made = rendered()[RESOURCE]
    assert made["spec"] == crd()["spec"]
    assert made["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    assert "annotations" not in rendered({"crds": {"keep": False}})[RESOURCE]["metadata"]
    without = rendered({"crds": {"enabled": False, "aggregatedRoles": False}})
    assert [name for name in without if "dtorun" in name] == []


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"replica": 2}, "replica"),
        ({"watch": {"clusterwide": True}}, "clusterwide"),
        ({"replicas": "two"}, "replicas"),
        ({"image": {"digest": "sha256:12"}}, "digest"),
        ({"store": {"uri": "https://bucket"}}, "uri"),
        ({"operator": {"logLevel": "loud"}}, "logLevel"),
        ({"minio": {"image": {"pullSecret": "x"}}}, "pullSecret"),
        ({"livenessProbe": {"periodSecond": 1}}, "periodSecond"),
    ],
)
def test_a_typo_is_refused_by_name(values, complaint):
    done = helm("template", "dto", CHART, values=values)
    assert done.returncode != 0
    assert complaint in done.stderr


def test_a_kubernetes_that_is_too_old_is_refused():
    assert rendered(None, ("--kube-version=1.32.0",))
    done = helm("template", "dto", CHART, "--kube-version=1.31.9")
    assert done.returncode != 0
    assert "kubeVersion" in done.stderr


def test_the_operator_reads_every_setting_from_the_chart():
    told = environment("bucket")
    given = settings_from_environment(told)
    assert given.model_fields_set == set(OperatorSettings.model_fields) - {"image_pull_secrets"}
    assert {name for name in told if name.startswith("DTO_OPERATOR_")} == set(told)


def test_the_charts_defaults_are_the_operators():
    by_the_place = {"namespaces", "service_account", "lease_namespace", "identity"}
    given, own = settings_from_environment(environment("default")), OperatorSettings()
    assert given.model_dump(exclude=by_the_place) == own.model_dump(exclude=by_the_place)
    assert given.namespaces == (given.lease_namespace,) == ("platform",)


def test_several_replicas_never_work_without_a_lease():
    assert settings_from_environment(environment("two-replicas")).leader_election


def test_the_operator_does_not_take_its_own_pods_for_those_of_runs():
    for pod in pod_templates(objects("minio")).values():
        assert pod["metadata"]["labels"][MANAGED_BY] != OPERATOR_NAME
        assert pod["spec"]["securityContext"]["runAsUser"] > 0
    operator = pod_templates(objects("default"))[OPERATOR]
    assert operator["spec"]["securityContext"]["runAsUser"] == USER


def test_no_role_outside_the_watched_namespaces():
    made = objects("several-namespaces")
    roles = {name for name in made if name.startswith("Role/")}
    assert roles == {"Role/platform/dto-operator-own", "Role/research/dto-operator", "Role/production/dto-operator"}
    # Those for people, which bind nobody.
    assert {name for name in made if name.startswith("ClusterRole")} == {
        "ClusterRole/dtorun-viewer",
        "ClusterRole/dtorun-editor",
    }


@pytest.mark.parametrize("case", ["default", "two-replicas"])
def test_an_old_and_a_new_operator_never_meet(case):
    assert objects(case)[OPERATOR]["spec"]["strategy"] == {"type": "Recreate"}


def test_keys_of_the_bucket_never_reach_the_operator():
    (pod,) = (pod for name, pod in pod_templates(objects("minio")).items() if name == OPERATOR)
    assert "secretKeyRef" not in str(pod)


def test_a_folder_that_is_there_before_minio_starts_is_a_bucket(tmp_path):
    pod = objects("minio")[MINIO]["spec"]["template"]["spec"]
    (mount,) = pod["initContainers"][0]["volumeMounts"]
    # As kubelets make it.
    (tmp_path / "data" / mount["subPath"]).mkdir(parents=True)
    _, *arguments = pod["containers"][0]["command"]
    own = [f"{tmp_path}{argument}" if argument.startswith("/") else argument for argument in arguments]
    service = minio_service.started(tmp_path, arguments=own)
    try:
        client = service.client()
        assert [bucket.name for bucket in client.list_buckets()] == [mount["subPath"]]
        client.put_object(mount["subPath"], "runs/r", io.BytesIO(b"kept"), 4)
        with closing(client.get_object(mount["subPath"], "runs/r")) as answer:
            assert answer.read() == b"kept"
    finally:
        service.kill()


def test_monitors_need_their_resources():
    assert [name for name in rendered({"metrics": {"serviceMonitor": {"enabled": True}}}) if "Monitor" in name] == []


def test_rules_and_dashboards_are_taken_from_files(tmp_path):
    chart = tmp_path / "chart"
    chart.mkdir()
    for path in CHART.rglob("*"):
        copy = chart / path.relative_to(CHART)
        copy.mkdir(exist_ok=True) if path.is_dir() else copy.write_bytes(path.read_bytes())
    groups = {"groups": [{"name": "g", "rules": [{"record": "a:b", "expr": 'x{y="{{ $z }}"}'}]}]}
    for place, text in (("rules/test.yaml", yaml.safe_dump(groups)), ("dashboards/test.json", '{"title": "{{x}}"}\n')):
        (chart / "files" / place).parent.mkdir(exist_ok=True)
        (chart / "files" / place).write_text(text)
    made = rendered({"metrics": {"dashboards": {"enabled": True}}}, PROMETHEUS, chart)
    assert made["PrometheusRule/platform/dto-operator-test"]["spec"] == groups
    assert made["ConfigMap/platform/dto-operator-dashboard-test"]["data"] == {"test.json": '{"title": "{{x}}"}\n'}


if __name__ == "__main__":
    for name in CASES:
        (HERE / f"{name}.yaml").write_text(yaml.safe_dump(snapshot(name), sort_keys=False, width=120))
