"""Which model a run optimizes, and what runs it."""

from typing import Any, ClassVar, Literal

from pydantic import Field

from dto_jobs.endpoint import Endpoint
from dto_jobs.rules import Agreement, ExactlyOne, Rule, WithoutKeys
from dto_jobs.settings import Settings

CLAIM = "pvc://"
CLAIMS = "/claims"
"""Where a pod sees the volumes that `pvc://claim/path` sources name, each in a folder of the claim's name."""


def claim_of(source: str) -> str | None:
    """Return the PersistentVolumeClaim that a `pvc://claim/path` source names; None for other sources."""
    return source.removeprefix(CLAIM).partition("/")[0] if source.startswith(CLAIM) else None


class ModelSource(Settings):
    """The model to optimize."""

    rules: ClassVar[tuple[Agreement, ...]] = (
        Rule(
            "trustRemoteCode: code that comes with a model is never run; leave it out",
            lambda model: not model.trust_remote_code,
            "!self.trustRemoteCode",
        ),
    )

    source: str = Field(
        min_length=1, examples=["hf://deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B", "builtin:tiny-reasoner"]
    )
    """`hf://org/name@revision`, `s3://bucket/prefix`, `pvc://claim/path`, `file:path`, `builtin:tiny-reasoner` or
    `builtin:smollm2-135m`."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Number format of the weights while they work; auto: as saved on a GPU, float32 on a CPU."""
    chat_template: str | None = None
    """Jinja chat template in place of the model's own."""
    trust_remote_code: bool = False
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


OWN_ARGUMENTS = {
    "model": "spec.model.source",
    "tokenizer": "spec.model.source",
    "dtype": "spec.model.dtype",
    "trust_remote_code": "spec.model.trustRemoteCode",
    "max_model_len": "context",
    "tensor_parallel_size": "tensorParallel",
    "data_parallel_size": "dataParallel",
    "gpu_memory_utilization": "gpuMemoryShare",
    "kv_cache_memory_bytes": "cacheMebibytes",
    "quantization": "quantization",
    "max_num_seqs": "maxSequences",
    "max_num_batched_tokens": "maxBatchedTokens",
    "enforce_eager": "enforceEager",
    "enable_prefix_caching": "prefixCaching",
    "enable_lora": "adapter",
}
"""vLLM's arguments that have a field of their own."""
LOADERS = ("load_format", "config_format", "tokenizer_mode", "model_loader_extra_config")
"""Ways to load that could run a pickle or code that comes with the model."""


class VllmEngine(Settings):
    """vLLM in this process. What is left out is vLLM's own choice for the machine."""

    rules: ClassVar[tuple[Agreement, ...]] = (
        Rule(
            "dataParallel: several copies of the model do not fit into one process; cut the stage into as many shards "
            "(job.shards), each of which runs its own copy",
            lambda engine: engine.data_parallel == 1,
            "self.dataParallel == 1",
        ),
        Rule(
            "maxBatchedTokens must be at least maxSequences: each sequence needs a token of every step",
            lambda engine: (engine.max_batched_tokens or engine.max_sequences or 0) >= (engine.max_sequences or 0),
            "!has(self.maxBatchedTokens) || !has(self.maxSequences) || self.maxBatchedTokens >= self.maxSequences",
        ),
        WithoutKeys(
            "extra_arguments",
            {name: f"has a field of its own: set {field}" for name, field in OWN_ARGUMENTS.items()}
            | dict.fromkeys(LOADERS, "cannot be set: weights are loaded from safetensors alone"),
        ),
    )

    tensor_parallel: int = Field(default=1, ge=1)
    """GPUs that share each layer of the model."""
    data_parallel: int = Field(default=1, ge=1)
    """Copies of the model. This engine holds one: run more as shards of a stage, each a process with its own engine."""
    context: int | None = Field(default=None, ge=8)
    """Most tokens of prompt and completion together; the model's own limit if absent."""
    gpu_memory_share: float = Field(default=0.9, gt=0, le=1)
    """Share of each GPU's memory for weights, keys and values. Has no part on a CPU."""
    cache_mebibytes: int | None = Field(default=None, ge=1)
    """Memory for keys and values; if absent what `gpuMemoryShare` leaves, and 4,096 on a CPU."""
    quantization: str | None = Field(default=None, min_length=1, examples=["fp8"])
    """How weights are quantized while they work, by vLLM's name; as the model's configuration says if absent."""
    max_sequences: int | None = Field(default=None, ge=1)
    """Sequences that grow at the same time."""
    max_batched_tokens: int | None = Field(default=None, ge=1)
    """Tokens of all sequences that pass through the model in one step. On a CPU at least `context`."""
    enforce_eager: bool | None = None
    """Skip compiling and graph capture: starts sooner, runs slower. If absent: compiled on a GPU, not on a CPU."""
    prefix_caching: bool = True
    """Keep the keys and values of prompts, so that shared beginnings are computed once."""
    adapter: str | None = Field(default=None, min_length=1)
    """LoRA adapter over the model, by source: samples come of both together. Training starts from the model alone, so merge
    the adapter into the model for a run that trains."""
    extra_arguments: dict[str, Any] = Field(default={}, examples=[{"kv_cache_dtype": "fp8"}])
    """Further engine arguments of vLLM, by its own names (`kv_cache_dtype`, `pipeline_parallel_size`, `speculative_config` …)."""


class OpenaiEngine(Endpoint):
    """A served model behind an OpenAI-compatible endpoint (completions), such as a vLLM deployment that runs share.

    Configuration and tokenizer of the served model come from `spec.model.source`, which needs no weights for that. The
    endpoint serves the base model only, so a run that uses it ends before the tuned model is evaluated.
    """

    context: int | None = Field(default=None, ge=8)
    """Most tokens of prompt and completion together; what the endpoint says, or the model's own limit, if absent or smaller."""
    extensions: bool = True
    """The endpoint takes vLLM's own fields (special marks kept in answers, sampling untouched by the model's defaults). False
    for servers that refuse them: marks such as `</think>` must then be plain text to them."""


class ScriptedEngine(Settings):
    """A reasoner without weights that answers graded sums by rule: for tests of everything but a model."""

    delay_seconds: float = Field(default=0.0, ge=0)
    """Pause per completion."""
    continuous: bool = False
    """Whether it takes all inputs of a stage at once, as vLLM does, or part by part."""


class EngineSource(Settings):
    """What completes texts; name exactly one."""

    rules: ClassVar[tuple[Agreement, ...]] = (
        ExactlyOne("name exactly one engine, with its settings or {}; for example engine: {transformers: {}}"),
    )

    transformers: TransformersEngine | None = None
    """transformers in this process."""
    vllm: VllmEngine | None = None
    """vLLM in this process: for GPUs; its build for CPUs works too."""
    openai: OpenaiEngine | None = None
    """A model that is served elsewhere."""
    scripted: ScriptedEngine | None = None
    """Answers by rule, no model."""

    @property
    def kind(self) -> str:
        """The name of the engine."""
        return next(name for name in type(self).model_fields if getattr(self, name) is not None)
