"""The operator's own objects: what `kubectl apply` installs. `make manifests` writes them, for one namespace or for all."""

import sys
from pathlib import Path

from dto_jobs import __version__
from dto_operator.crd import to_yaml
from dto_operator.pod_manifest import USER, Manifest
from dto_operator.rights import AT_HOME, IN_NAMESPACES, rules
from dto_operator.settings import PREFIX, OperatorSettings

NAME = "dto-operator"
HOME = "dto"
"""Namespace of the operator, and of the runs where it looks after no other."""
IMAGE = f"ghcr.io/dto-operator/operator:{__version__}"
# Not `managed-by`, which marks what belongs to runs.
LABELS = {"app.kubernetes.io/name": NAME, "app.kubernetes.io/component": "operator"}
FILES = {"install.yaml": False, "install-cluster-wide.yaml": True}
"""What is written, and whether it is for runs in all namespaces."""
PERIOD = 10
"""Seconds between probes."""


def objects(*, cluster_wide: bool) -> list[Manifest]:
    """Return what is to be installed beside the CRD, in the order in which to create it."""
    kind = "ClusterRole" if cluster_wide else "Role"
    return [
        {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {
                "name": HOME,
                "labels": LABELS | {"pod-security.kubernetes.io/enforce": "restricted"},
            },
        },
        _named("v1", "ServiceAccount") | {"automountServiceAccountToken": False},
        *_role(kind, NAME, rules(IN_NAMESPACES)),
        *_role("Role", f"{NAME}-home", rules(AT_HOME)),
        _named("v1", "Service")
        | {"spec": {"selector": LABELS, "ports": [{"name": "metrics", "port": 8080, "targetPort": "metrics"}]}},
        _named("apps/v1", "Deployment") | {"spec": _deployment(cluster_wide=cluster_wide)},
    ]


def _named(version: str, kind: str, name: str = NAME) -> Manifest:
    metadata: Manifest = {"name": name, "labels": LABELS}
    if not kind.startswith("Cluster"):
        metadata["namespace"] = HOME
    return {"apiVersion": version, "kind": kind, "metadata": metadata}


def _role(kind: str, name: str, allowed: list[Manifest]) -> list[Manifest]:
    group = "rbac.authorization.k8s.io"
    return [
        _named(f"{group}/v1", kind, name) | {"rules": allowed},
        _named(f"{group}/v1", f"{kind}Binding", name)
        | {
            "roleRef": {"apiGroup": group, "kind": kind, "name": name},
            "subjects": [{"kind": "ServiceAccount", "name": NAME, "namespace": HOME}],
        },
    ]


def _deployment(*, cluster_wide: bool) -> Manifest:
    return {
        "replicas": 1,
        # Two replicas need a Lease (DTO_OPERATOR_LEADER_ELECTION); without one the old goes before the new comes.
        "strategy": {"type": "Recreate"},
        "selector": {"matchLabels": LABELS},
        "template": {
            "metadata": {
                "labels": LABELS,
                "annotations": {"prometheus.io/scrape": "true", "prometheus.io/port": "8080"},
            },
            "spec": {
                "serviceAccountName": NAME,
                "automountServiceAccountToken": True,
                "enableServiceLinks": False,
                "securityContext": {
                    "runAsNonRoot": True,
                    "runAsUser": USER,
                    "runAsGroup": USER,
                    "seccompProfile": {"type": "RuntimeDefault"},
                },
                "containers": [_container(cluster_wide=cluster_wide)],
                "volumes": [{"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}}],
            },
        },
    }


def _container(*, cluster_wide: bool) -> Manifest:
    return {
        "name": "operator",
        "image": IMAGE,
        "command": ["python", "-m", "dto_operator"],
        "env": _environment(cluster_wide=cluster_wide),
        "ports": [{"name": "metrics", "containerPort": 8080}],
        "startupProbe": _probe("/healthz", failures=12),
        "livenessProbe": _probe("/healthz", failures=3),
        "readinessProbe": _probe("/readyz", failures=3),
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108 - a folder of the pod's own
    }


def _environment(*, cluster_wide: bool) -> list[Manifest]:
    told = {
        "namespaces": "" if cluster_wide else HOME,
        "lease_namespace": HOME,
        "metrics_port": "8080",
        "jobs_image": f"ghcr.io/dto-operator/jobs:{__version__}",
    }
    assert told.keys() <= OperatorSettings.model_fields.keys()
    identity = {"name": f"{PREFIX}IDENTITY", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}
    return [*({"name": PREFIX + name.upper(), "value": value} for name, value in told.items() if value), identity]


def _probe(path: str, failures: int) -> Manifest:
    return {"httpGet": {"path": path, "port": "metrics"}, "periodSeconds": PERIOD, "failureThreshold": failures}


def chart_rights() -> str:
    """Return the rights as the chart reads them: in each namespace with runs, and in its own."""
    return to_yaml({"runs": rules(IN_NAMESPACES), "own": rules(AT_HOME)})


if __name__ == "__main__":
    for file, everywhere in FILES.items():
        Path(sys.argv[1], file).write_text(to_yaml(*objects(cluster_wide=everywhere)), encoding="utf-8")
    Path(sys.argv[2]).write_text(chart_rights(), encoding="utf-8")
