"""What became of an attempt, judged from its Job and pods alone."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from dto_jobs.termination import Termination
from dto_operator import names
from dto_operator.cause import Diagnosis
from dto_operator.observation import Observed, SeenJob, SeenPod, Why
from dto_operator.retries import Account, remaining
from dto_operator.steps import Step

WORDS_SECONDS = 5.0
"""A Job and its pods are watched apart: so long after a Job ended, word of its pods may still be on the way."""
STUCK_SECONDS = 600.0
"""A pod that cannot start because of what the run says of it (image, secret) is waited for so long: someone may mend it."""
ENDING_SECONDS = 60.0
"""A pod whose Job is gone is waited for so long beyond its grace: its node may be gone, too, and then nobody says that it ended."""
ENDED_FOR_SURE = timedelta(seconds=ENDING_SECONDS)
LONGEST_GRACE = 3600.0
STARTING = {"ContainerCreating", "PodInitializing"}


PODLESS_SECONDS, PODLESS_PAUSE = 5.0, 60.0
"""A Job that has had no pod for so long is asked about by its Events, and not again before so long."""
LATER = 1.0
"""Whoever looks again does so a little after that time."""
Diagnose = Callable[[SeenJob, Sequence[SeenPod], Sequence[Why]], Diagnosis]

Explain = Callable[[SeenJob, Sequence[SeenPod]], Diagnosis]
"""The same, of what is seen of the Job already."""


@dataclass(frozen=True)
class Alive:
    """It goes on, or waits in a queue, or for a node."""

    job: SeenJob
    trouble: Why | None = None
    """Why it does not start."""
    look_again: float | None = None


@dataclass(frozen=True)
class Done:
    """It reached what it was for."""

    words: Termination
    """Those that tell what that is."""


@dataclass(frozen=True)
class Untold:
    """Its Job is complete, and no pod of it is left to say with what."""


@dataclass(frozen=True)
class Awaited:
    """It has ended, and word of its pods is still on the way."""

    seconds: float


@dataclass(frozen=True)
class Ended:
    """It is over without success."""

    account: Account
    reason: str
    message: str
    final: bool = False
    """No other attempt makes sense."""


Outcome = Alive | Done | Untold | Awaited | Ended

GONE = Ended("infrastructure", "JobGone", "its Job is gone, and not by this operator; it is made anew")
STOPPED = Ended("nobody", "Suspended", "spec.suspend stopped it; it goes on from what it had committed")


@dataclass(frozen=True)
class Attempt:
    """One try of a step: its Job, and the Job that reads its receipt again where there had to be one."""

    step: Step
    number: int
    make: SeenJob | None
    collect: SeenJob | None

    @property
    def jobs(self) -> tuple[SeenJob, ...]:
        """Its Jobs, as far as they are there."""
        return tuple(job for job in (self.make, self.collect) if job is not None)


def attempt(observed: Observed, step: Step, number: int) -> Attempt:
    """Return what is seen of one try of a step."""
    by_work = {job.work: job for job in observed.jobs if (job.step, job.attempt) == (step.name, number)}
    return Attempt(step, number, by_work.get("make"), by_work.get("collect"))


def outcome(tried: Attempt, observed: Observed, now: datetime, diagnose: Diagnose) -> Outcome:
    """Return what became of an attempt."""
    for job in tried.jobs:
        told = _telling(tried.step, job, observed.pods_of(job))
        if told is not None:
            return Done(told)
    if tried.collect is not None:
        return _collected(tried.collect, observed.pods_of(tried.collect), now)
    if tried.make is None:
        wait = ending(observed.orphans(tried.step.name), now)
        return Awaited(wait) if wait else GONE
    said = observed.refused.get(tried.make.uid, ())

    def explain(job: SeenJob, pods: Sequence[SeenPod]) -> Diagnosis:
        return diagnose(job, pods, said)

    pods = observed.pods_of(tried.make)
    if not tried.make.over and not pods and not tried.make.suspended and not tried.make.deleting:
        return _podless(tried.make, now, explain if said else None)
    return _made(tried.step, tried.make, pods, now, explain)


def ending(orphans: Sequence[SeenPod], now: datetime) -> float:
    """Return how long to wait for pods that end after their Job went, so that two attempts do not work side by side."""
    left = (pod.gone_by is None or remaining(pod.gone_by + ENDED_FOR_SURE, now, LONGEST_GRACE) > 0 for pod in orphans)
    return ENDING_SECONDS if any(left) else 0.0


def losses(job: SeenJob, pods: Sequence[SeenPod], heard: int = 0) -> int:
    """Return how many pods of a Job were lost and replaced: as its own counter and the pods that are there tell, or as was
    `heard` of pods that have vanished since.
    """  # noqa: D205 - one sentence, too long for a line
    seen = max(heard, sum(pod.phase == "Failed" and pod.disrupted is not None for pod in pods))
    # Of a Job that fails, the counter tells of the pod that failed it, too.
    return seen if job.failed or job.failing else max(seen, job.failed_pods)


def _telling(step: Step, job: SeenJob, pods: Sequence[SeenPod]) -> Termination | None:
    """Return the last words that tell what a step came to; None where it has not, or nobody is there to say."""
    said = [pod for pod in pods if pod.phase == "Succeeded"]
    words = [pod.words for pod in said if pod.words is not None and pod.words.state == "done"]
    if step.name == names.PREFLIGHT:
        return next((one for one in words if one.plan), None)
    if step.name in {names.RESULTS, names.DISCARD}:
        return next(iter(words), None)
    if not job.done_indexes.union(pod.index for pod in said).issuperset(range(job.expected_indexes)):
        return None
    return next((one for one in words if one.receipt), None)


def _podless(job: SeenJob, now: datetime, explain: Explain | None) -> Alive:
    """Return how an attempt stands whose Job has no pod yet: its controller is about to make one, or is not let."""
    age = (now - job.created).total_seconds()
    wait = PODLESS_SECONDS + LATER
    if explain is None:
        return Alive(job, look_again=wait - age if 0 <= age < wait else PODLESS_PAUSE + LATER)
    found = explain(job, ())
    return Alive(job, Why(found.reason, found.message), PODLESS_PAUSE + LATER)


def _made(step: Step, job: SeenJob, pods: Sequence[SeenPod], now: datetime, diagnose: Explain) -> Outcome:
    if not job.over:
        return _going(job, pods, now, diagnose)
    wait = _words_due(job, pods, now)
    if wait:
        return Awaited(wait)
    if job.failed is not None:
        return _failed(job, pods, diagnose)
    if step.makes_artifact:
        return Untold()
    return Ended(
        "infrastructure", "LastWordsLost", "its pod went away before its last words were read; it is made anew"
    )


def _failed(job: SeenJob, pods: Sequence[SeenPod], diagnose: Explain) -> Ended:
    found = diagnose(job, pods)
    late = job.failed is not None and job.failed.reason == "DeadlineExceeded"
    if found.retry == "never" and not late:
        return Ended("application", found.reason, found.message, final=True)
    account: Account = "infrastructure" if found.retry == "infrastructure" and not late else "application"
    return Ended(account, found.reason, found.message)


def _going(job: SeenJob, pods: Sequence[SeenPod], now: datetime, diagnose: Explain) -> Outcome:
    if job.deleting:
        return Alive(job, Why("JobDeleted", "its Job is being deleted; its pods commit what they have"))
    held = [pod for pod in pods if _held_up(pod)]
    if not held or job.suspended:
        return Alive(job)
    found = diagnose(job, pods)
    # A node may turn up by itself, an image name will not mend itself.
    stuck = [pod for pod in held if pod.unschedulable is None]
    left = max((STUCK_SECONDS - (now - pod.created).total_seconds() for pod in stuck), default=None)
    if left is not None and left <= 0:
        return Ended("application", found.reason, found.message)
    return Alive(job, Why(found.reason, found.message), left)


def _held_up(pod: SeenPod) -> bool:
    """Tell whether a pod does not start, for a reason that does not pass by itself in a moment."""
    waits = pod.waiting is not None and pod.waiting.reason not in STARTING
    return not pod.over and not pod.deleting and (waits or pod.unschedulable is not None)


def _collected(job: SeenJob, pods: Sequence[SeenPod], now: datetime) -> Outcome:
    if not job.over:
        return Alive(
            job, Why("Collecting", "its pods went away before their last words were read; its receipt is read again")
        )
    wait = _words_due(job, pods, now)
    if wait:
        return Awaited(wait)
    return Ended("infrastructure", "NotWhole", "its Job is complete and its artifact is not; what is missing is made")


def _words_due(job: SeenJob, pods: Sequence[SeenPod], now: datetime) -> float:
    """Return how long to wait for word of the pods of a Job that ended; none where there is word, or the time is over."""
    ended = [pod for pod in pods if pod.phase == ("Failed" if job.failed else "Succeeded")]
    told = bool(ended) and all(pod.over for pod in pods) and job.failed is not None
    # Pods that a deadline ended are deleted, and leave no word.
    if told or job.finished is None or (job.failed and job.failed.reason == "DeadlineExceeded"):
        return 0.0
    elapsed = (now - job.finished).total_seconds()
    return WORDS_SECONDS - elapsed if 0 <= elapsed < WORDS_SECONDS else 0.0
