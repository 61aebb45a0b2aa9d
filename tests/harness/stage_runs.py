"""Runs of the scripted engine, stage by stage: what the tests of the stage's contract share."""

import json
import os
import subprocess
import sys
from pathlib import Path

from pydantic.alias_generators import to_camel
from rich.console import Console

from dto_jobs.artifacts.addresses import open_store
from dto_jobs.artifacts.artifact import Artifact
from dto_jobs.cli.running import opened
from dto_jobs.plan_file import Plan
from dto_jobs.preflight import preflight
from dto_jobs.termination import Termination, parse

STAGES = ("rollout", "exits", "endings", "pruning", "pairs")
NOWHERE = Console(quiet=True)


def run_file(folder: Path, *, limit: int = 300, until: str = "pairs", **scripted: object) -> Path:
    """Write a run file for the scripted engine."""
    spec = {
        "model": {"source": "builtin:tiny-reasoner"},
        "problems": {"source": "builtin:graded-sums", "limit": limit},
        "engine": {"scripted": {to_camel(name): value for name, value in scripted.items()}},
        "stages": {"rollout": {"samples": 2}},
        "until": until,
    }
    path = folder / "r.yaml"
    run = {"apiVersion": "dto.run/v1alpha1", "kind": "DTORun", "metadata": {"name": "r"}, "spec": spec}
    path.write_text(json.dumps(run))
    return path


def planned(file: Path, store: str | Path) -> Plan:
    """Return the plan of a run file."""
    return preflight(opened(file, str(store), []))


def receipts(plan: Plan, store: str | Path) -> dict[str, object]:
    """Return what each stage's receipt says of content, counts and spend; nothing of how long it took."""
    found = {step.name: Artifact(open_store(str(store)), step.artifact).receipt() for step in plan.steps}
    return {
        name: (
            receipt.digest,
            receipt.counts,
            receipt.spend.model_copy(update={"seconds": 0.0, "gpu_seconds": 0.0}),
        )
        for name, receipt in found.items()
        if receipt
    }


class StageProcess:
    """A process of `dto stage`, or of another command that keeps the contract."""

    def __init__(self, folder: Path, store: str | Path, *words: str, **environment: str) -> None:
        self.log = folder / f"termination-{len(list(folder.glob('termination-*')))}"
        self.log.touch()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "dto_jobs", *words, "--store", str(store)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "DTO_TERMINATION_LOG": str(self.log), **environment},
        )

    def ended(self) -> tuple[int, str]:
        """Wait for its end; return exit code and output."""
        output, _ = self.process.communicate()
        return self.process.returncode, output

    def words(self) -> Termination | None:
        """Return its last words."""
        return parse(self.log.read_text())
