"""What the operator may do on a cluster: one table, from which the chart makes its Roles and to which its requests are held."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dto_operator.crd import GROUP, PLURAL, to_yaml


@dataclass(frozen=True)
class Right:
    """Verbs on a resource, and what for."""

    group: str
    """API group; empty for Kubernetes' core."""
    resource: str
    verbs: tuple[str, ...]
    why: str
    """What the operator does with it, for whoever has to grant it."""


IN_NAMESPACES = (
    Right(GROUP, PLURAL, ("list", "watch"), "see runs"),
    Right(GROUP, PLURAL, ("patch",), "set and remove the finalizer of a run that takes its artifacts along"),
    Right(GROUP, PLURAL, ("delete",), "delete a run whose ttlSecondsAfterFinished is over"),
    Right(GROUP, f"{PLURAL}/status", ("patch",), "say how a run stands"),
    Right("batch", "jobs", ("list", "watch"), "see the Jobs of runs"),
    Right("batch", "jobs", ("create", "get"), "start an attempt; see whose a Job is that has its name already"),
    Right("batch", "jobs", ("delete",), "stop a run that is suspended or made anew"),
    Right("", "pods", ("list", "watch"), "read last words, and why pods wait"),
    Right("", "pods/log", ("get",), "show the last lines of a pod that failed without a word"),
    Right(
        "",
        "services",
        ("create", "get"),
        "give the nodes of a training names; see whose a Service is that has its name",
    ),
    Right("events.k8s.io", "events", ("create",), "tell about runs"),
    Right("events.k8s.io", "events", ("list",), "read why a Job gets no pods: a quota, an admission rule"),
)
"""In each namespace with runs."""

AT_HOME = (Right("coordination.k8s.io", "leases", ("create", "get", "update"), "let one of several replicas work"),)
"""In the operator's own namespace, where there are several replicas."""


def rules(rights: tuple[Right, ...]) -> list[dict[str, Any]]:
    """Return rights as the rules of a Role: one for each resource."""
    found: dict[tuple[str, str], list[str]] = {}
    for right in rights:
        found.setdefault((right.group, right.resource), []).extend(right.verbs)
    return [
        {"apiGroups": [group], "resources": [resource], "verbs": sorted(verbs)}
        for (group, resource), verbs in found.items()
    ]


def chart_rights() -> str:
    """Return the rights as the chart reads them: in each namespace with runs, and in the operator's own."""
    return to_yaml({"runs": rules(IN_NAMESPACES), "own": rules(AT_HOME)})


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(chart_rights(), encoding="utf-8")
