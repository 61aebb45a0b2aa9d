"""A model's shape from its configuration, or from the headers of its weights: nothing is loaded."""

import json
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

from dto_jobs.core.cost import ModelShape
from dto_jobs.errors import InputError

BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "F8_E5M2": 1, "I8": 1}


class Described(NamedTuple):
    """What is known of a model without loading it."""

    shape: ModelShape
    weights: float
    """All weights, input embedding included."""
    weight_bytes: float
    """What they take on disk."""
    told_by: str
    """Where the numbers come from."""


def described(folder: Path) -> Described:
    """Return a model's shape from a folder with its `config.json`, and from its weights' headers where they are there."""
    config = read_config(folder / "config.json")
    tensors = [tensor for file in sorted(folder.glob("*.safetensors")) for tensor in _headers(file)]
    if tensors:
        return _from_headers(config, tensors)
    return from_config(config)


def read_config(path: Path) -> dict[str, Any]:
    """Return a model's configuration; InputError where the file holds none."""
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read the model's configuration {path}: {error}") from error
    if not isinstance(config, dict):
        raise InputError(f"{path} is no model configuration: it holds no object")
    return config


def from_config(config: dict[str, Any]) -> Described:
    """Return the shape that a dense model's configuration describes: Llama's, Qwen2's and their like."""
    if experts := [name for name in config if "experts" in name]:
        raise InputError(f"a mixture of experts ({experts[0]}) is not estimated from its configuration")
    try:
        hidden, layers = int(config["hidden_size"]), int(config["num_hidden_layers"])
        heads, inner, words = int(config["num_attention_heads"]), int(config["intermediate_size"]), config["vocab_size"]
    except KeyError as error:
        raise InputError(
            f"the model's configuration has no {error}: give the config.json of a causal language model"
        ) from error
    width = heads * int(config.get("head_dim") or hidden // heads)
    shared = int(config.get("num_key_value_heads") or heads) * width // heads
    # Queries and output, keys and values, and the three matrices of the gated MLP.
    layer = 2 * hidden * width + 2 * hidden * shared + 3 * hidden * inner
    head = hidden * int(words)
    parameters = layers * layer + head
    weights = parameters + (0 if config.get("tie_word_embeddings") else head)
    size = 4 if config.get("dtype", config.get("torch_dtype")) == "float32" else 2
    return Described(
        ModelShape(parameters=parameters, layers=layers, width=width), weights, size * weights, "its config.json"
    )


def _headers(file: Path) -> list[tuple[str, tuple[int, ...], int]]:
    """Return name, shape and bytes per number of every tensor in a safetensors file."""
    try:
        with file.open("rb") as opened:
            header = json.loads(opened.read(int.from_bytes(opened.read(8), "little")))
        return [
            (name, tuple(tensor["shape"]), BYTES.get(tensor["dtype"], 2))
            for name, tensor in header.items()
            if name != "__metadata__"
        ]
    except (OSError, ValueError, KeyError, OverflowError, MemoryError) as error:
        raise InputError(f"{file} is no safetensors file: {error}") from error


def _from_headers(config: dict[str, Any], tensors: list[tuple[str, tuple[int, ...], int]]) -> Described:
    embedding = {name: prod(shape) for name, shape, _ in tensors if name.endswith("embed_tokens.weight")}
    has_head = any(name.endswith("lm_head.weight") for name, _, _ in tensors)
    matrices = sum(prod(shape) for name, shape, _ in tensors if len(shape) == 2 and name not in embedding)
    # A tied head is the embedding, used a second time.
    parameters = matrices + (0 if has_head else sum(embedding.values()))
    heads, hidden = int(config["num_attention_heads"]), int(config["hidden_size"])
    width = heads * int(config.get("head_dim") or hidden // heads)
    return Described(
        ModelShape(parameters=parameters, layers=int(config["num_hidden_layers"]), width=width),
        sum(prod(shape) for _, shape, _ in tensors),
        sum(prod(shape) * size for _, shape, size in tensors),
        "the headers of its weights",
    )
