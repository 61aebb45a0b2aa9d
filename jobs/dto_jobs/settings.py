"""What a person may choose: the form of every settings class. Field names are snake_case here and camelCase in YAML."""

import os
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


class Settings(BaseModel):
    """A group of settings. Frozen, documented field by field; unknown fields are refused."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=to_camel, validate_by_name=True, use_attribute_docstrings=True
    )


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
