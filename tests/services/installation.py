"""The operator installed on the tests' cluster as its manifests say, and a bucket for its runs."""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from cluster import Cluster
from images import image
from minio_service import ACCESS, SECRET
from operator_process import ROOT, OperatorProcess, end
from service_process import missing

NAMESPACE, ACCOUNT, STAGES = "dto", "dto-operator", "dto-operator-stages"
KEYS = "bucket-keys"
PATIENCE = "420s"


class Installation:
    """CRD, namespace, accounts, rights and policies from `manifests/`; who plays the operator is the test's choice."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.bucket = cluster.minio.bucket()
        cluster.kubectl("apply", "--server-side", "-f", str(ROOT / "manifests/crd.yaml"))
        # `kubectl wait` gives up on a resource that has no conditions yet.
        cluster.plane.until(lambda: cluster.tried("get", "dtoruns", "-n", "default").returncode == 0)
        everything = list(yaml.safe_load_all((ROOT / "manifests/install.yaml").read_text()))
        self._deployment = next(one for one in everything if one["kind"] == "Deployment")
        others = [one for one in everything if one["kind"] != "Deployment"]
        cluster.kubectl("apply", "-f", "-", content=yaml.safe_dump_all(others))
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": KEYS, "namespace": NAMESPACE}}
        cluster.kubectl(
            "apply", "-f", "-", content={**secret, "stringData": {"accessKey": ACCESS, "secretKey": SECRET}}
        )

    @property
    def store(self) -> str:
        """Where the runs' artifacts are."""
        return f"s3://{self.bucket}/runs-of-tests"

    def settings(self, jobs: str) -> dict[str, str]:
        """Return what the operator is told here; the stages' image is of that target."""
        return {
            "jobs_image": self.cluster.image(jobs),
            "store": self.store,
            "store_endpoint": self.cluster.minio.endpoint,
            "store_secret": KEYS,
            "service_account": STAGES,
            "image_pull_policy": "Never",
            "steps_cpu": "100m",
            "grace_seconds": "20",
            "progress_seconds": "2",
        }

    def kubeconfig(self, folder: Path) -> Path:
        """Return a kubeconfig with the operator's own rights, and no other."""
        content = self.cluster.plane.admin.configuration()
        token = self.cluster.kubectl("create", "token", ACCOUNT, "-n", NAMESPACE, "--duration=3h").strip()
        content["users"] = [{"name": "tests", "user": {"token": token}}]
        path = folder / "operator.kubeconfig"
        path.write_text(yaml.safe_dump(content))
        return path

    def deploy(self, jobs: str) -> None:
        """Start the operator as a pod from its image, and wait until it is ready."""
        deployment = json.loads(json.dumps(self._deployment))
        container = deployment["spec"]["template"]["spec"]["containers"][0]
        container |= {"image": self.cluster.image("operator"), "imagePullPolicy": "Never"}
        told = {f"DTO_OPERATOR_{name.upper()}": value for name, value in self.settings(jobs).items()}
        # No kube-proxy runs here: the address of the API server is its own.
        told |= {"KUBERNETES_SERVICE_HOST": self.cluster.place.outside}
        told |= {"KUBERNETES_SERVICE_PORT": str(self.cluster.plane.port)}
        kept = [one for one in container["env"] if one["name"] not in told]
        container["env"] = kept + [{"name": name, "value": value} for name, value in told.items()]
        self.cluster.kubectl("apply", "-f", "-", content=deployment)
        words = ("rollout", "status", f"deployment/{ACCOUNT}", "-n", NAMESPACE, f"--timeout={PATIENCE}")
        done = self.cluster.tried(*words)
        described = self.cluster.tried("describe", "pods", "-n", NAMESPACE, "-l", OPERATOR_PODS)
        assert done.returncode == 0, f"{done.stderr}\n{described.stdout}\n{self.story('')}"

    def withdraw(self) -> None:
        """Remove the operator's pod."""
        self.cluster.kubectl("delete", f"deployment/{ACCOUNT}", "-n", NAMESPACE, "--wait", "--ignore-not-found")
        self.cluster.kubectl(
            "wait", "--for=delete", "pod", "-n", NAMESPACE, "-l", OPERATOR_PODS, f"--timeout={PATIENCE}"
        )

    def apply(self, name: str, spec: dict[str, Any]) -> None:
        """Create a run."""
        metadata = {"name": name, "namespace": NAMESPACE}
        run = {"apiVersion": "dto.run/v1alpha1", "kind": "DTORun", "metadata": metadata, "spec": spec}
        self.cluster.kubectl("apply", "-f", "-", content=run)

    def wait(self, name: str, condition: str = "Complete") -> dict[str, Any]:
        """Wait as a person does until a run is complete, and return it; what stands in the way is in the failure."""
        wanted = f"--for=condition={condition}"
        done = self.cluster.tried("wait", wanted, f"dtorun/{name}", "-n", NAMESPACE, f"--timeout={PATIENCE}")
        assert done.returncode == 0, f"{done.stderr}\n{self.story(name)}"
        return self.run(name)

    def run(self, name: str) -> dict[str, Any]:
        """Return a run."""
        found: dict[str, Any] = json.loads(self.cluster.kubectl("get", f"dtorun/{name}", "-n", NAMESPACE, "-o", "json"))
        return found

    def pods(self, run: str) -> list[dict[str, Any]]:
        """Return the pods of a run, in the order in which they were made."""
        found = self.cluster.listed("pods", "-n", NAMESPACE, "-l", f"dto.run/run={run}")
        return sorted(found, key=lambda pod: str(pod["metadata"]["creationTimestamp"]))

    def told(self, run: str) -> str:
        """Return all that Kubernetes shows of a run: itself, its Jobs, pods and Events, and what the pods wrote."""
        shown = self.cluster.kubectl("get", "dtoruns,jobs,pods,events", "-n", NAMESPACE, "-o", "json")
        logs = (self.cluster.kubectl("logs", pod["metadata"]["name"], "-n", NAMESPACE) for pod in self.pods(run))
        return "\n".join((shown, *logs))

    def story(self, name: str) -> str:
        """Return what a person would look at where a run does not come to its end."""
        asked = (("get", "pods,jobs", "-n", NAMESPACE), ("describe", f"dtorun/{name}", "-n", NAMESPACE))
        logs = [("logs", f"pod/{pod['metadata']['name']}", "-n", NAMESPACE, "--tail=20") for pod in self.pods(name)]
        operator = ("logs", f"deployment/{ACCOUNT}", "-n", NAMESPACE, "--tail=60")
        told = (self.cluster.tried(*words) for words in (*asked, *logs, operator))
        return "\n".join(done.stdout + done.stderr for done in told)


OPERATOR_PODS = "app.kubernetes.io/component=operator"


@pytest.fixture(scope="session")
def installation(cluster: Cluster) -> Installation:
    """The operator's manifests applied, without an operator."""
    return Installation(cluster)


@pytest.fixture(scope="module")
def operator_process(
    installation: Installation, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., OperatorProcess]]:
    """Start the operator as a process with exactly its ServiceAccount's rights; it ends with the tests of a module."""
    started: list[OperatorProcess] = []

    def start(**settings: str) -> OperatorProcess:
        folder = tmp_path_factory.mktemp("operator")
        told = installation.settings("jobs-lean") | settings
        one = OperatorProcess(installation.kubeconfig(folder), NAMESPACE, folder / "operator.log", **told)
        started.append(one.start())
        return one

    yield start
    end(started)


@pytest.fixture
def operator_pod(installation: Installation) -> Iterator[None]:
    """The operator as a pod from its image, whose stages have torch."""
    try:
        image("jobs-cpu")
    except AssertionError as error:
        missing("cluster", f"the image jobs-cpu, of 6 GB, cannot be built: {error}")
    installation.deploy("jobs-cpu")
    yield
    sys.stderr.write(installation.cluster.tried("logs", f"deployment/{ACCOUNT}", "-n", NAMESPACE, "--tail=100").stdout)
    installation.withdraw()
