"""What a person may choose: the form of every settings class. Field names are snake_case here and camelCase in YAML."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from dto_jobs.rules import Agreement

T = TypeVar("T")


class Settings(BaseModel):
    """A group of settings. Frozen, documented field by field; unknown fields are refused.

    What fields must agree on stands in `rules` and nowhere else: the cluster's schema is made from them too.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=to_camel, validate_by_name=True, use_attribute_docstrings=True
    )

    rules: ClassVar[tuple[Agreement, ...]] = ()

    @model_validator(mode="after")
    def _keep_rules(self) -> Self:
        broken = [wrong for rule in self.rules if (wrong := rule.broken(self))]
        if broken:
            raise ValueError("; ".join(broken))
        return self


def _distinct(values: tuple[T, ...]) -> tuple[T, ...]:
    return _without_repetition(values, values)


def _distinctly_named(values: tuple[Any, ...]) -> tuple[Any, ...]:
    return _without_repetition(values, tuple(value.name for value in values))


def _without_repetition(values: tuple[T, ...], keys: tuple[Any, ...]) -> tuple[T, ...]:
    repeated = next((key for number, key in enumerate(keys) if key in keys[:number]), None)
    if repeated is not None:
        raise ValueError(f"{repeated} is there twice; leave one out")
    return values


Distinct = Annotated[tuple[T, ...], AfterValidator(_distinct), Field(json_schema_extra={"uniqueItems": True})]
"""A list that says nothing twice."""

Named = Annotated[tuple[T, ...], AfterValidator(_distinctly_named), Field(json_schema_extra={"uniqueBy": "name"})]
"""A list of things that each have a name of their own."""


@dataclass(frozen=True, slots=True)
class S3Access:
    """How an S3-compatible service is reached. Keys come from the environment alone and are never shown."""

    endpoint: str
    """URL of the service."""
    region: str
    access_key: str | None = field(repr=False)
    secret_key: str | None = field(repr=False)
    session_token: str | None = field(repr=False)
    patience: float
    """Seconds for which a request is sent again while the service does not answer, or answers that it cannot now."""


def s3_from_environment(endpoint: str | None = None) -> S3Access:
    """Return how to reach S3: by the endpoint given, else $DTO_S3_ENDPOINT, else Amazon's; with the keys of
    $AWS_ACCESS_KEY_ID and $AWS_SECRET_ACCESS_KEY ($AWS_SESSION_TOKEN), in $AWS_REGION, for $DTO_S3_PATIENCE seconds.
    """  # noqa: D205 - one sentence, too long for a line
    found = os.environ.get
    return S3Access(
        endpoint=endpoint or found("DTO_S3_ENDPOINT") or "https://s3.amazonaws.com",
        region=found("AWS_REGION") or found("AWS_DEFAULT_REGION") or "us-east-1",
        access_key=found("AWS_ACCESS_KEY_ID"),
        secret_key=found("AWS_SECRET_ACCESS_KEY"),
        session_token=found("AWS_SESSION_TOKEN"),
        patience=float(found("DTO_S3_PATIENCE") or 120),
    )


def store_from_environment() -> str:
    """Return the store that $DTO_STORE names (a folder or s3://bucket/prefix), or the default below the working directory."""
    return os.environ.get("DTO_STORE") or "dto-store"


def scratch_from_environment() -> Path:
    """Return the folder for what is only needed while working (checkpoints, fetched models): $DTO_SCRATCH, or a cache folder."""
    named = os.environ.get("DTO_SCRATCH")
    return Path(named) if named else cache_from_environment() / "scratch"


def cache_from_environment() -> Path:
    """Return the folder for what was downloaded or converted once: `dto` in $XDG_CACHE_HOME, by default ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dto"


def benchmarks_from_environment() -> Path | None:
    """Return the folder with benchmark files that $DTO_BENCHMARKS names, if it names one."""
    named = os.environ.get("DTO_BENCHMARKS")
    return Path(named) if named else None


def key_from_environment(variable: str) -> str | None:
    """Return the secret that an environment variable holds, if it holds one."""
    return os.environ.get(variable) or None


@dataclass(frozen=True, slots=True)
class World:
    """A process's place among those that train together, as torchrun tells it."""

    rank: int = 0
    size: int = 1


def world_from_environment() -> World:
    """Return this process's place among those that torchrun started; alone where it did not."""
    return World(int(os.environ.get("RANK") or 0), int(os.environ.get("WORLD_SIZE") or 1))


def training_processes_from_environment() -> int | None:
    """Return how many processes $DTO_TRAINING_PROCESSES wants a training to run in on this machine, if it says."""
    named = os.environ.get("DTO_TRAINING_PROCESSES")
    return int(named) if named else None


@dataclass(frozen=True, slots=True)
class Nodes:
    """A machine's place among those that train together; the first one writes the model."""

    count: int = 1
    index: int = 0
    rendezvous: str = ""
    """Where they meet: the first one's address and a port that is free there."""


def nodes_from_environment() -> Nodes:
    """Return this machine's place: one of $DTO_TRAINING_NODES, which $JOB_COMPLETION_INDEX says; they meet at
    $DTO_TRAINING_RENDEZVOUS.
    """  # noqa: D205 - one sentence, too long for a line
    found = os.environ.get
    count = int(found("DTO_TRAINING_NODES") or 1)
    if count == 1:
        return Nodes()
    return Nodes(count, int(found("JOB_COMPLETION_INDEX") or 0), found("DTO_TRAINING_RENDEZVOUS") or "")
