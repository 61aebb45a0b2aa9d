"""A cluster on which everything happens that may happen, in any order, and what must hold all the same."""

import random
from collections.abc import Callable
from typing import Any

from simulated_cluster import UID, Cluster, Raw, is_over, seconds
from simulated_operator import KilledError, Operator

from dto_jobs.resource import STAGE_NAMES, DTORun
from dto_operator import names
from dto_operator.conditions import is_true
from dto_operator.orders import Start
from dto_operator.retries import overdrawn
from dto_operator.status import StageStatus, Status
from dto_operator.steps import Step, steps
from dto_operator.stored_run import spec_of, status_of

SHAPES: list[Raw] = [
    {"until": "exits"},
    {"until": "exits", "stages": {"rollout": {"job": {"shards": 3}}}},
    {"until": "exits", "queueName": "gpus"},
    {"until": "exits", "stages": {"exits": {"job": {"shards": 2, "retry": {"application": 1, "infrastructure": 4}}}}},
    {"until": "endings", "rerunFrom": "exits"},
    {},
]
LONGEST = 4000
"""Moves after which a run that is left in peace must have ended."""


class ApiError(Exception):
    """The API server answered 429, 500 or nothing, whether it did what was asked or not."""


class Watched(Cluster):
    """A cluster that looks at every write: what must never be, is an AssertionError here and now."""

    def start(self, order: Start) -> Raw:
        """Create a Job, if it may be."""
        name = names.job_name("qwen", UID, order.step, order.attempt, order.work)
        if ("job", name) not in self.objects:
            self._check_start(order)
        return super().start(order)

    def write_status(self, status: Status) -> Raw:
        """Write the status, which must go on and never back."""
        before = status_of(self.run)
        held = super().write_status(status)
        if before.rerun_from == status.rerun_from and not self._anew(before):
            check_onward(before, status)
        if planned(status) and not planned(before):
            assert self.planned_from == before.rerun_from, f"a plan from {self.planned_from} for {before.rerun_from}"
        assert len(status.model_dump_json(by_alias=True, exclude_none=True)) <= 16 * 1024
        return held

    def _check_start(self, order: Start) -> None:
        alive = [job["metadata"]["name"] for job in self.jobs(order.step) if not is_over(job)]
        assert alive == [], f"{order} beside {alive}"
        step = self.step(order.step)
        assert set(step.needs) <= self.made, f"{order} before {set(step.needs) - self.made}"
        status = status_of(self.run)
        # What was asked for may have been taken back in the meantime.
        assert not finished(status) or order.rerun_from, f"{order} of a finished run"

    def _anew(self, status: Status) -> bool:
        asked = self.run["spec"].get("rerunFrom")
        return asked is not None and asked != status.rerun_from

    def step(self, name: str) -> Step:
        """Return a step of the run."""
        return next(step for step in self.steps() if step.name == name)

    def steps(self) -> tuple[Step, ...]:
        """Return the steps of the run."""
        run = spec_of(self.run)
        assert isinstance(run, DTORun)
        return steps(run.spec)


def finished(status: Status) -> bool:
    """Tell whether a run says that it is over."""
    return is_true(status.conditions, "Complete") or is_true(status.conditions, "Failed")


def planned(status: Status) -> bool:
    """Tell whether a run has a plan."""
    return any(row.name == names.PREFLIGHT and row.state == "Succeeded" for row in status.stages)


def check_onward(before: Status, after: Status) -> None:
    """See to it that nothing that was reached is taken back."""
    if finished(before):
        assert before.model_copy(update={"rerun_from": None}) == after.model_copy(update={"rerun_from": None})
    rows = {row.name: row for row in after.stages}
    # A plan that is made anew says which artifacts are still there.
    replanned = planned(after) and not planned(before)
    for row in before.stages:
        now = rows[row.name]
        kept = replanned or row.state not in {"Succeeded", "Failed"} or now.state == row.state
        assert kept, f"{row} became {now}"
        for amount in ("total", "counted", "infrastructure"):
            assert getattr(now.attempts, amount) >= getattr(row.attempts, amount), f"{row} became {now}"
        assert all(now.figures.get(name, 0) >= value for name, value in row.figures.items())
        assert replanned or row.start_time is None or now.start_time == row.start_time


class Storm:
    """A run in bad weather, the same for the same seed."""

    def __init__(self, seed: int, disturbances: int = 25) -> None:
        self.random = random.Random(seed)
        self.cluster = Watched(dict(self.random.choice(SHAPES)))
        self.cluster.reusable = set(self.random.sample(STAGE_NAMES, self.random.choice([0, 0, 3])))
        self.left = disturbances
        self.seen: list[str] = []
        self.final = False
        """A pod said that no other try makes sense."""
        self.operator = Operator(self.cluster, self._at_call)

    def run(self) -> Status:
        """Let everything happen until the run ends; AssertionError where it does not, or where it goes wrong."""
        while self.left > 0 and self.random.random() > 0.002:
            self._move()
        self.left = 0
        self._calm()
        for _ in range(LONGEST):
            if finished(status_of(self.cluster.run)) and not self.cluster.live() and self._idle():
                return status_of(self.cluster.run)
            self._move()
        raise AssertionError(f"it does not end: {status_of(self.cluster.run)}")

    def _idle(self) -> bool:
        return not self.operator.dirty and not any(self.operator.coming.values())

    def _calm(self) -> None:
        spec = self.cluster.run["spec"]
        if spec.get("suspend"):
            self.cluster.edit(suspend=None)

    def _move(self) -> None:
        """Let one thing happen."""
        move = self.random.choices(
            [self._hear, self._look, self._control, self._work, self._pass, self._disturb], [8, 5, 5, 4, 1, 1]
        )
        move[0]()

    # What the operator does

    def _hear(self) -> None:
        kind = self.random.choice(["run", "job", "pod"])
        self.operator.take_in(kind, again=self.random.random() < 0.1)

    def _look(self) -> None:
        due = self.operator.due is not None and self.operator.due <= self.cluster.now
        if not (self.operator.dirty or due or self.random.random() < 0.1):
            return
        try:
            self.operator.look()
        except KilledError:
            self.seen.append("killed")
            self.operator = Operator(self.cluster, self._at_call)
        except ApiError:
            self.operator.dirty = True

    def _at_call(self, call: str) -> None:
        if self.left <= 0 or self.random.random() > 0.04:
            return
        self.left -= 1
        if self.random.random() < 0.5:
            raise KilledError(call)
        raise ApiError(call)

    # What the cluster does

    def _control(self) -> None:
        self.cluster.control()

    def _work(self) -> None:
        for job in self.cluster.jobs():
            if job["spec"].get("suspend") and not is_over(job) and self.random.random() < 0.5:
                self.cluster.change("job", job["metadata"]["name"], spec={"suspend": False})
        pods = self.cluster.working()
        if not pods:
            return
        pod, chance = self.random.choice(pods), self.random.random()
        if chance < 0.75 or self.left <= 0:
            self.cluster.succeed(pod, say=self.random.random() < 0.95 or self.left <= 0)
        else:
            self.left -= 1
            self._lose(pod, chance)

    def _lose(self, pod: Raw, chance: float) -> None:
        if chance < 0.8:
            self.cluster.fail(pod, 1, "application")
        elif chance < 0.86:
            self.cluster.fail(pod, 4, "infrastructure")
        elif chance < 0.9:
            self.cluster.end_pod(pod, 137)
        elif chance < 0.99:
            self.cluster.end_pod(pod, 143, disruption="PreemptionByScheduler")
        else:
            self.final = True
            self.cluster.fail(pod, 6, "never")

    def _pass(self) -> None:
        wait = self.random.choice([0.1, 1, 10, 100])
        self.cluster.now += seconds(wait)

    # What nobody wants

    def _disturb(self) -> None:
        if self.left <= 0:
            return
        self.left -= 1
        what: Callable[[], Any] = self.random.choice(
            [
                self._delete_job,
                self._delete_pod,
                self._kill,
                self._relist,
                self._step_clock,
                self._suspend,
                self._anew,
                self._take_back,
            ]
        )
        self.seen.append(what.__name__)
        what()

    def _delete_job(self) -> None:
        jobs = self.cluster.jobs()
        if jobs:
            name = self.random.choice(jobs)["metadata"]["name"]
            if self.random.random() < 0.5:
                self.cluster.delete_job(name)
            else:
                self.cluster.drop("job", name)

    def _delete_pod(self) -> None:
        pods = self.cluster.all("pod")
        if pods:
            pod = self.random.choice(pods)
            if pod in self.cluster.working():
                self.cluster.end_pod(pod, 143, disruption="EvictionByEvictionAPI")
            self.cluster.drop("pod", pod["metadata"]["name"])

    def _kill(self) -> None:
        self.operator = Operator(self.cluster, self._at_call)

    def _relist(self) -> None:
        self.operator.open()

    def _step_clock(self) -> None:
        self.cluster.now += seconds(self.random.choice([-3600, -60, -5, 60, 3600, 86_400]))

    def _suspend(self) -> None:
        self.cluster.edit(suspend=None if self.cluster.run["spec"].get("suspend") else True)

    def _anew(self) -> None:
        stages = [step.name for step in self.cluster.steps() if step.makes_artifact]
        self.cluster.edit(rerunFrom=self.random.choice([None, *stages]))

    def _take_back(self) -> None:
        """Let a queue take a Job's place away."""
        jobs = [job for job in self.cluster.jobs() if "suspend" in job["spec"] and not is_over(job)]
        if jobs:
            self.cluster.change("job", self.random.choice(jobs)["metadata"]["name"], spec={"suspend": True})


def excused(row: StageStatus, step: Step) -> bool:
    """Tell whether a step that failed had a reason to."""
    return overdrawn(row.attempts, step.retry) is not None
