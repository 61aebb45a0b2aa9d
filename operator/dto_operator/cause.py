"""What may be the cause of an attempt that does not go well, and where a person mends it."""

from collections.abc import Callable
from dataclasses import dataclass

from dto_jobs.errors import Retry
from dto_operator import names
from dto_operator.observation import SeenJob, SeenPod


@dataclass(frozen=True)
class Diagnosis:
    """Why an attempt does not go well, and what to do."""

    reason: str
    """In one word."""
    message: str
    """In a sentence or two, at most 1 KiB."""
    retry: Retry
    """Whether another attempt as it is makes sense, and on whose account."""


Cause = Callable[[SeenJob, SeenPod], Diagnosis | None]
"""Says whether a pod is an example of it; None where it is not."""


def settings(job: SeenJob) -> str:
    """Return where a person sets up the Jobs of the step."""
    return f"spec.stages.{'evaluation' if job.step == 'baseline' else job.step}.job"


def small(job: SeenJob) -> bool:
    """Tell whether it is a step around the stages, set up by the operator's own settings."""
    return job.step in names.AROUND or job.work == "collect"


def whose(job: SeenJob, field: str, setting: str) -> str:
    """Return where a person sets a thing for the step's pods: in the run, or for the small ones at the operator."""
    return f"$DTO_OPERATOR_{setting} of the operator" if small(job) else f"{settings(job)}.{field}"


def fitting(text: str, most: int) -> str:
    """Return a text as one line of at most so many bytes."""
    line = " ".join(text.split())
    data = line.encode()
    return line if len(data) <= most else data[: most - 3].decode(errors="ignore") + "…"
