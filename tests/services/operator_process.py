"""The operator as a process beside a real API server, and a hand that plays the Job controller and the kubelet."""

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from api_server import ApiServer
from service_process import free_port
from stored_runs import Runs

from dto_jobs.termination import ReceiptNote, StepNote, Termination

ROOT = Path(__file__).parents[2]
PATHS = os.pathsep.join(str(ROOT / folder) for folder in ("jobs", "operator"))
NOW = "2026-01-02T03:04:05Z"
PATIENCE = 90
RUNS = "/apis/dto.run/v1alpha1"


STEPS = ("preflight", "rollout", "exits", "endings", "pruning", "pairs", "results")
"""Of a run until its pairs."""


def owned(job: dict[str, Any], uid: str) -> bool:
    """Tell whether a Job belongs to a run."""
    return any(owner["uid"] == uid for owner in job["metadata"].get("ownerReferences", ()))


def last_words(step: str, uid: str) -> str:
    """Return what a pod says that has done a step."""

    def said(stage: str = step, **more: Any) -> str:
        return Termination(run=uid, stage=stage, state="done", exit_code=0, message="done", **more).text()

    if step == "preflight":
        notes = tuple(StepNote(name=name, key="ab", reused=False) for name in STEPS[1:-1])
        return said(plan=f"store:runs/{uid}/plan.json", steps=notes)
    if step == "results":
        return said("collect", results={})
    note = ReceiptNote(artifact=f"runs/{uid}/{step}/1", digest="c" * 64, records=8, bytes=100, parts=1)
    return said(receipt=note, inputs=8, inputs_done=8, figures={"generated": 7.0})


class OperatorProcess:
    """`python -m dto_operator`, watching one namespace."""

    def __init__(self, kubeconfig: Path, namespace: str, log: Path, **settings: str) -> None:
        self._log, self.port = log, free_port()
        named = {
            "namespaces": namespace,
            "metrics_port": str(self.port),
            "identity": uuid.uuid4().hex,
            "store": "s3://dto/tests",
            **settings,
        }
        self.identity = named["identity"]
        self._environment = {
            **os.environ,
            **{f"DTO_OPERATOR_{name.upper()}": value for name, value in named.items()},
            "KUBECONFIG": str(kubeconfig),
            "PYTHONPATH": PATHS,
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> "OperatorProcess":
        """Start it."""
        with self._log.open("ab") as log:
            command = ["setpriv", "--pdeathsig", "KILL", "--", sys.executable, "-m", "dto_operator"]
            self._process = subprocess.Popen(command, env=self._environment, stdout=log, stderr=log)
        return self

    def kill(self) -> None:
        """End it at once."""
        self.signal(signal.SIGKILL)

    def pause(self) -> None:
        """Stop it in the middle of what it does."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def stop(self) -> int:
        """Ask it to end and return its exit code."""
        return self.signal(signal.SIGTERM)

    def signal(self, number: signal.Signals) -> int:
        """Send a signal and wait for the end."""
        assert self._process is not None
        self._process.send_signal(number)
        return self._process.wait(timeout=PATIENCE)

    @property
    def pid(self) -> int:
        """Its number among the processes."""
        assert self._process is not None
        return self._process.pid

    @property
    def alive(self) -> bool:
        """It has not ended."""
        return self._process is not None and self._process.poll() is None

    @property
    def log(self) -> str:
        """What it wrote."""
        return self._log.read_text()

    def asked(self, path: str) -> tuple[int, str]:
        """Return code and text of its own server; code 0 where there is none."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def metric(self, name: str) -> float:
        """Return the value of a metric with its labels as they are printed; 0 where it is not."""
        lines = [line.rpartition(" ") for line in self.asked("/metrics")[1].splitlines()]
        return next((float(value) for key, _, value in lines if key == name), 0.0)


class Ground:
    """A namespace of a test's own on an API server, and what a person, the Job controller and the kubelet do in it."""

    def __init__(self, server: ApiServer) -> None:
        self.server, self.namespace = server, f"t-{uuid.uuid4().hex[:10]}"
        made = self.ask("POST", "/api/v1/namespaces", {"metadata": {"name": self.namespace}})
        assert made["metadata"]["name"] == self.namespace
        # Without controllers nobody makes it; with them, somebody may have been faster.
        account = {"metadata": {"name": "default"}}
        assert server.admin.ask("POST", self.path("/api/v1", "serviceaccounts"), account).code in {201, 409}

    def ask(self, verb: str, path: str, content: Any = None, kind: str = "application/json") -> Any:
        """Return what the API server answers; it must be well."""
        answer = self.server.admin.ask(verb, path, content, kind)
        assert answer.code < 300, f"{verb} {path}: {answer.message}"
        return answer.content

    def path(self, group: str, plural: str, name: str = "", part: str = "") -> str:
        """Return the path of objects in the namespace."""
        return f"{group}/namespaces/{self.namespace}/{plural}" + (f"/{name}" if name else "") + part

    def until(self, condition: Callable[[], Any]) -> Any:
        """Wait until something is so, and return it."""
        end = time.monotonic() + PATIENCE
        while not (found := condition()):
            assert time.monotonic() < end, f"it did not come to that: {self.shown()}"
            time.sleep(0.05)
        return found

    def shown(self) -> str:
        """Return what there is, for whoever looks for what went wrong."""
        runs = self.ask("GET", self.path(RUNS, "dtoruns"))["items"]
        pods = self.ask("GET", self.path("/api/v1", "pods"))["items"]
        seen = {"runs": [run.get("status") for run in runs], "jobs": self.jobs(), "pods": pods}
        return yaml.safe_dump(seen)[-30_000:]

    def apply(self, name: str, spec: dict[str, Any]) -> dict[str, Any]:
        """Create a run as a person does."""
        held = {"apiVersion": "dto.run/v1alpha1", "kind": "DTORun", "metadata": {"name": name}, "spec": spec}
        return self.ask("POST", self.path(RUNS, "dtoruns"), held)

    def run(self, name: str) -> dict[str, Any]:
        """Return a run."""
        return self.ask("GET", self.path(RUNS, "dtoruns", name))

    def jobs(self, step: str | None = None) -> list[dict[str, Any]]:
        """Return the Jobs, those of a step."""
        items = self.ask("GET", self.path("/apis/batch/v1", "jobs"))["items"]
        return [job for job in items if step in {None, job["metadata"]["labels"].get("dto.run/step")}]

    def job(self, step: str, attempt: int = 1) -> dict[str, Any]:
        """Wait for the Job of an attempt."""
        wanted = str(attempt)
        return self.until(
            lambda: next((j for j in self.jobs(step) if j["metadata"]["labels"]["dto.run/attempt"] == wanted), None)
        )

    def pod(self, job: dict[str, Any], index: int = 0) -> str:
        """Start a pod of a Job, as the Job controller and the kubelet do, and return its name."""
        metadata, template = job["metadata"], job["spec"]["template"]
        owner = {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "name": metadata["name"],
            "uid": metadata["uid"],
            "controller": True,
        }
        name = f"{metadata['name']}-{index}-{uuid.uuid4().hex[:5]}"
        labels = {**template["metadata"]["labels"], "batch.kubernetes.io/job-completion-index": str(index)}
        annotations = {"batch.kubernetes.io/job-completion-index": str(index)}
        pod = {
            "metadata": {"name": name, "labels": labels, "annotations": annotations, "ownerReferences": [owner]},
            "spec": template["spec"],
        }
        self.ask("POST", self.path("/api/v1", "pods"), pod)
        self.pod_status(name, {"phase": "Running", "podIP": "127.0.0.1"}, {"running": {"startedAt": NOW}})
        self.job_status(job, {"startTime": NOW, "active": 1})
        return name

    def collect_garbage(self, pod: str) -> None:
        """Take away a pod whose Job is gone, as the garbage collector and the kubelet do."""
        self.ask("DELETE", self.path("/api/v1", "pods", pod), {"gracePeriodSeconds": 0})

    def ended(self, pod: str, message: str, code: int = 0, at: str = NOW) -> None:
        """Have a pod end with last words."""
        reason = "Completed" if code == 0 else "Error"
        state = {"exitCode": code, "reason": reason, "message": message, "startedAt": at, "finishedAt": at}
        self.pod_status(pod, {"phase": "Succeeded" if code == 0 else "Failed"}, {"terminated": state})

    def pod_status(self, name: str, status: dict[str, Any], state: dict[str, Any]) -> None:
        """Write a pod's status as a kubelet."""
        container = {"name": "dto", "state": state, "ready": False, "restartCount": 0, "image": "i", "imageID": "i"}
        patch = {"status": {**status, "containerStatuses": [container]}}
        self.ask("PATCH", self.path("/api/v1", "pods", name, "/status"), patch, "application/merge-patch+json")

    def job_status(self, job: dict[str, Any], status: dict[str, Any]) -> None:
        """Write a Job's status as its controller."""
        name = job["metadata"]["name"]
        path = self.path("/apis/batch/v1", "jobs", name, "/status")
        self.ask("PATCH", path, {"status": status}, "application/merge-patch+json")

    def change(self, name: str, patch: dict[str, Any]) -> None:
        """Change a run as a person does."""
        self.ask("PATCH", self.path(RUNS, "dtoruns", name), patch, "application/merge-patch+json")

    def events(self, name: str) -> list[dict[str, Any]]:
        """Return the Events about a run."""
        items = self.ask("GET", self.path("/apis/events.k8s.io/v1", "events"))["items"]
        return [event for event in items if event["regarding"]["name"] == name]

    def drive(self, name: str, steps: tuple[str, ...] = STEPS) -> tuple[str, ...]:
        """Let the pods of each step succeed as soon as its Job is there; return the steps."""
        uid = self.run(name)["metadata"]["uid"]
        for step in steps:
            job = self.until(lambda step=step: next((j for j in self.jobs(step) if owned(j, uid)), None))
            self.ended(self.pod(job), last_words(step, uid))
            self.job_status(job, {"active": 0, "succeeded": 1})
        return steps

    def job_failed(self, job: dict[str, Any]) -> None:
        """Have a Job fail, as its controller says when its pod failed."""
        words = {"status": "True", "reason": "BackoffLimitExceeded", "message": "it failed", "lastTransitionTime": NOW}
        conditions = [{"type": kind, **words} for kind in ("FailureTarget", "Failed")]
        self.job_status(job, {"active": 0, "failed": 1, "terminating": 0, "ready": 0, "conditions": conditions})

    def condition(self, run: str, kind: str) -> dict[str, Any] | None:
        """Return a condition of a run that is true."""
        conditions = self.run(run).get("status", {}).get("conditions", ())
        return next((one for one in conditions if one["type"] == kind and one["status"] == "True"), None)


def kubeconfig_by(server: ApiServer, url: str, path: Path) -> Path:
    """Write a kubeconfig that reaches an API server by another way."""
    content = server.admin.configuration()
    content["clusters"][0]["cluster"]["server"] = url
    path.write_text(yaml.safe_dump(content))
    return path


def end(operators: Iterable[OperatorProcess]) -> None:
    """End operators, and show the last of what they wrote to whoever looks for what went wrong."""
    for one in operators:
        if one.alive:
            one.kill()
        sys.stderr.write(one.log[-20_000:])


@pytest.fixture
def ground(runs: Runs) -> Ground:
    """A namespace on the shared API server."""
    return Ground(runs.server)


@pytest.fixture
def operators(tmp_path: Path) -> Iterator[Callable[..., OperatorProcess]]:
    """Start operators that end with the test."""
    started: list[OperatorProcess] = []

    def start(ground: Ground, kubeconfig: Path | None = None, **settings: str) -> OperatorProcess:
        log = tmp_path / f"operator-{len(started)}.log"
        one = OperatorProcess(kubeconfig or ground.server.kubeconfig, ground.namespace, log, **settings)
        started.append(one.start())
        return one

    yield start
    end(started)
