"""Where a judge's verdicts come from."""

from typing import ClassVar

from pydantic import Field

from dto_jobs.endpoint import Endpoint
from dto_jobs.rules import Agreement, ExactlyOne
from dto_jobs.settings import Settings


class JudgeSource(Settings):
    """Who judges: a served model, or a second model in the same Job."""

    rules: ClassVar[tuple[Agreement, ...]] = (
        ExactlyOne(
            "name either an endpoint or a model; leave `judge` out to prune without a judge", ("endpoint", "model")
        ),
    )

    endpoint: Endpoint | None = None
    """A served model, asked by chat."""
    model: str | None = None
    """Source of a second model, loaded beside the first by an engine of the same kind and settings: with vLLM on a GPU both need
    room, so set `engine.vllm.gpuMemoryShare` below a half."""
    context: int = Field(default=8192, ge=512)
    """Tokens of question and answer that the judge can take; longer traces are judged in several windows."""
    thinking_tokens: int = Field(default=0, ge=0)
    """Room for a judge that thinks before it answers."""
    guided: bool = True
    """Ask for an answer that keeps to a JSON schema; false for an endpoint that refuses to be asked so."""
