"""What a DTORun's status says: written by the operator alone, read by people, `kubectl wait` and dashboards."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from dto_jobs.core.results import Results
from dto_jobs.pipeline import StageName
from dto_jobs.settings import Named, Settings

MESSAGE_BYTES = 1024
"""Longest message of a stage: the last lines of a failed pod's log."""

Phase = Literal["Pending", "Queued", "Running", "Suspended", "Succeeded", "Failed"]

CONDITIONS = {
    "Accepted": "The spec can be run here; false names the field and the remedy.",
    "Progressing": "Stages are at work, or wait for their turn.",
    "Suspended": "`spec.suspend` stopped the run, or a queue has not let it start.",
    "Complete": "Every stage is done: `kubectl wait --for=condition=Complete dto/NAME`.",
    "Failed": "A stage failed for good; the message says why and what to do.",
    "GatePassed": "The tuned model is accepted by `spec.gate`; false says which check it missed.",
}
"""The conditions, and when each is true."""


class StatusPart(Settings):
    """A part of the status. What a newer operator wrote into it is read past."""

    model_config = ConfigDict(extra="ignore")


class Condition(StatusPart):
    """One thing that is so, is not so, or is not known; the shape is Kubernetes' own."""

    type: str = Field(
        max_length=316, pattern=r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z]([-A-Za-z0-9_.]*[A-Za-z0-9])?$"
    )
    """Which condition: `Accepted`, `Progressing`, `Suspended`, `Complete`, `Failed`, `GatePassed`, or one of another controller."""
    status: Literal["True", "False", "Unknown"]
    """Whether it is so."""
    observed_generation: int | None = Field(default=None, ge=0)
    """The spec's generation it was seen with."""
    last_transition_time: datetime
    """When `status` last changed."""
    reason: str = Field(min_length=1, max_length=1024, pattern=r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$")
    """Why, in one word, for programs."""
    message: str = Field(max_length=32_768)
    """Why, and what to do, for a person."""


class Attempts(StatusPart):
    """How often a stage was tried."""

    total: int = Field(default=0, ge=0)
    """All attempts."""
    counted: int = Field(default=0, ge=0)
    """Those that count toward `job.retry.application`."""
    infrastructure: int = Field(default=0, ge=0)
    """Losses that count toward `job.retry.infrastructure`: of whole attempts, and of single pods that were replaced."""


class Progress(StatusPart):
    """How far a stage is."""

    done: int = Field(ge=0)
    """Inputs that are worked off."""
    total: int = Field(ge=0)
    """Inputs in all."""
    eta: datetime | None = None
    """When it will be done at this pace."""


class CacheUse(StatusPart):
    """Whether a stage's artifact was there already."""

    key: str = Field(max_length=128)
    """Content key: a digest of all that the artifact depends on."""
    hit: bool
    """It was, and was verified."""
    damaged: bool | None = None
    """One was there and is not what its receipt says, so it was not used; absent where there was none."""


class ArtifactReference(StatusPart):
    """Where a stage's artifact is."""

    uri: str = Field(max_length=2048)
    """Its place in the store."""
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    """Digest of its receipt."""
    bytes: int = Field(ge=0)
    """Its size."""


class StageStatus(StatusPart):
    """How one stage stands; or the preflight before, the gathering of results after them, or the removal of intermediates."""

    name: Literal["preflight", StageName, "results", "discard"]
    """Which stage."""
    state: Literal["Pending", "Queued", "Running", "Suspended", "Succeeded", "Failed"]
    """How it stands."""
    attempts: Attempts = Attempts()
    """How often it was tried."""
    job_name: str | None = Field(default=None, max_length=63)
    """The Job of the last attempt."""
    start_time: datetime | None = None
    """When its first attempt began."""
    completion_time: datetime | None = None
    """When it succeeded or failed for good."""
    next_attempt_time: datetime | None = None
    """Not before then it is tried again."""
    progress: Progress | None = None
    """How far it is."""
    cache: CacheUse | None = None
    """Whether its artifact was there already."""
    artifact: ArtifactReference | None = None
    """What it made."""
    figures: dict[str, float] = Field(default={}, max_length=32)
    """Spent on it by all attempts: tokens by kind, FLOPs, engine and GPU seconds."""
    counts: dict[str, int] = Field(default={}, max_length=32)
    """What its artifact counts by kind, such as a judge's verdicts."""
    reason: str | None = Field(default=None, max_length=128)
    """Why it stands so, in one word."""
    message: str | None = Field(default=None, max_length=MESSAGE_BYTES)
    """Why it stands so and what to do; on failure the last lines of the log."""


class Summary(StatusPart):
    """The result in a few words, as `kubectl get` prints it."""

    tokens_saved: str | None = Field(default=None, max_length=32)
    """How many tokens an answer of the tuned model saves: `35 %`."""
    flops_saved: str | None = Field(default=None, max_length=32)
    """How many FLOPs it saves."""
    accuracy_change: str | None = Field(default=None, max_length=32)
    """How accuracy changed, in points of a hundred: `+11.3`."""


class Status(StatusPart):
    """How a run stands."""

    observed_generation: int | None = Field(default=None, ge=0)
    """The spec's generation that the status speaks of."""
    phase: Phase | None = None
    """The run in one word, derived from the rest."""
    stage: str | None = Field(default=None, max_length=63)
    """The stage at work, or the last one."""
    progress: str | None = Field(default=None, max_length=64)
    """How far that stage is: `12/32`."""
    conditions: Annotated[tuple[Condition, ...], Field(json_schema_extra={"uniqueBy": "type"})] = Field(
        default=(), max_length=16
    )
    """What is so, for `kubectl wait --for=condition=Complete`."""
    plan: str | None = Field(default=None, max_length=1024)
    """Where the run's plan is in its store."""
    image: str | None = Field(default=None, max_length=512)
    """Image of the run's Jobs: all of a run is made by one version, also if the operator is upgraded in between."""
    rerun_from: StageName | None = None
    """The `spec.rerunFrom` that the plan was made with."""
    stages: Named[StageStatus] = Field(default=(), max_length=16)
    """How each stage stands, in the order of the pipeline."""
    summary: Summary | None = None
    """The result in a few words."""
    results: Results | None = None
    """What the run found, as `dto run --json` prints it."""
