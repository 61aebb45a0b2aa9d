"""From the start of a stage's process to its first finished input, by engine."""

import json
import os
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "harness"))

from stage_runs import planned

TIMES = 5
ENGINES = {"scripted": {}, "transformers": {}, "vllm": {"context": 512, "cacheMebibytes": 512}}
NEEDS = {"transformers": "torch", "vllm": "vllm"}


def run_file(folder: Path, engine: str) -> Path:
    """Write a run whose first answer takes next to no time: one problem, one short response."""
    spec = {
        "model": {"source": "builtin:tiny-reasoner"},
        "problems": {"source": "builtin:graded-sums", "limit": 1},
        "engine": {engine: ENGINES[engine]},
        "stages": {"rollout": {"samples": 1, "maxTokens": 2}},
        "until": "rollout",
    }
    path = folder / f"{engine}.yaml"
    path.write_text(
        json.dumps({"apiVersion": "dto.run/v1alpha1", "kind": "DTORun", "metadata": {"name": engine}, "spec": spec})
    )
    return path


def seconds(folder: Path, engine: str, number: int) -> float:
    """Return how long a stage with one answer takes from process start until that answer's part is committed."""
    store = folder / f"{engine}-{number}"
    plan = planned(run_file(folder, engine), store)
    note = store / plan.place("rollout") / "part-00000.json"
    command = [sys.executable, "-m", "dto_jobs", "stage", "rollout", "--plan", f"store:runs/{engine}/plan.json"]
    start = time.perf_counter()
    process = subprocess.Popen(
        [*command, "--store", str(store)], env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=subprocess.DEVNULL
    )
    while not note.exists():
        if process.poll() is not None and not note.exists():
            raise RuntimeError(f"{engine}: the stage ended with {process.returncode}")
        time.sleep(0.01)
    taken = time.perf_counter() - start
    process.wait()
    return taken


def rows() -> list[dict[str, Any]]:
    """Start each engine's stage a few times, alternating."""
    engines = [engine for engine in ENGINES if find_spec(NEEDS.get(engine, "dto_jobs"))]
    with TemporaryDirectory() as name:
        taken = {engine: [] for engine in engines}
        for number in range(TIMES):
            for engine in engines:
                taken[engine].append(seconds(Path(name), engine, number))
    return [
        {
            "name": "stage_start_seconds" if engine == "vllm" else f"stage_start_seconds_{engine}",
            "value": median(values),
            "unit": "s",
            "n": TIMES,
            "low": min(values),
            "high": max(values),
        }
        for engine, values in taken.items()
    ]


if __name__ == "__main__":
    for one in rows():
        sys.stdout.write(json.dumps(one) + "\n")
