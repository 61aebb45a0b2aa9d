"""Attention for many rows of different lengths over one cache, the same bits for a row whatever its neighbours are.

Two rules make a row's result independent of the batch: every matrix product has at least `ROWS` rows, because kernels for
fewer add up in another order, and the number of keys is a multiple of `KEYS`, because kernels cut a longer sum into equal
blocks of at most so many. On x86 with float32 a token's logits are then the same bits whether it was drawn or part of a
prompt, beside whichever rows (tried with the embedded model and SmolLM2-135M). On kernels that cut otherwise, and on GPUs,
the last bits may differ, and so may, once in many thousand tokens, a draw; the same requests in the same order agree anywhere.
"""

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from transformers import AttentionInterface

NAME = "dto"
ROWS = 4
KEYS = 192


def round_up(number: int, unit: int) -> int:
    """Return the smallest multiple of `unit` that is not below `number`."""
    return -(-number // unit) * unit


def visible(positions: torch.Tensor, keys: int, dtype: torch.dtype) -> torch.Tensor:
    """Return the additive mask [rows, 1, tokens, keys] under which each position sees the keys up to itself."""
    seen = torch.arange(keys, device=positions.device) <= positions[..., None]
    zero = torch.zeros((), dtype=dtype, device=positions.device)
    return torch.where(seen, zero, float("-inf"))[:, None]


def attend(
    module: torch.nn.Module,  # noqa: ARG001 - transformers passes the layer
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor,
    scaling: float | None = None,
    **_: Any,  # noqa: ANN401 - transformers passes more than is needed here
) -> tuple[torch.Tensor, None]:
    """Attend from query [rows, heads, tokens, size] to key and value [rows, key heads, keys, size]."""
    missing = attention_mask.shape[-1] - key.shape[2]
    if missing:
        key, value = F.pad(key, (0, 0, 0, missing)), F.pad(value, (0, 0, 0, missing))
    one = _attend_one if query.shape[2] == 1 else _attend_many
    return one(query, key, value, attention_mask, scaling), None


def _attend_one(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor, scaling: float | None
) -> torch.Tensor:
    """One token per row: the heads that share keys become the rows of one product, so no key is copied."""
    rows, heads, _, size = query.shape
    group = heads // key.shape[1]
    together = F.pad(query.reshape(rows, key.shape[1], group, size), (0, 0, 0, max(0, ROWS - group)))
    found = F.scaled_dot_product_attention(together, key, value, attn_mask=mask, scale=scaling)
    return found[:, :, :group].reshape(rows, 1, heads, size)


def _attend_many(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor, scaling: float | None
) -> torch.Tensor:
    group = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(group, 1), value.repeat_interleave(group, 1)
    return F.scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=scaling).transpose(1, 2)


AttentionInterface.register(NAME, attend)
