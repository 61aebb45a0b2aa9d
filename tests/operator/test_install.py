"""What installs the operator is what its source says, holds no right too many, and is taken by a real API server."""

import subprocess
from pathlib import Path

import pytest
import yaml
from service_process import built

from dto_operator.rights import AT_HOME, IN_NAMESPACES, chart_rights

MANIFESTS = Path(__file__).parents[2] / "manifests"
FILES = ("install.yaml", "install-cluster-wide.yaml")


def kinds_in(file):
    return {one["kind"] for one in yaml.safe_load_all((MANIFESTS / file).read_text())}


@pytest.mark.services
@pytest.mark.parametrize("file", FILES)
def test_the_files_are_what_the_chart_gives(file, tmp_path):
    subprocess.run([MANIFESTS / "render.sh", built("helm") / "helm", tmp_path], check=True)
    assert (MANIFESTS / file).read_text() == (tmp_path / file).read_text(), "run `make manifests`"


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
    kinds = [{kind.replace("Cluster", "") for kind in kinds_in(file)} for file in FILES]
    assert kinds[0] == kinds[1]
    assert "ClusterRoleBinding" in kinds_in(FILES[1])
    assert "ClusterRoleBinding" not in kinds_in(FILES[0])


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
    # The namespace may be there already: another test's, who did not apply it.
    warnings = [line for line in done.stderr.splitlines() if "Warning" in line and "last-applied" not in line]
    assert not warnings
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
