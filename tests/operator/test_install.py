"""What installs the operator is what its source says, holds no right too many, and is taken by a real API server."""

from pathlib import Path

import pytest
import yaml

from dto_operator.crd import to_yaml
from dto_operator.install import FILES, chart_rights, objects
from dto_operator.names import MANAGED_BY, OPERATOR
from dto_operator.rights import AT_HOME, IN_NAMESPACES
from dto_operator.settings import settings_from_environment

MANIFESTS = Path(__file__).parents[2] / "manifests"


@pytest.mark.parametrize(("file", "cluster_wide"), FILES.items())
def test_the_files_are_what_their_source_says(file, cluster_wide):
    assert (MANIFESTS / file).read_text() == to_yaml(*objects(cluster_wide=cluster_wide)), "run make manifests"


def test_the_chart_grants_the_same():
    assert (MANIFESTS.parent / "charts/dto-operator/files/rights.yaml").read_text() == chart_rights(), (
        "run make manifests"
    )


def test_rights_name_every_verb_once_and_what_it_is_for():
    granted = [(one.group, one.resource, verb) for one in (*IN_NAMESPACES, *AT_HOME) for verb in one.verbs]
    assert len(granted) == len(set(granted))
    assert all(one.why for one in (*IN_NAMESPACES, *AT_HOME))
    assert not {"*", "secrets", "configmaps"} & {part for one in granted for part in one}


def test_cluster_wide_differs_in_where_it_looks_alone():
    kinds = [[one["kind"] for one in objects(cluster_wide=everywhere)] for everywhere in (False, True)]
    assert [kind.replace("Cluster", "") for kind in kinds[1]] == kinds[0]


@pytest.mark.parametrize("cluster_wide", [False, True])
def test_its_own_settings_read_what_the_deployment_says(cluster_wide):
    deployment = objects(cluster_wide=cluster_wide)[-1]
    told = deployment["spec"]["template"]["spec"]["containers"][0]["env"]
    settings = settings_from_environment({one["name"]: one["value"] for one in told if "value" in one})
    assert settings.namespaces == (() if cluster_wide else ("dto",))
    assert settings.metrics_port == 8080


def test_the_operator_does_not_take_its_own_pods_for_those_of_runs():
    for one in objects(cluster_wide=True):
        assert one["metadata"]["labels"].get(MANAGED_BY) != OPERATOR


NOT_GRANTED = [
    ("get", "", "secrets"),
    ("delete", "", "pods"),
    ("create", "", "pods"),
    ("update", "batch", "jobs"),
    ("create", "dto.run", "dtoruns"),
]


def may(server, verb, group, resource, part=""):
    attributes = {"namespace": "dto", "verb": verb, "group": group, "resource": resource, "subresource": part}
    review = {"user": "system:serviceaccount:dto:dto-operator", "resourceAttributes": attributes}
    content = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": review}
    return server.admin.ask("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", content).content["status"][
        "allowed"
    ]


@pytest.mark.services
@pytest.mark.parametrize("file", FILES)
def test_an_api_server_takes_it_and_grants_these_rights(api_server, file):
    content = (MANIFESTS / file).read_text()
    done = api_server.kubectl("apply", "--validate=strict", "-f", "-", content=content)
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    template = yaml.safe_load(content.rpartition("---\n")[2])["spec"]["template"]
    metadata = template["metadata"] | {"name": "tried", "namespace": "dto"}
    tried = yaml.safe_dump({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]})
    pod = api_server.kubectl("create", "--dry-run=server", "-f", "-", content=tried)
    assert pod.returncode == 0, pod.stderr
    for right in (*IN_NAMESPACES, *AT_HOME):
        resource, _, part = right.resource.partition("/")
        for verb in right.verbs:
            assert may(api_server, verb, right.group, resource, part), (right, verb)
    for verb, group, resource in NOT_GRANTED:
        assert not may(api_server, verb, group, resource), (verb, resource)
