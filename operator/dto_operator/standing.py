"""How a step stands: its row of the status, from what it was and what became of its attempt."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from math import isfinite
from typing import Any

from pydantic import ValidationError

from dto_jobs.termination import Termination
from dto_operator.attempts import STOPPED, Alive, Attempt, Done, Ended, losses
from dto_operator.observation import Amount, Observed, SeenJob, SeenPod, Why
from dto_operator.retries import charged, next_attempt, overdrawn
from dto_operator.status import (
    MESSAGE_BYTES,
    ArtifactReference,
    Attempts,
    CacheUse,
    Progress,
    StageStatus,
)
from dto_operator.steps import Step

MOST_FIGURES = 32
A_YEAR = 366 * 86_400
LIVE = {"Running", "Queued"}
"""States of a step whose last attempt has not been judged yet. In every other state that attempt is over, and what may still
run of it is removed."""


def waiting(name: str) -> StageStatus:
    """Return the row of a step of which nothing is seen yet."""
    return StageStatus.model_validate({"name": name, "state": "Pending"})


def anew(row: StageStatus, attempts: Attempts | None = None) -> StageStatus:
    """Return the row of a step that is to be made anew; how often it was tried and what that took stays."""
    return StageStatus(name=row.name, state="Pending", attempts=attempts or row.attempts, figures=row.figures)


def live(row: StageStatus, tried: Attempt, going: Alive, observed: Observed, now: datetime) -> StageStatus:
    """Return the row of a step at work, or in a queue."""
    job = going.job
    return row.model_copy(
        update={
            "state": "Queued" if job.suspended and not job.active else "Running",
            "attempts": row.attempts.model_copy(update={"total": tried.number}),
            "job_name": job.name,
            "start_time": row.start_time or job.created,
            "next_attempt_time": None,
            "progress": _progress(row, tried, observed, now),
            **_because(going.trouble),
        }
    )


def untold(row: StageStatus, tried: Attempt) -> StageStatus:
    """Return the row of a step whose receipt is read again."""
    job = tried.make
    return row.model_copy(
        update={
            "state": "Running",
            "attempts": row.attempts.model_copy(update={"total": tried.number}),
            "job_name": job.name if job else row.job_name,
            "start_time": row.start_time or (job.created if job else None),
            "next_attempt_time": None,
            **_because(Why("Collecting", "its Job is complete; its receipt is read again")),
        }
    )


def done(row: StageStatus, tried: Attempt, became: Done, observed: Observed, now: datetime) -> StageStatus:
    """Return the row of a step that is done."""
    words, pods = became.words, _pods(tried, observed)
    ends = [pod.finished for pod in pods if pod.finished is not None]
    inputs = _inputs(pods)
    job = (tried.collect or tried.make) if words.stage == "collect" else (tried.make or tried.collect)
    return row.model_copy(
        update={
            "state": "Succeeded",
            "attempts": row.attempts.model_copy(update={"total": tried.number}),
            "job_name": job.name if job else row.job_name,
            "start_time": row.start_time or (job.created if job else None),
            "completion_time": max(ends, default=now.replace(microsecond=0)),
            "next_attempt_time": None,
            "progress": Progress(done=inputs, total=inputs) if inputs else None,
            "artifact": _artifact(words),
            "figures": _figures(row, pods),
            "counts": dict(list(words.counts.items())[:MOST_FIGURES]),
            "reason": None,
            "message": None,
        }
    )


def ended(
    row: StageStatus, step: Step, tried: Attempt, became: Ended, observed: Observed, now: datetime
) -> StageStatus:
    """Return the row of a step whose attempt ended without success: to be tried again, or failed for good."""
    pods = _pods(tried, observed)
    lost = (
        losses(tried.make, observed.pods_of(tried.make), observed.lost.get(tried.make.uid, 0))
        if tried.make and became.account != "nobody"
        else 0
    )
    replaced = max(0, lost - (became.account == "infrastructure"))
    attempts = charged(row.attempts.model_copy(update={"total": tried.number}), became.account, replaced)
    spent = overdrawn(attempts, step.retry)
    again = None if became.final or spent else next_attempt(now, attempts, became.account, observed.identity.uid)
    failed = became.final or (spent is not None and became.account != "nobody")
    after = f"tried {tried.number} times, and {spent}: " if spent and not became.final else ""
    return row.model_copy(
        update={
            "state": "Failed" if failed else "Suspended" if became == STOPPED else "Pending",
            "attempts": attempts,
            "job_name": tried.jobs[-1].name if tried.jobs else row.job_name,
            "start_time": row.start_time or next((job.created for job in tried.jobs), None),
            "completion_time": now.replace(microsecond=0) if failed else None,
            "next_attempt_time": None if failed else again,
            "figures": _figures(row, pods),
            **_because(Why(became.reason, after + became.message)),
        }
    )


def too_many_losses(row: StageStatus, step: Step, job: SeenJob, observed: Observed) -> Ended | None:
    """Return the end of an attempt that goes on, but has lost more pods than the step may lose; None where it has not."""
    lost = _lost(job, observed)
    if row.attempts.infrastructure + lost <= step.retry.infrastructure:
        return None
    return Ended("infrastructure", "TooManyLosses", f"{lost} of its pods were lost to the machines", final=False)


def _lost(job: SeenJob, observed: Observed) -> int:
    return losses(job, observed.pods_of(job), observed.lost.get(job.uid, 0))


def planned(row: StageStatus, words: Termination, at: datetime | None) -> StageStatus:
    """Return the row of a stage as the preflight found it: done, where its artifact is there already."""
    note = next((note for note in words.steps if note.name == row.name), None)
    if note is None:
        return row
    cache = CacheUse(key=note.key[:128], hit=note.reused, damaged=note.damaged)
    if not note.reused:
        kept = row if row.state != "Succeeded" else anew(row)
        return kept.model_copy(update={"cache": cache})
    if row.state == "Succeeded":
        return row.model_copy(update={"cache": cache})
    return anew(row).model_copy(update={"state": "Succeeded", "cache": cache, "completion_time": at})


def stopped_by_failure(row: StageStatus, failed: str) -> StageStatus:
    """Return the row of a step that is stopped because another one failed."""
    because = _because(Why("RunFailed", f"{failed} failed, so it was stopped; what it had committed is kept"))
    return row.model_copy(update={"state": "Pending", "next_attempt_time": None, **because})


def _because(why: Why | None) -> dict[str, Any]:
    if why is None:
        return {"reason": None, "message": None}
    return {"reason": why.reason[:128], "message": shortened(why.message) or None}


def shortened(text: str, limit: int = MESSAGE_BYTES) -> str:
    """Return the text in at most so many bytes; what is left out is its middle, since causes stand first or last."""
    whole = text.encode()
    if len(whole) <= limit:
        return text
    head, tail = limit // 2, limit - limit // 2 - len("…".encode())
    return whole[:head].decode(errors="ignore") + "…" + whole[-tail:].decode(errors="ignore")


def _artifact(words: Termination) -> ArtifactReference | None:
    """Return what the receipt says. A pod's words are its own: what is no receipt is no reason to stop the operator."""
    note = words.receipt
    try:
        return ArtifactReference(uri=note.artifact, sha256=note.digest, bytes=note.bytes) if note else None
    except ValidationError:
        return None


def _pods(tried: Attempt, observed: Observed) -> list[SeenPod]:
    return [pod for job in tried.jobs for pod in observed.pods_of(job)]


def _inputs(pods: Iterable[SeenPod]) -> int:
    """Return the inputs of all shards that succeeded, each counted once."""
    by_shard = {pod.index: pod.words.inputs or 0 for pod in pods if pod.phase == "Succeeded" and pod.words}
    return sum(by_shard.values())


def _figures(row: StageStatus, pods: Iterable[SeenPod]) -> dict[str, float]:
    """Return what all attempts have spent: an attempt's share is added once, when it is judged."""
    spent = dict(row.figures)
    for pod in pods:
        for name, value in (pod.words.figures if pod.words else {}).items():
            if isfinite(value):
                spent[name] = spent.get(name, 0.0) + value
    return dict(list(spent.items())[:MOST_FIGURES])


def _progress(row: StageStatus, tried: Attempt, observed: Observed, now: datetime) -> Progress | None:
    """Return how far an attempt is, as its pods say; as before while they say nothing new, so that nothing is written."""
    job = tried.make
    if job is None:
        return row.progress
    shards = {pod.index: amount for pod in observed.pods_of(job) if (amount := _amount(pod, observed)) is not None}
    finished, known = sum(amount[0] for amount in shards.values()), sum(amount[1] for amount in shards.values())
    if not known or (row.progress and row.progress.done == finished):
        return row.progress
    # Shards that have not begun are taken to be as large as those that have.
    total = max(finished, round(known * max(job.expected_indexes, len(shards)) / len(shards)))
    elapsed = (now - (job.started or job.created)).total_seconds()
    left = elapsed / finished * (total - finished) if finished and elapsed > 0 else None
    eta = (now + timedelta(seconds=left)).replace(microsecond=0) if left is not None and left < A_YEAR else None
    return Progress(done=finished, total=total, eta=eta)


def _amount(pod: SeenPod, observed: Observed) -> Amount | None:
    if pod.words is not None and pod.words.inputs is not None:
        return pod.words.inputs_done, pod.words.inputs
    return observed.progress.get(pod.name)
