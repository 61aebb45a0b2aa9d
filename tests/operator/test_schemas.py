"""All that the chart gives, and the manifests, fit Kubernetes' own schemas, from the oldest supported version to the newest."""

import json
import subprocess
from importlib import resources
from pathlib import Path

import pytest
import yaml
from helm_chart import CHART, PROMETHEUS, written
from service_process import built

from dto_operator.crd import crd

ROOT = Path(__file__).parents[2]
CASES = yaml.safe_load((Path(__file__).parent / "chart/cases.yaml").read_text())
SCHEMAS = Path(str(resources.files("kubernetes_validate"))) / "kubernetes-json-schema"
OLDEST = yaml.safe_load((CHART / "Chart.yaml").read_text())["kubeVersion"].removeprefix(">=").split("-")[0].strip()
NEWEST = max(SCHEMAS.glob("v*-local-strict"), key=lambda path: tuple(map(int, path.name.split("-")[0][1:].split("."))))
VERSIONS = (OLDEST, NEWEST.name.split("-")[0].removeprefix("v"))
# Nobody publishes these with the API server's own.
FOREIGN = "PodMonitor,ServiceMonitor,PrometheusRule"
# The last: nothing but comments between two lines of dashes.
PASSED = {"statusValid", "statusSkipped", ""}
NAMED = "{{ .ResourceKind }}{{ .KindSuffix }}.json"

pytestmark = pytest.mark.services


@pytest.fixture(scope="module")
def schemas(tmp_path_factory) -> Path:
    """A folder with the schemas of each version, as kubeconform takes them, and beside them that of DTORun."""
    folder = tmp_path_factory.mktemp("schemas")
    for version in VERSIONS:
        (folder / version).mkdir()
        for path in (SCHEMAS / f"v{version}-local-strict").glob("*.json"):
            schema = json.loads(path.read_text().replace('"/api/_definitions.json#', '"_definitions.json#'))
            # By its name on the network it would be looked for there.
            schema.pop("$id", None)
            (folder / version / path.name).write_text(json.dumps(schema))
    schema = crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    (folder / "dtorun-dto-v1alpha1.json").write_text(json.dumps(_closed(schema, top=True)))
    return folder


def _closed(schema, *, top=False):
    """Return a schema in which no field may have a name that is not there; metadata and API version are every object's."""
    closed = {key: _closed(part) for key, part in schema.items() if isinstance(part, dict) and key != "properties"}
    made = {**schema, **closed}
    if "properties" in schema:
        made["properties"] = {key: _closed(part) for key, part in schema["properties"].items()}
        made.setdefault("additionalProperties", False)
    if top:
        made["properties"] |= {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
        }
    return made


def refusals(text: str, version: str, schemas: Path) -> list[str]:
    """Return what kubeconform finds wrong with manifests; there must be some."""
    command = [
        built("kubeconform") / "kubeconform",
        *("-strict", "-output=json", "-verbose", f"-skip={FOREIGN}", f"-kubernetes-version={version}"),
        *(f"-schema-location={folder}/{NAMED}" for folder in (schemas / version, schemas)),
        "-",
    ]
    done = subprocess.run(command, check=False, capture_output=True, text=True, input=text)
    found = json.loads(done.stdout)["resources"]
    assert any(one["status"] == "statusValid" for one in found), done.stdout
    wrong = (one for one in found if one["status"] not in PASSED)
    return [f"{one['kind']} {one['name']}: {one['msg']}" for one in wrong]


def given(case: str, version: str) -> str:
    """Return what the chart gives for a set of values on a Kubernetes of some version."""
    flags = PROMETHEUS if CASES[case].get("prometheus") else ()
    return written(CASES[case].get("values"), (*flags, f"--kube-version={version}"))


@pytest.mark.parametrize("version", VERSIONS)
def test_what_the_chart_gives_fits_for_every_set_of_values(version, schemas):
    assert refusals("\n---\n".join(given(case, version) for case in CASES), version, schemas) == []


@pytest.mark.parametrize("version", VERSIONS)
def test_the_manifests_fit(version, schemas):
    files = sorted((ROOT / "manifests").rglob("*.yaml"))
    assert len(files) > 10
    assert refusals("\n---\n".join(path.read_text() for path in files), version, schemas) == []


def test_the_versions_are_an_old_one_and_a_new_one():
    old, new = (tuple(map(int, version.split("."))) for version in VERSIONS)
    assert old < new


@pytest.mark.parametrize(
    ("file", "right", "wrong", "complaint"),
    [
        ("install.yaml", "replicas: 1", "replicas: one", "/spec/replicas"),
        ("install.yaml", "serviceAccountName:", "serviceAccountname:", "serviceAccountname"),
        ("samples/kueue.yaml", "queueName:", "queuename:", "queuename"),
    ],
)
def test_a_mistake_is_found(file, right, wrong, complaint, schemas):
    text = (ROOT / "manifests" / file).read_text()
    assert right in text
    sound = (ROOT / "manifests/samples/demo.yaml").read_text()
    assert complaint in str(refusals(f"{sound}\n---\n{text.replace(right, wrong)}", OLDEST, schemas))
