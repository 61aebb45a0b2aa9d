"""A control plane that acts: an API server with the controllers and the scheduler, and nodes that only pretend."""

import ssl
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from api_server import ApiServer, Client, options
from service_process import TOOLS, Service, built, free_port

# These programs make their own certificates, which nobody knows.
TRUSTING = ssl.create_default_context()
TRUSTING.check_hostname = False
TRUSTING.verify_mode = ssl.CERT_NONE


def healthy(url: str) -> bool:
    """Return whether a program of Kubernetes says that it is well."""
    try:
        with urllib.request.urlopen(url, timeout=5, context=TRUSTING) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


class ControlPlane(ApiServer):
    """etcd, kube-apiserver, kube-controller-manager and kube-scheduler; without the last, pods are for somebody else to play."""

    def __init__(self, folder: Path, address: str = "127.0.0.1", *, scheduling: bool = True, audited: str = "") -> None:
        super().__init__(folder, address, audited)
        self._acting = [self._controller_manager(), *([self._kube_scheduler()] if scheduling else [])]

    def start(self) -> None:
        """Start all and wait until they are ready."""
        super().start()
        # Only now: before the API server is ready its roles are not there.
        for one in self._acting:
            one.start()
        self.until(lambda: self.admin.ask("GET", "/api/v1/namespaces/default/serviceaccounts/default").code == 200)

    def kill(self) -> None:
        """End all."""
        for one in reversed(self._acting):
            one.kill()
        super().kill()

    def identity(self, name: str, *groups: str) -> Path:
        """Return the file of a kubeconfig for somebody."""
        path = self.folder / f"{name.replace(':', '-')}.kubeconfig"
        path.write_text(yaml.safe_dump(Client(self.url, self.authority, name, groups).configuration()))
        return path

    def _controller_manager(self) -> Service:
        port, who = free_port(), self.identity("system:kube-controller-manager")
        command = {
            "kubeconfig": who,
            "authentication-kubeconfig": who,
            "authorization-kubeconfig": who,
            "bind-address": "127.0.0.1",
            "secure-port": str(port),
            "leader-elect": "false",
            "use-service-account-credentials": "true",
            "service-account-private-key-file": self.authority.folder / "accounts.key",
            "root-ca-file": self.authority.folder / "ca.crt",
            # Its defaults would be what a load test measures.
            "kube-api-qps": "1000",
            "kube-api-burst": "2000",
            "concurrent-job-syncs": "20",
        }
        return Service(
            [built("kubernetes/kube-controller-manager") / "kube-controller-manager", *options(command)],
            lambda: healthy(f"https://127.0.0.1:{port}/healthz"),
            self.folder / "controller-manager.log",
        )

    def _kube_scheduler(self) -> Service:
        port, who = free_port(), self.identity("system:kube-scheduler")
        settings = self.folder / "scheduler.yaml"
        settings.write_text(
            yaml.safe_dump(
                {
                    "apiVersion": "kubescheduler.config.k8s.io/v1",
                    "kind": "KubeSchedulerConfiguration",
                    "leaderElection": {"leaderElect": False},
                    "clientConnection": {"kubeconfig": str(who), "qps": 1000, "burst": 2000},
                }
            )
        )
        command = {
            "config": settings,
            "authentication-kubeconfig": who,
            "authorization-kubeconfig": who,
            "bind-address": "127.0.0.1",
            "secure-port": str(port),
        }
        return Service(
            [built("kubernetes/kube-scheduler") / "kube-scheduler", *options(command)],
            lambda: healthy(f"https://127.0.0.1:{port}/healthz"),
            self.folder / "scheduler.log",
        )


class FakeNodes(Service):
    """kwok: nodes on which pods start and succeed without running anything."""

    def __init__(self, plane: ControlPlane, folder: Path) -> None:
        self._plane = plane
        stages = folder / "stages.yaml"
        stages.write_text("---\n".join(path.read_text() for path in _stages()))
        port = free_port()
        command: dict[str, str | Path] = {
            "kubeconfig": plane.kubeconfig,
            "manage-nodes-with-annotation-selector": "kwok.x-k8s.io/node=fake",
            "server-address": f"127.0.0.1:{port}",
            "config": stages,
            "node-lease-duration-seconds": "40",
        }
        super().__init__([built("kwok") / "kwok", *options(command)], self._ready, folder / "kwok.log")

    def add(self, number: int, gpus: int = 8) -> None:
        """Add nodes, each with so many GPUs, and wait until they are ready."""
        for node in range(number):
            made = self._plane.admin.ask("POST", "/api/v1/nodes", self._node(f"fake-{node}", gpus))
            assert made.code == 201, made.message
        self._plane.until(self._ready)

    def _ready(self) -> bool:
        nodes = self._plane.admin.ask("GET", "/api/v1/nodes").content["items"]
        return all(
            any(one["type"] == "Ready" and one["status"] == "True" for one in node["status"].get("conditions", []))
            for node in nodes
        )

    @staticmethod
    def _node(name: str, gpus: int) -> dict[str, object]:
        room = {"cpu": "256", "memory": "1Ti", "pods": "1000", "nvidia.com/gpu": str(gpus)}
        return {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {
                "name": name,
                "annotations": {"kwok.x-k8s.io/node": "fake"},
                "labels": {"kubernetes.io/os": "linux", "kubernetes.io/hostname": name},
            },
            "status": {"allocatable": room, "capacity": room},
        }


def _stages() -> list[Path]:
    """Return what kwok's module ships to let nodes and pods live; it loads none by itself."""
    found = subprocess.run(
        ["go", "list", "-m", "-f", "{{.Dir}}", "sigs.k8s.io/kwok"],
        cwd=TOOLS / "kwok",
        check=True,
        capture_output=True,
        text=True,
    )
    stages = Path(found.stdout.strip()) / "kustomize/stage"
    kinds = ("pod/fast/pod-*.yaml", "node/fast/node-*.yaml", "node/heartbeat-with-lease/node-*.yaml")
    return [path for kind in kinds for path in sorted(stages.glob(kind))]


@pytest.fixture(scope="session")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A control plane that all tests share."""
    plane = ControlPlane(tmp_path_factory.mktemp("control-plane"))
    try:
        plane.start()
        yield plane
    finally:
        plane.kill()


@pytest.fixture(scope="session")
def fake_nodes(control_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeNodes]:
    """kwok beside the shared control plane; its nodes are the test's to add."""
    nodes = FakeNodes(control_plane, tmp_path_factory.mktemp("kwok"))
    try:
        nodes.start()
        yield nodes
    finally:
        nodes.kill()
