"""DTORuns on a real API server."""

import pytest
from api_server import Answer, ApiServer
from pydantic import BaseModel

from dto_jobs.cli.field_table import group_in
from dto_jobs.errors import InvalidRunError
from dto_jobs.resource import DTORun
from dto_jobs.run_file import parse_run
from dto_operator.crd import crd

MINIMAL = {"model": {"source": "builtin:tiny-reasoner"}, "problems": {"source": "builtin:graded-sums"}}


def manifest(spec: object, name: str = "r", **metadata: object) -> dict[str, object]:
    """Return a DTORun as JSON."""
    return {
        "apiVersion": "dto.run/v1alpha1",
        "kind": "DTORun",
        "metadata": {"name": name, **metadata},
        "spec": spec,
    }


def refusal(content: object) -> str | None:
    """Return why this machine refuses a run, None where it takes it."""
    try:
        parse_run(content, "run.yaml")
    except InvalidRunError as error:
        return str(error)
    return None


def read(content: object) -> DTORun:
    """Return a run as this machine reads it."""
    return parse_run(content, "run.yaml")


def groups(group: type[BaseModel], seen: list[type[BaseModel]] | None = None) -> list[type[BaseModel]]:
    """Return a settings class and all that are in it."""
    seen = [] if seen is None else seen
    if group not in seen:
        seen.append(group)
        for field in group.model_fields.values():
            inner = group_in(field.annotation)
            if inner:
                groups(inner, seen)
    return seen


class Runs:
    """The DTORuns of one namespace on the API server."""

    path = "/apis/dto.run/v1alpha1/namespaces/default/dtoruns"

    def __init__(self, server: ApiServer) -> None:
        self.server = server

    def tried(self, content: object) -> Answer:
        """Return what comes of creating a run, without creating it."""
        return self.server.admin.ask("POST", f"{self.path}?dryRun=All&fieldValidation=Strict", content)

    def created(self, content: object) -> Answer:
        """Create a run; one of the same name goes first."""
        name = content["metadata"]["name"]
        self.server.admin.ask("DELETE", f"{self.path}/{name}")
        answer = self.server.admin.ask("POST", f"{self.path}?fieldValidation=Strict", content)
        assert answer.code == 201, answer.message
        return answer

    def changed(self, name: str, patch: object, part: str = "") -> Answer:
        """Return what comes of a merge patch."""
        kind = "application/merge-patch+json"
        return self.server.admin.ask("PATCH", f"{self.path}/{name}{part}?fieldValidation=Strict", patch, kind)


@pytest.fixture(scope="session")
def runs(api_server: ApiServer) -> Runs:
    """An API server with the CRD of this source."""
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    definition = crd()
    made = api_server.admin.ask("POST", f"{path}?fieldValidation=Strict", definition)
    assert made.code == 201, made.message
    found = Runs(api_server)
    api_server.until(lambda: found.tried(manifest(MINIMAL)).code == 201)
    return found
