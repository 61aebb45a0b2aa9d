"""Which model a run optimizes, and what runs it."""

from typing import Literal

from pydantic import Field, model_validator

from dto_jobs.settings import Settings


class ModelSource(Settings):
    """The model to optimize."""

    source: str = Field(
        min_length=1, examples=["hf://deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B", "builtin:tiny-reasoner"]
    )
    """`hf://org/name@revision`, `s3://bucket/prefix`, `pvc://claim/path`, `file:path`, `builtin:tiny-reasoner` or
    `builtin:smollm2-135m`."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Number format of the weights while they work; auto: as saved on a GPU, float32 on a CPU."""
    chat_template: str | None = None
    """Jinja chat template in place of the model's own."""
    trust_remote_code: Literal[False] = False
    """Code that comes with a model is never run."""


class TransformersEngine(Settings):
    """Hugging Face transformers in this process, on a CPU or any device."""

    slots: int = Field(default=128, ge=1, le=4096)
    """Sequences that grow at the same time."""
    device: str = "auto"
    """torch device; auto takes a GPU if there is one."""
    context: int | None = Field(default=None, ge=8)
    """Most tokens of prompt and completion together; the model's own limit if absent or larger."""
    cache_mebibytes: int = Field(default=4096, ge=1)
    """Memory for the keys and values of running sequences; fewer run at once where they are too long for it."""
    prefix_cache_mebibytes: int = Field(default=1024, ge=0)
    """Memory for shared beginnings."""


class ScriptedEngine(Settings):
    """A reasoner without weights that answers graded sums by rule: for tests of everything but a model."""

    delay_seconds: float = Field(default=0.0, ge=0)
    """Pause per completion."""
    continuous: bool = False
    """Whether it takes all inputs of a stage at once, as vLLM does, or part by part."""


class EngineSource(Settings):
    """What completes texts; name exactly one."""

    transformers: TransformersEngine | None = None
    """transformers in this process."""
    scripted: ScriptedEngine | None = None
    """Answers by rule, no model."""

    @model_validator(mode="after")
    def _one_engine(self) -> "EngineSource":
        named = [name for name in type(self).model_fields if getattr(self, name) is not None]
        if len(named) != 1:
            raise ValueError(
                f"name exactly one engine, not {', '.join(named) or 'none'}; for example engine: {{transformers: {{}}}}"
            )
        return self

    @property
    def kind(self) -> str:
        """The name of the engine."""
        return next(name for name in type(self).model_fields if getattr(self, name) is not None)
