"""What the API server's audit log tells of what somebody asked for."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
}


@dataclass(frozen=True)
class Asked:
    """A request: who asked for what, and whether it was allowed."""

    who: str
    group: str
    resource: str
    """With the subresource, as rules of a Role have it."""
    verb: str
    allowed: bool


class Audit:
    """Requests by the ServiceAccounts of a namespace, at the level of metadata."""

    def __init__(self, folder: Path, namespace: str) -> None:
        self._log, self._policy = folder / "audit.log", folder / "audit-policy.yaml"
        rules = [{"level": "Metadata", "userGroups": [f"system:serviceaccounts:{namespace}"]}, {"level": "None"}]
        self._policy.write_text(yaml.safe_dump({**POLICY, "rules": rules}))

    def options(self) -> dict[str, str | Path]:
        """Return what the API server has to be told."""
        return {"audit-log-path": self._log, "audit-policy-file": self._policy}

    def asked(self) -> set[Asked]:
        """Return what was asked for so far, each once."""
        lines = self._log.read_text().splitlines() if self._log.exists() else []
        return {_asked(entry) for entry in map(json.loads, lines) if "objectRef" in entry}


def granted(roles: Iterable[dict[str, Any]]) -> set[tuple[str, str, str]]:
    """Return what Roles allow: API group, resource, verb."""
    return {
        (group, resource, verb)
        for role in roles
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def _asked(entry: dict[str, Any]) -> Asked:
    what = entry["objectRef"]
    resource = "/".join(part for part in (what["resource"], what.get("subresource")) if part)
    allowed = entry.get("annotations", {}).get("authorization.k8s.io/decision") == "allow"
    return Asked(entry["user"]["username"], what.get("apiGroup", ""), resource, entry["verb"], allowed)
