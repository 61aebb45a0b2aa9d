"""What vLLM is started with: the run's settings as vLLM's own, and those that a machine without a GPU needs."""

import json
import os
from dataclasses import fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from vllm.engine.arg_utils import EngineArgs
from vllm.platforms import current_platform

from dto_jobs.errors import InputError
from dto_jobs.model_source import ModelSource, VllmEngine

MEBIBYTE = 1 << 20
CPU_CACHE_MEBIBYTES = 4096
"""Memory for keys and values on a CPU where the run names none: vLLM would take nearly all there is."""
CPU_BLOCK = 32
"""Tokens per block of the prefix cache on a CPU; its attention is written for multiples of 32."""
RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""Ranks that vLLM has memory laid out for."""
LOGITS = 1 << 27
"""Most logits of one prompt at once. vLLM holds those of a scored text beside what it set aside memory for."""
# A request with a seed that enters in pieces ends vLLM on a CPU ("CPU Generator does not use offset").
PIECES = {"enable_chunked_prefill", "long_prefill_token_threshold", "max_num_partial_prefills"}


def engine_arguments(folder: Path, settings: VllmEngine, source: ModelSource, rank: int = 0) -> EngineArgs:
    """Return what vLLM is started with, `rank` being a LoRA adapter's, 0 for none; InputError for what vLLM has not."""
    arguments: dict[str, Any] = {
        "model": str(folder),
        "dtype": source.dtype,
        "max_model_len": settings.context,
        "tensor_parallel_size": settings.tensor_parallel,
        "gpu_memory_utilization": settings.gpu_memory_share,
        "kv_cache_memory_bytes": settings.cache_mebibytes and settings.cache_mebibytes * MEBIBYTE,
        "quantization": settings.quantization,
        "max_num_seqs": settings.max_sequences,
        "max_num_batched_tokens": settings.max_batched_tokens,
        "enforce_eager": settings.enforce_eager,
        "enable_prefix_caching": settings.prefix_caching,
        "trust_remote_code": False,
        "disable_log_stats": False,
        "use_tqdm_on_load": False,
    }
    if rank:
        arguments |= {"enable_lora": True, "max_lora_rank": next((size for size in RANKS if size >= rank), rank)}
    if current_platform.is_cpu():
        arguments |= _for_cpu(settings, source)
    else:
        arguments["long_prefill_token_threshold"] = _piece(folder, settings)
    chosen = {name: value for name, value in arguments.items() if value is not None}
    return EngineArgs(**chosen | _extra(settings))


def _piece(folder: Path, settings: VllmEngine) -> int:
    """Return how many tokens of one prompt enter at most in a step: a piece of 8,192 with 152,000 logits each is 5 GB."""
    config = json.loads((folder / "config.json").read_text())
    config = config.get("text_config", config)
    longest: int = settings.context or config.get("max_position_embeddings") or LOGITS
    vocabulary: int = config["vocab_size"]
    return max(1, min(LOGITS // vocabulary, longest))


def _for_cpu(settings: VllmEngine, source: ModelSource) -> dict[str, Any]:
    """Return the arguments that differ on a CPU."""
    # Read when the engine is made: a process of its own would only cost its start.
    os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
    if pieces := sorted(PIECES & settings.extra_arguments.keys()):
        raise InputError(
            f"spec.engine.vllm.extraArguments: {pieces[0]} cannot be set on a CPU, where prompts enter whole"
        )
    return {
        "dtype": "float32" if source.dtype == "auto" else source.dtype,
        "enforce_eager": settings.enforce_eager is not False,
        "kv_cache_memory_bytes": (settings.cache_mebibytes or CPU_CACHE_MEBIBYTES) * MEBIBYTE,
        "block_size": CPU_BLOCK,
        # Prompts enter whole then, and vLLM makes the budget of a step at least as large as the context.
        "enable_chunked_prefill": False,
    }


def _extra(settings: VllmEngine) -> dict[str, Any]:
    known = [field.name for field in fields(EngineArgs)]
    for name in settings.extra_arguments:
        if name not in known:
            near = get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise InputError(f"spec.engine.vllm.extraArguments: vLLM has no engine argument {name!r}{hint}")
    return settings.extra_arguments
