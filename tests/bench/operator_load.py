"""The operator under load, on a real API server: 10 to 1,000 runs of seven Jobs at once, whose pods a hand plays.

`python tests/bench/operator_load.py [RUNS …]` (default: 10 100). Every stage takes 5 to 15 seconds, with more than 100 runs as much
longer as keeps ten stages a second ending. What is measured:

- hand-off: from a pod's success to the run's next Job, both as one plain watch shows them;
- first Job: from the answer to the run's creation to its first Job on that watch;
- up to 100 runs: as many chains of plain Jobs by a bare script, in the same setting: the time from first to last, as a ratio;
- the operator's peak memory, its processor time over the time it took, and its writes to the API server per stage.
"""

import asyncio
import json
import multiprocessing
import os
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "harness"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "services"))

from control_plane import ControlPlane
from load import Asker, Hand, Way, install, make_chains, way
from operator_process import RUNS, STEPS, Ground, OperatorProcess

from dto_operator import names

SPEC = {"model": {"source": "builtin:tiny-reasoner"}, "problems": {"source": "builtin:graded-sums"}, "until": "pairs"}
SHORTEST, LONGEST = 5.0, 15.0
AT_ONCE = 100
"""Runs that stages of that length are for; more of them take longer, so that as many end in a second."""
REQUESTS = "400"
"""Requests per second that the operator may send: more than the API server of two cores answers."""
WRITES = ("POST", "PATCH", "PUT", "DELETE")


@dataclass(frozen=True)
class Trial:
    """What so many runs gave, in seconds, MiB, cores and requests."""

    runs: int
    handoffs: list[float]
    first_jobs: list[float]
    seconds: float
    plain_seconds: float | None
    rss_mib: float
    cores: float
    writes_per_stage: float


def measured(server: ControlPlane, runs: int, folder: Path) -> Trial:
    """Measure so many runs at once, then as many plain chains."""
    stretch = max(1.0, runs / AT_ONCE)
    seconds = (SHORTEST * stretch, LONGEST * stretch)
    by, ground = way(server), Ground(server)
    operator = OperatorProcess(
        server.kubeconfig, ground.namespace, folder / f"operator-{runs}.log", requests_per_second=REQUESTS
    ).start()
    try:
        ground.until(lambda: operator.asked("/readyz")[0] == 200)
        before = _processor_seconds(operator.pid)
        hand, created, took = asyncio.run(_driven(by, ground.namespace, runs, seconds))
        used = _processor_seconds(operator.pid) - before
        ground.until(lambda: _all_succeeded(ground, runs))
        written = _written(operator)
        memory = _peak_mib(operator.pid)
    finally:
        operator.kill()
    plain_took = None
    if runs <= AT_ONCE:
        plain_took = asyncio.run(_chained(by, Ground(server).namespace, runs, seconds))
    first = [hand.clock.jobs[uid, STEPS[0]] - at for uid, at in created.items()]
    steps = runs * len(STEPS)
    return Trial(runs, hand.clock.handoffs(), first, took, plain_took, memory, used / took, written / steps)


async def _driven(
    by: Way, namespace: str, runs: int, seconds: tuple[float, float]
) -> tuple[Hand, dict[str, float], float]:
    """Create runs and play their pods; return what was seen, when each was created, and how long all took."""
    async with Asker(by) as asker:
        hand = Hand(asker, namespace, seconds)
        playing = asyncio.create_task(hand.play(runs))
        began, created = time.monotonic(), {}
        for number in range(runs):
            metadata = {"name": f"r-{number:04}"}
            run = {"apiVersion": "dto.run/v1alpha1", "kind": "DTORun", "metadata": metadata, "spec": SPEC}
            made = await asker.ask("POST", f"{RUNS}/namespaces/{namespace}/dtoruns", run)
            created[made["metadata"]["uid"]] = time.monotonic()
        await playing
        return hand, created, time.monotonic() - began


async def _chained(by: Way, namespace: str, runs: int, seconds: tuple[float, float]) -> float:
    """Let a bare script in a process of its own make the Jobs; return how long all took."""
    script = multiprocessing.get_context("spawn").Process(target=_script, args=(by, namespace, runs), daemon=True)
    async with Asker(by) as asker:
        hand = Hand(asker, namespace, seconds)
        began = time.monotonic()
        script.start()
        await hand.play(runs)
        took = time.monotonic() - began
    script.join()
    return took


def _script(by: Way, namespace: str, runs: int) -> None:
    async def work() -> None:
        async with Asker(by) as asker:
            await make_chains(asker, namespace, runs, plain_job)

    asyncio.run(work())


def plain_job(chain: str, step: str) -> dict[str, Any]:
    """Return a Job of a chain that no operator made, told apart and found as ours are."""
    labels = names.labels(chain, chain, step, 1)
    container = {"name": names.CONTAINER, "image": "i"}
    pod = {"metadata": {"labels": labels}, "spec": {"containers": [container], "restartPolicy": "Never"}}
    metadata = {"name": f"{chain}-{step}", "labels": labels}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": {"template": pod, "backoffLimit": 0}}


def _all_succeeded(ground: Ground, runs: int) -> bool:
    items = ground.ask("GET", ground.path(RUNS, "dtoruns"))["items"]
    return len(items) == runs and all(run.get("status", {}).get("phase") == "Succeeded" for run in items)


def _written(operator: OperatorProcess) -> float:
    lines = operator.asked("/metrics")[1].splitlines()
    counted = [line for line in lines if line.startswith("dto_operator_api_requests_total{")]
    return sum(float(line.rsplit(" ", 1)[1]) for line in counted if any(f'"{verb}"' in line for verb in WRITES))


def _processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _peak_mib(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def _row(name: str, value: float, unit: str, values: Sequence[float] = ()) -> dict[str, Any]:
    low, high = (min(values), max(values)) if values else (None, None)
    return {"name": name, "value": round(value, 4), "unit": unit, "n": len(values) or 1, "low": low, "high": high}


def rows_of(trial: Trial) -> list[dict[str, Any]]:
    """Return the rows of one number of runs; those of 100 have the names of the goals."""
    suffix = "" if trial.runs == AT_ONCE else f"_{trial.runs}_runs"
    handoffs = sorted(trial.handoffs)
    p50, p99 = statistics.median(handoffs), handoffs[round(0.99 * (len(handoffs) - 1))]
    first = sorted(trial.first_jobs)
    compared = []
    if trial.plain_seconds is not None:
        compared = [_row(f"chain_{trial.runs}_runs_vs_plain_jobs_ratio", trial.seconds / trial.plain_seconds, "")]
    return [
        *compared,
        _row(f"handoff_p50_seconds{suffix}", p50, "s", handoffs),
        _row(f"handoff_p99_seconds{suffix}", p99, "s", handoffs),
        _row(f"first_job_p99_seconds{suffix}", first[round(0.99 * (len(first) - 1))], "s", first),
        _row(f"operator_rss_mib_{trial.runs}_runs", trial.rss_mib, "MiB"),
        _row(f"operator_cores_{trial.runs}_runs", trial.cores, "cores"),
        _row(f"api_writes_per_stage{suffix}", trial.writes_per_stage, "requests"),
    ]


def rows(runs: Sequence[int] = (10, 100)) -> list[dict[str, Any]]:
    """Measure each number of runs on one API server."""
    with TemporaryDirectory(prefix="dto-load-") as folder:
        server = ControlPlane(Path(folder), scheduling=False)
        try:
            server.start()
            install(server)
            return [row for count in runs for row in rows_of(measured(server, count, Path(folder)))]
        finally:
            server.kill()


if __name__ == "__main__":
    for one in rows([int(word) for word in sys.argv[1:]] or (10, 100)):
        sys.stdout.write(json.dumps(one) + "\n")
