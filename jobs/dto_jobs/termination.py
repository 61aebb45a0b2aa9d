"""The last words of a stage's process: a line for people, and the same for the operator, in at most 4 KiB."""

from collections.abc import Iterator
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from dto_jobs.errors import Retry

LIMIT = 4096
"""Bytes that Kubernetes keeps of a termination message."""
SHORTEST = 200


class Message(BaseModel):
    """A termination message, or a piece of one. Unknown fields are passed over: an older operator reads a newer stage."""

    model_config = ConfigDict(
        frozen=True, alias_generator=to_camel, validate_by_name=True, use_attribute_docstrings=True, extra="ignore"
    )


class ReceiptNote(Message):
    """A whole artifact, by its receipt."""

    artifact: str
    """Its place in the store."""
    digest: str
    """Sha256 over all its objects."""
    records: int
    bytes: int
    parts: int
    """Its objects: parts of records, or files of a model."""


class StepNote(Message):
    """A planned stage, as the preflight found it."""

    name: str
    key: str
    """Content key."""
    reused: bool
    """Its artifact is there already: the stage needs no Job."""
    damaged: bool | None = None
    """An artifact was there and is not what its receipt says; absent where none was."""


class Termination(Message):
    """What came of a process."""

    schema_version: Literal[1] = 1
    run: str
    stage: str
    """The stage; `preflight` or `collect` for the steps around the stages."""
    attempt: int = 1
    shard: str = "0/1"
    state: Literal["done", "stopped", "failed"]
    """`done`: its parts are committed. `stopped`: asked to end, goes on when started again."""
    exit_code: int
    retry: Retry = "never"
    """Whether another try as it is makes sense, and on whose account."""
    message: str
    """One line for people."""
    inputs_done: int = 0
    inputs: int | None = None
    """Of this shard."""
    seconds: float = 0.0
    figures: dict[str, float] = Field(default={})
    """Spent by this process: tokens by kind, FLOPs, engine and GPU seconds."""
    counts: dict[str, int] = Field(default={})
    """Of the whole artifact."""
    receipt: ReceiptNote | None = None
    """Given by whoever finds the artifact whole; at least one shard does."""
    plan: str | None = None
    """Of a preflight: where in the store the plan is."""
    steps: tuple[StepNote, ...] = ()
    """Of a preflight: the stages, first to last."""
    results: dict[str, Any] | None = None
    """Of a `collect` of the whole run: what `dto run --json` prints, its headline only."""

    def text(self) -> str:
        """Return the message, then a line of JSON; what does not fit is left out, the least needed first."""
        whole = self.model_copy(update={"message": " ".join(self.message.split())})
        return next(text for text in _ever_shorter(whole) if len(text.encode()) <= LIMIT)


def _ever_shorter(whole: Termination) -> Iterator[str]:
    """Yield the text, then what remains of it without results, without counts, and with ever less of the message."""
    yield _text(whole)
    for left_out in ("results", "counts"):
        whole = whole.model_copy(update={left_out: Termination.model_fields[left_out].get_default()})
        yield _text(whole)
    for kept in (LIMIT // 4, SHORTEST, SHORTEST // 4, 0):
        yield _text(whole.model_copy(update={"message": whole.message[:kept] + "…"}))
    yield _text(whole.model_copy(update={"message": "", "steps": (), "run": whole.run[:63], "receipt": None}))


def _text(whole: Termination) -> str:
    return f"{whole.message}\n{whole.model_dump_json(by_alias=True, exclude_none=True)}\n"


def parse(text: str) -> Termination | None:
    """Return the message that a process left; None where it left none that can be read, such as when it was killed."""
    last = text.strip().rpartition("\n")[2]
    try:
        return Termination.model_validate_json(last)
    except ValueError:
        return None
