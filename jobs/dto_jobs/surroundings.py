"""What a stage's process is told by its environment: the contract with whoever starts it (docs/stage-contract.md)."""

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dto_jobs.errors import InputError

SECRET = re.compile(r"(SECRET|PASSWORD|TOKEN|KEY)(_ID)?$")
SHORTEST_SECRET = 6


class Surroundings(BaseModel):
    """What the environment says, by the names of its variables. Options of the command go first."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True, validate_by_name=True)

    plan: str | None = Field(default=None, alias="DTO_PLAN")
    """The plan: a file, or `store:` and its name in the store, such as `store:runs/my-run/plan.json`."""
    index: int = Field(default=0, ge=0, alias="JOB_COMPLETION_INDEX")
    """Which shard this process is, from 0. An Indexed Job sets it."""
    shards: int = Field(default=1, ge=1, alias="DTO_SHARDS")
    """How many shards the stage is cut into. May differ from attempt to attempt: parts are the same for any number."""
    attempt: int = Field(default=1, ge=1, alias="DTO_ATTEMPT")
    """Which try of the stage this is. Told in metrics and the termination message; every try goes on in the same artifact."""
    metrics_port: int | None = Field(default=None, ge=0, le=65535, alias="DTO_METRICS_PORT")
    """Port for `/metrics` and `/healthz`; 0 for any free one. None are served where it is not set."""
    termination_log: Path = Field(default=Path("/dev/termination-log"), alias="DTO_TERMINATION_LOG")
    """File for the last words. The default is written only where it exists, as it does in a pod."""
    grace_seconds: float = Field(default=25.0, gt=0, alias="DTO_GRACE_SECONDS")
    """How long to go on after SIGTERM: until the parts at work are committed, at most so long. Set it some seconds below the
    pod's `terminationGracePeriodSeconds`, which leaves time to write."""
    run_uid: str = Field(default="", pattern=r"^[A-Za-z0-9-]*$", alias="DTO_RUN_UID")
    """What tells the run from others of its name in the store: the uid of its object. Read by `dto preflight` alone."""
    stop_with_input: bool = Field(default=False, alias="DTO_STOP_WITH_INPUT")
    """Stop, as on SIGTERM, when the standard input ends. For a starter that may be killed: its children then stop, too."""


def surroundings(environment: Mapping[str, str] = os.environ) -> Surroundings:
    """Return what the environment says; InputError names the variable that cannot be read."""
    known = {field.alias for field in Surroundings.model_fields.values()}
    try:
        return Surroundings.model_validate({name: text for name, text in environment.items() if name in known and text})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise InputError(f"${first['loc'][0]} is {first['input']!r}: {first['msg']}") from error


def secrets(environment: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """Return the values of the environment that nobody may see, longest first."""
    found = {text for name, text in environment.items() if SECRET.search(name) and len(text) >= SHORTEST_SECRET}
    # As they stand, and as they stand inside JSON.
    return tuple(sorted({*found, *(json.dumps(text)[1:-1] for text in found)}, key=len, reverse=True))


def redacted(text: str, hidden: tuple[str, ...]) -> str:
    """Return the text without the secrets in it."""
    for secret in hidden:
        text = text.replace(secret, "[redacted]")
    return text
