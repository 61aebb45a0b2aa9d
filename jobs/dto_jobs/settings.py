"""What a person may choose: the form of every settings class. Field names are snake_case here and camelCase in YAML."""

import os
from pathlib import Path

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


class Settings(BaseModel):
    """A group of settings. Frozen, documented field by field; unknown fields are refused."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=to_camel, validate_by_name=True, use_attribute_docstrings=True
    )


def store_from_environment() -> Path:
    """Return the folder for artifacts that $DTO_STORE names, or the default below the working directory."""
    return Path(os.environ.get("DTO_STORE") or "dto-store")


def benchmarks_from_environment() -> Path | None:
    """Return the folder with benchmark files that $DTO_BENCHMARKS names, if it names one."""
    named = os.environ.get("DTO_BENCHMARKS")
    return Path(named) if named else None


def key_from_environment(variable: str) -> str | None:
    """Return the secret that an environment variable holds, if it holds one."""
    return os.environ.get(variable) or None
