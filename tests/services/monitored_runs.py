"""Runs that a Prometheus watches: an operator on a real API server, pods at work, and everything that a dashboard shows.

What the pods of the run `sums` say is what the demo's stages said of themselves (`tests/harness/demo_run.json`), with two
things made up: that each engine had held one GPU, and that a judge had been asked. Failures, cache hits and queues are
played as the Job controller and the kubelet would.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import cycle
from pathlib import Path
from time import time
from typing import Any

import pytest
from operator_process import Ground, OperatorProcess, end, owned
from prometheus import PrometheusServer, Target, Watching
from service_process import free_port
from stage_runs import StageProcess, planned, run_file
from stored_runs import MINIMAL, Runs

from dto_jobs.core.cost import Spend
from dto_jobs.core.results import Results
from dto_jobs.stage_process import figures
from dto_jobs.stage_server import StageState, served
from dto_jobs.termination import ReceiptNote, StepNote, Termination
from dto_operator.dashboards.queries import POD_RUN

DEMO = json.loads((Path(__file__).parents[1] / "harness" / "demo_run.json").read_text())
STAGES = tuple(DEMO["stages"])
JUDGED = {"verdicts": 3120, "verdicts_drop": 1410, "verdicts_missing": 22, "verdicts_unreadable": 9}
HOME = "dto-system"
"""The operator's namespace, as its PodMonitor tells it."""


class Play:
    """A run whose pods do as they are told."""

    def __init__(self, ground: Ground, name: str, spec: dict[str, Any]) -> None:
        self.ground, self.name = ground, name
        self.uid = ground.apply(name, spec)["metadata"]["uid"]

    def words(self, stage: str, **more: Any) -> str:
        """Return the last words of a pod that has done its work."""
        told = {"state": "done", "exit_code": 0, "message": "done", **more}
        return Termination(run=self.uid, stage=stage, **told).text()

    def preflight(self, stages: tuple[str, ...], reused: tuple[str, ...] = ()) -> None:
        """Settle the plan."""
        notes = tuple(StepNote(name=name, key="ab", reused=name in reused) for name in stages)
        self.succeed("preflight", self.words("preflight", plan=f"store:runs/{self.uid}/plan.json", steps=notes))

    def stage(self, name: str, attempt: int = 1, **counts: int) -> None:
        """Have a stage succeed with what the demo's said."""
        told = DEMO["stages"][name]
        note = ReceiptNote(
            artifact=f"runs/{self.uid}/{name}", digest="c" * 64, records=8, bytes=100_000 * told["records"], parts=1
        )
        spend = Spend(**told["spend"])
        spent = figures(spend.model_copy(update={"gpu_seconds": spend.seconds}))
        self.succeed(name, self.words(name, receipt=note, figures=spent, counts={**told["counts"], **counts}), attempt)

    def results(self) -> None:
        """Have the results told: those of the demo."""
        held = Results.model_validate(DEMO["results"])
        self.succeed("results", self.words("collect", results=json.loads(held.to_json())))

    def succeed(self, step: str, words: str, attempt: int = 1) -> None:
        """Have the pod of an attempt succeed."""
        job = self.job(step, attempt)
        self.ground.ended(self.ground.pod(job), words, at=now())
        self.ground.job_status(job, {"active": 0, "succeeded": 1})

    def fail(self, step: str, retry: str, code: int, attempt: int = 1) -> None:
        """Have the pod of an attempt fail."""
        job = self.job(step, attempt)
        said = self.words(step, state="failed", exit_code=code, retry=retry, message="it failed")
        self.ground.ended(self.ground.pod(job), said, code, at=now())
        self.ground.job_failed(job)

    def lose(self, step: str) -> None:
        """Have a pod of the first attempt make room for another; the Job goes on with a new one, as the Job controller has it."""
        name = self.ground.pod(self.job(step))
        taken = {
            "type": "DisruptionTarget",
            "status": "True",
            "reason": "PreemptionByScheduler",
            "lastTransitionTime": now(),
        }
        ended = {"terminated": {"exitCode": 137, "reason": "Error", "startedAt": now(), "finishedAt": now()}}
        self.ground.pod_status(name, {"phase": "Failed", "conditions": [taken]}, ended)

    def job(self, step: str, attempt: int = 1) -> dict[str, Any]:
        """Wait for the Job of an attempt."""
        return self.ground.until(
            lambda: next(
                (
                    job
                    for job in self.ground.jobs(step)
                    if owned(job, self.uid) and job["metadata"]["labels"]["dto.run/attempt"] == str(attempt)
                ),
                None,
            )
        )


class Replayed(StageState):
    """A training's process as a Prometheus sees it: a step of the demo's training further each time it is looked at."""

    def collect(self) -> Any:
        """Take the next step, and show it."""
        if not hasattr(self, "log"):
            self.log = cycle(DEMO["training"])
        self.noted(self.stage, next(self.log))
        return super().collect()


@dataclass(frozen=True)
class Monitored:
    """What there is to look at."""

    server: PrometheusServer
    namespace: str
    began: float
    """When the first of it was seen, in seconds since 1970."""


def now() -> str:
    """Return the time as Kubernetes writes it."""
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"


def act(ground: Ground) -> None:
    """Have runs succeed, fail, try again, find things in the cache, and go on."""
    analysis = MINIMAL | {"until": "pairs"}
    first = Play(ground, "traces", analysis)
    first.preflight(STAGES[:5])
    first.fail("rollout", "infrastructure", 4)
    Play(ground, "mistaken", analysis).fail("preflight", "never", 3)
    first.stage("rollout", attempt=2)
    first.fail("exits", "application", 9)
    whole = Play(ground, "sums", MINIMAL | {"budget": {"gpuHours": 1}})
    whole.preflight(STAGES, reused=("rollout",))
    for name in ("exits", "endings", "pruning", "pairs"):
        whole.stage(name, **(JUDGED if name == "pruning" else {}))
    # Of the other branch, which needs no training.
    whole.stage("baseline")
    Play(ground, "live", analysis).preflight(STAGES[:5])
    first.stage("exits", attempt=2)
    first.lose("endings")
    for name in ("endings", "pruning", "pairs"):
        first.stage(name)
    first.succeed("results", first.words("collect", results={}))
    for name in ("training", "evaluation"):
        whole.stage(name)
    whole.results()
    for name in ("sums", "traces"):
        ground.until(lambda name=name: ground.condition(name, "Complete"))
    ground.until(lambda: ground.condition("mistaken", "Failed"))
    ground.until(lambda: ground.run("live")["status"]["phase"] == "Running")


@contextmanager
def at_work(folder: Path) -> Iterator[tuple[str, str]]:
    """Hand out the addresses of a stage's process that is at work, and of a training's."""
    store, port = folder / "store", free_port()
    # Four minutes of work at least: longer than anybody looks, on a busy machine too.
    planned(run_file(folder, limit=1200, delay_seconds=0.1), store)
    words = ("stage", "rollout", "--plan", "store:runs/r/plan.json")
    process = StageProcess(folder, store, *words, DTO_METRICS_PORT=str(port))
    training = Replayed("r", "training", 1, "0/1")
    training.started("training", 915, 0)
    try:
        with served(training, 0) as other:
            yield f"127.0.0.1:{port}", f"127.0.0.1:{other}"
    finally:
        process.process.kill()
        process.ended()


def pod(namespace: str, run: str, name: str) -> dict[str, str]:
    """Return what a PodMonitor tells of a pod."""
    return {"namespace": namespace, "pod": name, POD_RUN: run}


@pytest.fixture(scope="module")
def monitored(runs: Runs, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Monitored]:
    """Runs that have ended and runs at work, all seen by a Prometheus from their beginning to now."""
    folder = tmp_path_factory.mktemp("monitored")
    ground = Ground(runs.server)
    operator = OperatorProcess(ground.server.kubeconfig, ground.namespace, folder / "operator.log").start()
    watching = Watching(folder)
    try:
        ground.until(lambda: operator.asked("/readyz")[0] == 200)
        with at_work(folder) as (stage, training):
            began = time()
            server = watching(
                Target(f"127.0.0.1:{operator.port}", "operator", {"namespace": HOME, "pod": "dto-operator-0"}),
                Target(stage, "stages", pod(ground.namespace, "live", "live-rollout-1-a1b2c3d4-0-x7k2p")),
                Target(training, "stages", pod(ground.namespace, "other", "other-training-1-e5f6a7b8-0-m4n8q")),
            )
            act(ground)
            server.scraped()
            yield Monitored(server, ground.namespace, began)
    finally:
        watching.kill()
        end([operator])
