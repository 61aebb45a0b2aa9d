"""The demo as a whole: its wall time, the share that is not the engine's or trainer's, and what a second run with another β costs.

One run, since it takes minutes: n is 1.
"""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
STORE = ROOT / "build" / "bench-demo"


def run(*words: str) -> tuple[dict[str, Any], float]:
    """Run the demo with more options; return its results and the seconds it took."""
    start = time.perf_counter()
    command = [
        sys.executable,
        "-m",
        "dto_jobs",
        "run",
        ROOT / "manifests/samples/demo.yaml",
        "--store",
        STORE,
        "--json",
        *words,
    ]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, cwd=ROOT)
    return json.loads(done.stdout), time.perf_counter() - start


def paid(results: dict[str, Any]) -> float:
    """Return the FLOPs of the stages that the run computed itself."""
    return sum(stage["flops"] for stage in results["cost"]["stages"].values() if not stage["reused"])


def row(name: str, value: float, unit: str) -> dict[str, Any]:
    """Return a row of one measurement."""
    return {"name": name, "value": value, "unit": unit, "n": 1, "low": None, "high": None}


def rows() -> list[dict[str, Any]]:
    """Run the demo, then again with another β."""
    shutil.rmtree(STORE, ignore_errors=True)
    first, seconds = run()
    second, _ = run("--set", "metadata.name=demo-beta", "--set", "stages.training.beta=2.5")
    worked = first["cost"]["total"]["seconds"]
    return [
        row("demo_seconds", seconds, "s"),
        row("runner_overhead_share", 1 - worked / seconds, "share"),
        row("rerun_flops_share", paid(second) / paid(first), "share"),
    ]


if __name__ == "__main__":
    for one in rows():
        sys.stdout.write(json.dumps(one) + "\n")
