"""The end of a run that is to take its artifacts along: what is still to be done before the API server may forget it.

Deletion never hangs: after `discard_seconds`, or when no Job can be made any more, the run goes and its artifacts stay.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta

from dto_jobs.termination import Termination
from dto_operator import names
from dto_operator.attempts import Diagnose
from dto_operator.decision import Decision
from dto_operator.job_manifest import store_address
from dto_operator.observation import Observed, SeenJob
from dto_operator.orders import Hold, Order, Release, Remove, Say, Start
from dto_operator.retries import BACKOFF, LONGEST_WAIT, remaining
from dto_operator.settings import OperatorSettings

POLICY = "DeleteOnRunDeletion"
SKEW = 600.0
"""Seconds by which the API server's clock may be ahead; a clock further off makes nobody wait."""


def guard(observed: Observed) -> Order | None:
    """Return what the finalizer needs: set before anything is written to the bucket, taken away once nobody wants it."""
    held = names.FINALIZER in observed.identity.finalizers
    if observed.run is None:
        return None
    wanted = observed.run.spec.artifacts.policy == POLICY
    if wanted == held:
        return None
    return Hold() if wanted else Release()


def farewell(observed: Observed, now: datetime, settings: OperatorSettings, diagnose: Diagnose) -> Decision:
    """Return what is to be done about a run that is being deleted."""
    working = [job for job in observed.jobs if job.work != "discard" and not job.over]
    stopped: list[Order] = [Remove(job.name, job.uid) for job in working if not job.deleting]
    if names.FINALIZER not in observed.identity.finalizers:
        return Decision(tuple(stopped))
    if observed.namespace_ends:
        # Nothing can be made here any more, a Job as little as an Event.
        return Decision((*stopped, Release()))
    asked = observed.identity.deleted
    left = (
        remaining(asked + timedelta(seconds=settings.discard_seconds), now, settings.discard_seconds + SKEW)
        if asked
        else 0
    )
    if left <= 0:
        return _orphaned(observed, settings, stopped, f"they were not removed within {settings.discard_seconds:.0f} s")
    if observed.run is None:
        return _orphaned(observed, settings, stopped, "the run's spec cannot be read")
    if working or observed.orphans():
        return Decision(tuple(stopped), look_again=min(left, 5.0))
    return _discarding(observed, now, settings, diagnose, left)


def _discarding(
    observed: Observed, now: datetime, settings: OperatorSettings, diagnose: Diagnose, left: float
) -> Decision:
    """Go on with the Job that removes what the run has in the bucket, or with the next one."""
    tries = sorted((job for job in observed.jobs if job.work == "discard"), key=lambda job: job.attempt)
    if not tries:
        return Decision((_start(observed, 1),), look_again=left)
    last = tries[-1]
    told = _told(observed, tries)
    if told is not None or last.complete:
        words = told.message if told else "as its Job says, of which no word is left"
        return Decision((Say("Normal", "ArtifactsDeleted", words), Release()))
    if not last.over:
        return Decision(look_again=left)
    why = diagnose(last, observed.pods_of(last), ())
    if why.retry == "never":
        return _orphaned(observed, settings, [], f"{why.reason}: {why.message}")
    pause = BACKOFF["infrastructure"].seconds(last.attempt, observed.identity.uid)
    wait = remaining((last.finished or now) + timedelta(seconds=pause), now, LONGEST_WAIT)
    if wait:
        return Decision(look_again=min(wait, left))
    said = Say("Warning", "ArtifactsNotDeleted", f"{why.reason}: {why.message}; it is tried again")
    return Decision((_start(observed, last.attempt + 1), said), look_again=left)


def _told(observed: Observed, tries: Iterable[SeenJob]) -> Termination | None:
    """Return the last words of a pod that removed everything."""
    pods = (pod for job in tries for pod in observed.pods_of(job) if pod.phase == "Succeeded")
    return next((pod.words for pod in pods if pod.words is not None and pod.words.state == "done"), None)


def _start(observed: Observed, attempt: int) -> Start:
    return Start(names.DISCARD, attempt, "discard", image=observed.status.image)


def _orphaned(observed: Observed, settings: OperatorSettings, stopped: list[Order], why: str) -> Decision:
    """Let the run go, and say where its artifacts are."""
    tries = [job for job in observed.jobs if job.work == "discard" and not job.over and not job.deleting]
    place = f"runs/{observed.identity.uid}/"
    if observed.run is not None:
        place = f"{store_address(observed.run.spec, settings)}/{place}"
    remedy = f"the run goes and its artifacts stay in {place}; `dto discard {observed.identity.uid}` removes them"
    removed = [Remove(job.name, job.uid) for job in tries]
    return Decision((*stopped, *removed, Say("Warning", "ArtifactsOrphaned", f"{why}: {remedy}"), Release()))
