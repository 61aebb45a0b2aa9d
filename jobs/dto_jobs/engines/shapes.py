"""The numbers that a model's FLOPs follow from, read off a model in memory or off its configuration alone."""

from pathlib import Path
from typing import Any

import torch
import transformers

from dto_jobs.core.cost import ModelShape
from dto_jobs.errors import InputError


def shape(model: Any) -> ModelShape:  # noqa: ANN401 - untyped library
    """Return the shape of a model that is loaded, or outlined on torch's meta device."""
    config = model.config
    embedding, head = model.get_input_embeddings().weight, model.get_output_embeddings().weight
    weights = {id(weight): weight.numel() for weight in model.parameters() if weight.dim() == 2}
    weights.pop(id(embedding), None)
    weights[id(head)] = head.numel()
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return ModelShape(
        parameters=sum(weights.values()), layers=config.num_hidden_layers, width=config.num_attention_heads * size
    )


def outlined(folder: Path) -> ModelShape:
    """Return the shape of a folder's model without loading a weight; InputError where transformers does not know it."""
    try:
        config = transformers.AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
        with torch.device("meta"):
            model = transformers.AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    except (OSError, ValueError, KeyError, RuntimeError) as problem:
        raise InputError(f"{folder}: transformers does not know this model: {problem}") from problem
    return shape(model)
