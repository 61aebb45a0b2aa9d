"""`dto plan`, `dto runs`, `dto status`: what would run, what is there, how far a run is."""

import json
from pathlib import Path
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from dto_jobs.artifacts.artifact import Artifact
from dto_jobs.artifacts.attempts import Attempts, latest
from dto_jobs.artifacts.store import Store
from dto_jobs.cli.amounts import amount
from dto_jobs.cli.running import opened
from dto_jobs.errors import InputError
from dto_jobs.resource import STAGE_NAMES

Row = dict[str, Any]


def planned(file: Path, store: str | Path | None, overrides: list[str]) -> list[Row]:
    """Return the stages of a run file, each with its content key and whether its artifact is there."""
    local = opened(file, store, overrides)
    attempts = Attempts(local.store, local.run.name)
    steps = local.planned(local.sources())
    return [
        {"stage": step.name, "reads": list(step.needs), "key": step.key, "cached": attempts.is_known(step)}
        for step in steps
    ]


def table(rows: list[Row]) -> Table:
    """Return the plan as a table."""
    shown = Table("stage", "reads", "content key", "artifact")
    for row in rows:
        there = Text("there", style="green") if row["cached"] else Text("to be made", style="yellow")
        shown.add_row(row["stage"], ", ".join(row["reads"]), row["key"][:12], there)
    return shown


def listed(store: Store) -> list[Row]:
    """Return every run of a store with its phase and how many stages are done."""
    names = sorted({name.split("/")[1] for name in store.names("runs/") if name.endswith("/run.json")})
    return [_summary(store, name) for name in names]


def _summary(store: Store, name: str) -> Row:
    stages = _stages(store, name)
    done = [stage["stage"] for stage in stages if stage["state"] == "Succeeded"]
    results = _json(store, f"runs/{name}/results.json") or {}
    return {
        "name": name,
        "phase": "Succeeded" if results else "Unfinished",
        "done": done,
        "headline": _headline(results),
    }


def _headline(results: Row) -> str:
    slices = results.get("evaluation", {}).get("slices", [])
    if not slices:
        return ""
    change, accuracy = slices[0]["tokenChange"]["value"], slices[0]["accuracyDifference"]["value"]
    return f"tokens {100 * change:+.0f} %, accuracy {100 * accuracy:+.1f} points"


def runs_table(rows: list[Row]) -> Table:
    """Return the runs as a table."""
    shown = Table("run", "phase", "stages done", "result")
    for row in rows:
        shown.add_row(row["name"], row["phase"], ", ".join(row["done"]), row["headline"])
    return shown


def run_status(store: Store, name: str) -> Row:
    """Return a run's phase, stages and results."""
    if not store.exists(f"runs/{name}/run.json"):
        known = ", ".join(row["name"] for row in listed(store)) or "none"
        raise InputError(f"there is no run {name!r} in {store.address}; there are: {known}")
    results = _json(store, f"runs/{name}/results.json")
    return {
        "name": name,
        "phase": "Succeeded" if results else "Unfinished",
        "stages": _stages(store, name),
        "results": results,
    }


def _stages(store: Store, name: str) -> list[Row]:
    return [row for stage in STAGE_NAMES if (row := _stage(store, name, stage))]


def _stage(store: Store, name: str, stage: str) -> Row | None:
    artifact = latest(store, name, stage)
    receipt = artifact.receipt() if artifact else None
    if artifact is not None and receipt is not None:
        return {
            "stage": stage,
            "state": "Succeeded",
            "records": receipt.records,
            "flops": receipt.spend.flops,
            "seconds": receipt.spend.seconds,
            "artifact": {
                "uri": f"{store.address}/{artifact.base}",
                "sha256": receipt.digest,
                "bytes": sum(b.bytes for b in receipt.blobs),
            },
            "reused": not artifact.base.startswith(f"runs/{name}/"),
        }
    attempts = sorted(
        {int(part) for path in store.names(f"runs/{name}/{stage}/") if (part := path.split("/")[3]).isdigit()}
    )
    if not attempts:
        return None
    parts = Artifact(store, f"runs/{name}/{stage}/{attempts[-1]}").parts()
    return {
        "stage": stage,
        "state": "Unfinished",
        "records": sum(part.records for part in parts),
        "inputs": sum(part.inputs for part in parts),
    }


def status_table(state: Row) -> Group:
    """Return a run's state as a table and a headline."""
    shown = Table(
        "stage",
        "state",
        "records",
        "FLOPs",
        "seconds",
        "artifact",
        title=f"{state['name']}: {state['phase']}",
        title_justify="left",
    )
    for row in state["stages"]:
        artifact = row.get("artifact", {})
        shown.add_row(
            row["stage"],
            row["state"] + (" (reused)" if row.get("reused") else ""),
            f"{row['records']:,}",
            amount(row.get("flops", 0)),
            f"{row.get('seconds', 0):.0f}",
            artifact.get("sha256", "")[:12],
        )
    return Group(shown, Text(_headline(state["results"] or {})))


def _json(store: Store, name: str) -> Row | None:
    return json.loads(b"".join(store.read(name))) if store.exists(name) else None
