"""A cluster in miniature: an API server, a Job controller and kubelets, as far as an operator can tell.

Objects are raw and are never changed in place, so that what somebody saw before stays as it was. Time is a number that moves when told.
"""

import itertools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from dto_jobs.core.results import GateResults, Results
from dto_jobs.resource import STAGE_NAMES
from dto_jobs.termination import ReceiptNote, StepNote, Termination
from dto_operator import names
from dto_operator.orders import Remove, Start
from dto_operator.status import Status

START = datetime(2026, 1, 1, tzinfo=UTC)
UID = "7f3c"
SPEC: dict[str, Any] = {
    "model": {"source": "builtin:tiny-reasoner"},
    "problems": {"source": "builtin:arithmetic"},
    "artifacts": {"bucket": "dto"},
}
GRACE = 30.0
Raw = dict[str, Any]
Event = tuple[str, str, Raw | None]
"""Kind of object, name, and the object as it is now; None where it is gone."""


class Cluster:
    """One namespace with one run."""

    def __init__(self, spec: Raw | None = None) -> None:
        self.now = START
        self.objects: dict[tuple[str, str], Raw] = {}
        self.events: list[Event] = []
        self.listeners: list[Callable[[Event], None]] = []
        self.made: set[str] = set()
        """Steps whose artifact is whole in the store."""
        self.reusable: set[str] = set()
        """Stages that the preflight finds there already."""
        self.damaged: set[str] = set()
        """Stages of which the preflight finds an artifact that it cannot use."""
        self.planned_from: str | None = None
        """From where the last plan makes things anew."""
        self.started: list[Start] = []
        self.writes: list[str] = []
        self._versions = itertools.count(1)
        self._names = itertools.count(1)
        self.put("run", "qwen", {
            "apiVersion": "dto.run/v1alpha1",
            "kind": "DTORun",
            "metadata": {"name": "qwen", "namespace": "lab", "uid": UID, "generation": 1, "creationTimestamp": self.time()},
            "spec": {**SPEC, **(spec or {})},
        })  # fmt: skip

    # The API server

    def time(self, after: float = 0) -> str:
        """Return the time as objects hold it."""
        return (self.now + seconds(after)).strftime("%Y-%m-%dT%H:%M:%SZ")

    def put(self, kind: str, name: str, held: Raw) -> Raw:
        """Store an object anew, and tell who watches."""
        kept = {**held, "metadata": {**held["metadata"], "resourceVersion": str(next(self._versions))}}
        self.objects[kind, name] = kept
        self._tell((kind, name, kept))
        return kept

    def drop(self, kind: str, name: str) -> None:
        """Forget an object, and tell who watches."""
        if self.objects.pop((kind, name), None) is not None:
            self._tell((kind, name, None))

    def _tell(self, event: Event) -> None:
        for listener in self.listeners:
            listener(event)

    def change(self, kind: str, name: str, **parts: Raw) -> Raw:
        """Change parts of an object."""
        held = self.objects[kind, name]
        changed = {part: {**held.get(part, {}), **fields} for part, fields in parts.items()}
        return self.put(kind, name, {**held, **changed})

    def all(self, kind: str) -> list[Raw]:
        """Return the objects of a kind."""
        return [held for (of, _), held in self.objects.items() if of == kind]

    @property
    def run(self) -> Raw:
        """The run."""
        return self.objects["run", "qwen"]

    def edit(self, **fields: Any) -> None:
        """Change the run's spec, as a person does; None takes a field away."""
        held = self.run
        spec = {key: value for key, value in {**held["spec"], **fields}.items() if value is not None}
        metadata = {**held["metadata"], "generation": held["metadata"]["generation"] + 1}
        self.put("run", "qwen", {**held, "spec": spec, "metadata": metadata})

    # What the operator asks for

    def start(self, order: Start) -> Raw:
        """Create an attempt's Job and return it; that it exists is fine where it is the run's."""
        name = names.job_name("qwen", UID, order.step, order.attempt, order.work)
        self.writes.append(f"start {order.step}")
        if ("job", name) in self.objects:
            return self.objects["job", name]
        spec = self.run["spec"]
        alone = order.step in names.AROUND or order.work == "collect"
        shards = 1 if alone else spec.get("stages", {}).get(order.step, {}).get("job", {}).get("shards", 1)
        self.started.append(order)
        return self.put("job", name, {
            "metadata": {
                "name": name,
                "uid": f"{name}-{next(self._names)}",
                "creationTimestamp": self.time(),
                "labels": names.labels("qwen", UID, order.step, order.attempt, order.work),
                "ownerReferences": [] if order.work == "discard" else [{"uid": UID, "controller": True}],
            },
            "spec": {
                "completions": shards,
                "completionMode": "Indexed",
                **({"suspend": True} if "queueName" in spec and order.work != "discard" else {}),
                "template": {"spec": {"containers": [self._container(order)]}},
            },
            "status": {},
        })  # fmt: skip

    def _container(self, order: Start) -> Raw:
        anew = ["--from", order.rerun_from] if order.rerun_from else []
        return {"name": "dto", "image": order.image or "jobs:1", "args": ["preflight", "run.json", *anew]}

    def remove(self, order: Remove) -> None:
        """Delete a Job; its pods follow it."""
        self.writes.append(f"remove {order.job}")
        held = self.objects.get(("job", order.job))
        if held is not None and held["metadata"]["uid"] == order.uid:
            self.drop("job", order.job)

    def write_status(self, status: Status) -> Raw:
        """Write the run's status."""
        self.writes.append("status")
        held = status.model_dump(mode="json", by_alias=True, exclude_none=True)
        return self.put("run", "qwen", {**self.run, "status": held})

    def delete(self, *, foreground: bool = False) -> None:
        """Ask for the run's deletion, as a person does; it goes once nobody holds it."""
        held = self.run
        finalizers = [*held["metadata"].get("finalizers", ()), *(["foregroundDeletion"] if foreground else [])]
        metadata = {**held["metadata"], "deletionTimestamp": self.time(), "finalizers": finalizers}
        self.put("run", "qwen", {**held, "metadata": metadata})

    def set_finalizer(self, *, held: bool) -> Raw | None:
        """Set the operator's finalizer, or take it away."""
        self.writes.append("hold" if held else "release")
        run = self.objects.get(("run", "qwen"))
        if run is None:
            return None
        others = [name for name in run["metadata"].get("finalizers", ()) if name != names.FINALIZER]
        finalizers = [*others, *([names.FINALIZER] if held else [])]
        return self.put("run", "qwen", {**run, "metadata": {**run["metadata"], "finalizers": finalizers}})

    def collect(self) -> bool:
        """Let the garbage collector do what is due for a run that is deleted; tell whether there was anything."""
        run = self.objects.get(("run", "qwen"))
        if run is not None and "deletionTimestamp" not in run["metadata"]:
            return False
        finalizers = run["metadata"].get("finalizers", []) if run is not None else []
        owned = [job for job in self.jobs() if job["metadata"]["ownerReferences"]]
        if run is not None and not finalizers:
            self.drop("run", "qwen")
            return True
        if run is not None and "foregroundDeletion" not in finalizers:
            return False
        for job in owned:
            self.drop("job", job["metadata"]["name"])
        if run is not None and not owned:
            left = [name for name in finalizers if name != "foregroundDeletion"]
            self.put("run", "qwen", {**run, "metadata": {**run["metadata"], "finalizers": left}})
        return bool(owned) or run is not None

    # The Job controller

    def jobs(self, step: str | None = None) -> list[Raw]:
        """Return the Jobs of a step, or of all."""
        return [held for held in self.all("job") if step in {None, held["metadata"]["labels"][names.STEP]}]

    def live(self) -> list[str]:
        """Return the steps of Jobs that still work, or are on their way out."""
        return [held["metadata"]["labels"][names.STEP] for held in self.jobs() if not is_over(held)]

    def pods_of(self, job: Raw) -> list[Raw]:
        """Return a Job's pods."""
        uid = job["metadata"]["uid"]
        return [pod for pod in self.all("pod") if pod["metadata"]["ownerReferences"][0]["uid"] == uid]

    def delete_job(self, name: str) -> None:
        """Begin to delete a Job: it goes when its pods have gone."""
        self.change("job", name, metadata={"deletionTimestamp": self.time()})

    def control(self) -> bool:
        """Let the Job controller do what is due; tell whether there was anything."""
        done = [self._control(job) for job in self.jobs()]
        return any([*done, *map(self._collect_garbage, self._orphans()), self.collect()])

    def _orphans(self) -> list[Raw]:
        owners = {job["metadata"]["uid"] for job in self.jobs()}
        return [pod for pod in self.all("pod") if pod["metadata"]["ownerReferences"][0]["uid"] not in owners]

    def _collect_garbage(self, pod: Raw) -> bool:
        """Let a pod whose Job is gone end, step by step."""
        name = pod["metadata"]["name"]
        if pod_over(pod):
            self.drop("pod", name)
        elif "deletionTimestamp" in pod["metadata"]:
            self.end_pod(pod, 75)
        else:
            self.change("pod", name, metadata={"deletionTimestamp": self.time(after=GRACE)})
        return True

    def _control(self, job: Raw) -> bool:
        pods = self.pods_of(job)
        name, running = job["metadata"]["name"], [pod for pod in pods if not pod_over(pod)]
        if "deletionTimestamp" in job["metadata"]:
            return self._delete(name, pods)
        if is_over(job):
            return False
        done = {pod_index(pod) for pod in pods if pod["status"]["phase"] == "Succeeded"}
        done |= set(job["status"].get("doneBefore", []))
        failed = [pod for pod in pods if pod["status"]["phase"] == "Failed" and not disrupted(pod)]
        wanted = set(range(job["spec"]["completions"]))
        status: Raw = {"completedIndexes": ",".join(map(str, sorted(done))), "active": len(running)}
        if failed and running:
            for pod in running:
                self.end_pod(pod, 143)
            return True
        if failed:
            status |= ended_status("Failed", "BackoffLimitExceeded", self.time()) | {"failed": len(failed)}
        elif done >= wanted:
            status |= ended_status("Complete", "CompletionsReached", self.time()) | {"completionTime": self.time()}
        elif job["spec"].get("suspend"):
            for pod in running:
                self.end_pod(pod, 143, disruption="Suspended")
                self.drop("pod", pod["metadata"]["name"])
            status["active"] = 0
        else:
            self._make_pods(job, wanted - done - {pod_index(pod) for pod in running})
            status |= {"startTime": self.time(), "active": len(wanted - done)}
        if all(job["status"].get(key) == value for key, value in status.items() if key != "startTime"):
            return False
        status["doneBefore"] = sorted(done)
        self.change("job", name, status=status)
        return True

    def _delete(self, name: str, pods: list[Raw]) -> bool:
        for pod in pods:
            if not pod_over(pod):
                self.end_pod(pod, 75)
            else:
                self.drop("pod", pod["metadata"]["name"])
        if not pods:
            self.drop("job", name)
        return True

    def _make_pods(self, job: Raw, indexes: set[int]) -> None:
        for index in sorted(indexes):
            name = f"{job['metadata']['name']}-{index}-{next(self._names)}"
            self.put("pod", name, {
                "metadata": {
                    "name": name,
                    "uid": name,
                    "creationTimestamp": self.time(),
                    "labels": job["metadata"]["labels"],
                    "annotations": {"batch.kubernetes.io/job-completion-index": str(index)},
                    "ownerReferences": [{"uid": job["metadata"]["uid"], "controller": True}],
                },
                "status": {"phase": "Pending", "args": job["spec"]["template"]["spec"]["containers"][0].get("args", [])},
            })  # fmt: skip

    # Kubelets

    def working(self) -> list[Raw]:
        """Return the pods that have not ended."""
        return [pod for pod in self.all("pod") if not pod_over(pod)]

    def hold_up(self, pod: Raw, reason: str) -> None:
        """Let a pod not start, for a reason."""
        waits = {"waiting": {"reason": reason, "message": "no such thing"}}
        self.change("pod", pod["metadata"]["name"], status={"containerStatuses": [{"name": "dto", "state": waits}]})

    def succeed(self, pod: Raw, *, say: bool = True) -> None:
        """Let a pod end well; its last words tell what it found, unless they are lost."""
        labels = pod["metadata"]["labels"]
        step, job = labels[names.STEP], self._job_of(pod)
        words = self._words(step, labels[names.WORK], job, pod)
        self._end(pod, "Succeeded", 0, words.text() if say else "")

    def fail(self, pod: Raw, code: int, retry: str) -> None:
        """Let a pod end with an error that it understands."""
        words = Termination(
            run=UID, stage="x", state="failed", exit_code=code, retry=retry, message="no", figures={"generated": 5.0}
        )
        self._end(pod, "Failed", code, words.text())

    def end_pod(self, pod: Raw, code: int, disruption: str | None = None) -> None:
        """Let a pod be ended from outside."""
        words = Termination(
            run=UID,
            stage="x",
            state="stopped",
            exit_code=75,
            retry="infrastructure",
            message="",
            figures={"generated": 5.0},
        )
        self._end(pod, "Failed", code, words.text() if code == 75 else "", disruption)

    def _end(self, pod: Raw, phase: str, code: int, text: str, disruption: str | None = None) -> None:
        state = {"terminated": {"exitCode": code, "message": text, "finishedAt": self.time(), "reason": "Ended"}}
        target = {"type": "DisruptionTarget", "status": "True", "reason": disruption, "message": ""}
        status = {
            "phase": phase,
            "containerStatuses": [{"name": "dto", "state": state}],
            "conditions": [target] if disruption else [],
        }
        self.change("pod", pod["metadata"]["name"], status=status)

    def _job_of(self, pod: Raw) -> Raw | None:
        uid = pod["metadata"]["ownerReferences"][0]["uid"]
        return next((job for job in self.all("job") if job["metadata"]["uid"] == uid), None)

    def _words(self, step: str, work: str, job: Raw | None, pod: Raw) -> Termination:
        def said(**more: Any) -> Termination:
            stage = "collect" if work == "collect" or step == names.RESULTS else step
            return Termination(run=UID, stage=stage, state="done", exit_code=0, message="well", **more)

        if step == names.PREFLIGHT:
            self._plan(pod["status"]["args"][3:])
            steps = tuple(
                StepNote(name=name, key="ab", reused=name in self.made, damaged=name in self.damaged or None)
                for name in STAGE_NAMES
            )
            return said(plan=f"store:runs/{UID}/plan.json", steps=steps)
        if step == names.DISCARD:
            self.made -= set(STAGE_NAMES) - {"training"} if work == "make" else self.made
            return said(counts={"objects": 3, "bytes": 100})
        if step == names.RESULTS:
            self.made.add(step)
            found = Results(gate=GateResults(accepted=True, checks=()))
            return said(results=found.model_dump(mode="json", by_alias=True, exclude_none=True))
        shards = set(range(job["spec"]["completions"])) if job and work == "make" else {0}
        others = self.pods_of(job) if job else []
        ready = {pod_index(other) for other in others if other["status"]["phase"] == "Succeeded"} | {pod_index(pod)}
        ready |= set(job["status"].get("doneBefore", [])) if job else set()
        if ready >= shards:
            self.made.add(step)
        note = ReceiptNote(artifact=f"runs/{UID}/{step}", digest="c" * 64, records=8, bytes=100, parts=1)
        whole = {"receipt": note, "counts": {"kept": 8}} if ready >= shards else {}
        return said(**whole, inputs=8, inputs_done=8, figures={"generated": 10.0})

    def _plan(self, rerun_from: list[str]) -> None:
        self.made.add(names.PREFLIGHT)
        self.planned_from = next(iter(rerun_from), None)
        self.made |= self.reusable
        for first in rerun_from:
            self.made -= {names.RESULTS, *STAGE_NAMES[STAGE_NAMES.index(first) :]}


def is_over(job: Raw) -> bool:
    """Tell whether a Job has ended."""
    return any(one["type"] in {"Complete", "Failed"} for one in job["status"].get("conditions", []))


def pod_over(pod: Raw) -> bool:
    """Tell whether a pod has ended."""
    return pod["status"]["phase"] in {"Succeeded", "Failed"}


def disrupted(pod: Raw) -> bool:
    """Tell whether a pod was taken away."""
    return bool(pod["status"].get("conditions"))


def pod_index(pod: Raw) -> int:
    """Return a pod's shard."""
    return int(pod["metadata"]["annotations"]["batch.kubernetes.io/job-completion-index"])


def ended_status(kind: str, reason: str, time: str) -> Raw:
    """Return the status of a Job that ended."""
    return {
        "conditions": [{"type": kind, "status": "True", "reason": reason, "message": "", "lastTransitionTime": time}]
    }


def seconds(number: float) -> timedelta:
    """Return so many seconds."""
    return timedelta(seconds=number)
