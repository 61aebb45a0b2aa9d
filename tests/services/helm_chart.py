"""The chart as the real helm reads it: rendered, and installed where a test has a cluster."""

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from api_server import ApiServer
from service_process import built

CHART = Path(__file__).resolve().parents[2] / "charts/dto-operator"
RELEASE, NAMESPACE = "dto-operator", "platform"
PROMETHEUS = tuple(
    f"--api-versions=monitoring.coreos.com/v1{kind}"
    for kind in ("", "/PodMonitor", "/ServiceMonitor", "/PrometheusRule")
)
"""What helm is told of a cluster that has the Prometheus operator's resources."""


def helm(*arguments: str | Path, values: object = None, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run helm; values are handed over as a file would be."""
    command: list[str | Path] = [built("helm") / "helm", *arguments]
    given = None if values is None else yaml.safe_dump(values)
    if given is not None:
        command += ["--values", "-"]
    home = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "HELM_CACHE_HOME": "/nonexistent", **environment}
    return subprocess.run(command, check=False, capture_output=True, text=True, input=given, env=home)


def written(values: object = None, flags: Sequence[str] = (), chart: Path = CHART) -> str:
    """Return the manifests that helm makes of values."""
    done = helm("template", RELEASE, chart, f"--namespace={NAMESPACE}", *flags, values=values or {})
    assert done.returncode == 0, done.stderr
    return done.stdout


def rendered(values: object = None, flags: Sequence[str] = (), chart: Path = CHART) -> dict[str, Any]:
    """Return the objects that helm makes of values, by kind, namespace and name."""
    manifests = written(values, flags, chart)
    objects = [content for content in yaml.load_all(manifests, Loader=yaml.CSafeLoader) if content]
    found = {_named(content): content for content in objects}
    assert len(found) == len(objects), "two objects have one name"
    return found


def pod_templates(objects: dict[str, Any]) -> dict[str, Any]:
    """Return the pods that the objects would start."""
    return {
        name: {"apiVersion": "v1", "kind": "Pod", **content["spec"]["template"]}
        for name, content in objects.items()
        if "template" in content.get("spec", {})
    }


class Releases:
    """The chart's release on an API server, driven by helm."""

    def __init__(self, server: ApiServer, home: Path) -> None:
        self._surroundings = {"KUBECONFIG": str(server.kubeconfig), "HOME": str(home), "HELM_CACHE_HOME": str(home)}

    def run(self, verb: str, *arguments: str | Path, values: object = None) -> str:
        """Run a verb of helm on the release and return what it says; AssertionError where it fails."""
        done = helm(verb, RELEASE, *arguments, f"--namespace={NAMESPACE}", values=values, **self._surroundings)
        assert done.returncode == 0, done.stderr
        return done.stdout


def _named(content: dict[str, Any]) -> str:
    metadata = content["metadata"]
    return "/".join(filter(None, (content["kind"], metadata.get("namespace"), metadata["name"])))
