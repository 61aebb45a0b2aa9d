"""docs/api.md: the resource as a cluster shows it. `make docs` writes it; the spec has its page already, docs/run-file.md."""

import sys
from pathlib import Path
from typing import Any

from dto_jobs.cli.field_table import HEAD, table
from dto_operator.crd import COLUMNS, MUTABLE, PLURAL, crd
from dto_operator.status import CONDITIONS, Status

OPENING = """# The resource on a cluster

`{api_version}`, `kind: {kind}`, {scope}, defined by `manifests/crd.yaml`.
`kubectl get {short}` lists runs, as `kubectl get {categories}` does;
`kubectl explain {short}.spec.stages.exits` describes fields.

The spec has [a page of its own](run-file.md): it is the run file of `dto run`, and `dto validate FILE` refuses what the API server refuses.
Fields that are left out are filled in with their defaults when the run is created, so a later release's defaults do not change it.

"""


PODS = """## What a run's pods get

Each attempt of a stage is one Job; its pods are restricted, have no API token, and write to `/scratch`, `/tmp` and beside a device
`/dev/shm` alone. `stages.*.job` says how they look; the preflight and the results get the environment and volumes of
`stages.rollout.job`, since they read the same model and problems.

| Secret | keys | becomes |
|---|---|---|
| `artifacts.secretRef` | `accessKey`, `secretKey` | `$AWS_ACCESS_KEY_ID`, `$AWS_SECRET_ACCESS_KEY` |
| `secretRef` of an endpoint (judge, `engine.openai`) | `apiKey` | the variable that its `apiKeyVariable` names |

A model of a gated repository needs `HF_TOKEN` in `job.env` of each stage that reads it; a shared volume at `HF_HOME` spares every
pod its own download.

## What no pod can have

Such a run is valid, as `dto run` may do it, and is refused on a cluster: `Accepted` is false, names the field, and no Job is started.

- models, problems, traces and benchmarks that are files of your machine: use `hf://`, `s3://`, `pvc://claim/path` (models), or a
  path below a `mountPath` of `stages.rollout.job.volumes` (problems and traces, also from a ConfigMap);
- no `artifacts.bucket` where the operator has no store of its own;
- more than 200 KiB of problems written inline: put them into the bucket;
- a sweep with `training.job.nodes` above 1; `queuePolicy: WholeRun`, which this version cannot do;
- volumes at the pod's own places (`/tmp`, `/scratch`, …) or named `dto-…`.

"""


def page() -> str:
    """Return the page."""
    spec = crd()["spec"]
    names, version = spec["names"], spec["versions"][0]
    opening = OPENING.format(
        api_version=f"{spec['group']}/{version['name']}",
        kind=names["kind"],
        scope=spec["scope"].lower(),
        short=names["shortNames"][0],
        categories=",".join(names["categories"]),
    )
    selectable = ", ".join(f"`{field['jsonPath'].lstrip('.')}`" for field in version["selectableFields"])
    return (
        HEAD
        + opening
        + f"## What may be changed\n\n{_changeable()}\n\n"
        + f"## What can be selected\n\n{selectable}, as in `kubectl get {PLURAL} --field-selector status.phase=Running`.\n\n"
        + PODS
        + f"## Columns\n\n{_columns()}\n"
        + f"## Conditions\n\n{_conditions()}\n"
        + "## Status\n\nWritten by the operator.\n\n"
        + table(Status, "status")
    )


def _changeable() -> str:
    paths = ", ".join(f"`spec.{path}`" for path in _paths(MUTABLE, ""))
    return f"{paths}. Everything else decides what a run computes, and stays: create another run, which reuses what is the same in both."


def _paths(fields: dict[str, Any], path: str) -> list[str]:
    found = []
    for name, inner in fields.items():
        found += [path + name] if inner is True else _paths(inner, f"{path}{name}.")
    return found


def _columns() -> str:
    rows = "".join(
        f"| {name} | `{path}` | {text}{' With `-o wide`.' * wide} |\n" for name, _, path, text, wide in COLUMNS
    )
    return "| column | field | |\n|---|---|---|\n" + rows


def _conditions() -> str:
    return "| condition | true when |\n|---|---|\n" + "".join(
        f"| `{name}` | {text} |\n" for name, text in CONDITIONS.items()
    )


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(), encoding="utf-8")
