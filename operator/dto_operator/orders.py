"""What reconcile asks to be done on the cluster: a few plain things, carried out one by one."""

from dataclasses import dataclass
from typing import Literal

Work = Literal["make", "collect", "discard"]


@dataclass(frozen=True)
class Start:
    """Create the Job of an attempt. That it exists already is success, if it belongs to this run."""

    step: str
    """`preflight`, a stage, or `results`."""
    attempt: int
    work: Work = "make"
    """`make` the step's artifact, or `collect` its receipt, where pods went away before they were read; `discard` what a run
    that is deleted has in the bucket."""
    plan: str | None = None
    """Where the plan is (`store:runs/UID/plan.json`); None for the preflight, which makes it."""
    image: str | None = None
    """The image that the run's preflight ran with: all of a run uses one version. None: the default of today."""
    rerun_from: str | None = None
    """For the preflight: the stage from which artifacts are made anew."""


@dataclass(frozen=True)
class Remove:
    """Delete a Job and its pods; they get their time to commit. That it is gone already is success."""

    job: str
    uid: str
    """Of the Job: another one of its name is left alone."""


@dataclass(frozen=True)
class Say:
    """Write an Event about the run."""

    kind: Literal["Normal", "Warning"]
    reason: str
    message: str


@dataclass(frozen=True)
class DeleteRun:
    """Delete the run itself: its time to live is over."""


@dataclass(frozen=True)
class Hold:
    """Set the finalizer: the run is not to go before what it has in the bucket."""


@dataclass(frozen=True)
class Release:
    """Take the finalizer away. That the run is gone already is success."""


Order = Start | Remove | Say | DeleteRun | Hold | Release
