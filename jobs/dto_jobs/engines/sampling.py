"""Drawing tokens: temperature, nucleus, and a chance that belongs to the request and not to the batch."""

import hashlib

import torch

FIRST_LOOK = 24
"""Tokens looked at before sorting the whole vocabulary: nearly always they hold the nucleus."""


def seed_of(key: str) -> int:
    """Return the signed 64-bit seed that a request's key stands for."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big", signed=True)


def _signed(number: int) -> int:
    return number - (1 << 64) if number >= 1 << 63 else number


# Constants of splitmix64 (Steele, Lea, Flood 2014), which mixes a counter into bits that pass statistical tests.
_STEP, _MIX_1, _MIX_2 = (_signed(number) for number in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))


def _shift(bits: torch.Tensor, by: int) -> torch.Tensor:
    """Shift right without dragging the sign along, which torch's `>>` does."""
    return (bits >> by) & ((1 << (64 - by)) - 1)


def chance(seeds: torch.Tensor, steps: torch.Tensor) -> torch.Tensor:
    """Return a number in [0, 1) per row: a hash of the row's seed and step (both int64)."""
    bits = seeds * _STEP + (steps + 1) * _MIX_1
    for _ in range(2):
        bits = (bits ^ _shift(bits, 30)) * _MIX_1
        bits = (bits ^ _shift(bits, 27)) * _MIX_2
        bits = bits ^ _shift(bits, 31)
    return _shift(bits, 40).float() / (1 << 24)


def _pick(likely: torch.Tensor, top_p: torch.Tensor, where: torch.Tensor) -> torch.Tensor:
    """Return the place of the drawn token in each row of falling probabilities, the nucleus only."""
    kept = torch.where(likely.cumsum(-1) - likely < top_p[:, None], likely, 0.0)
    edges = kept.cumsum(-1)
    place = (edges <= where[:, None] * edges[:, -1:]).sum(-1)
    return torch.minimum(place, (kept > 0).sum(-1) - 1)


def draw(
    logits: torch.Tensor, temperature: torch.Tensor, top_p: torch.Tensor, seeds: torch.Tensor, steps: torch.Tensor
) -> torch.Tensor:
    """Draw one token per row of logits [rows, vocabulary]; temperature 0 takes the likeliest."""
    greedy = temperature <= 0
    best = logits.argmax(-1)
    if bool(greedy.all()):
        return best
    likely = (logits.float() / torch.where(greedy, 1.0, temperature)[:, None]).softmax(-1)
    where = chance(seeds, steps)
    head, tokens = likely.topk(min(FIRST_LOOK, likely.shape[-1]), -1)
    drawn = tokens.gather(1, _pick(head, top_p, where)[:, None])[:, 0]
    # Whether the first look suffices is asked of each row alone, so that a row's draw never depends on the others.
    wide = ((head.sum(-1) < top_p) & ~greedy).nonzero()[:, 0]
    if len(wide):
        all_likely, all_tokens = likely[wide].sort(dim=-1, descending=True, stable=True)
        drawn[wide] = all_tokens.gather(1, _pick(all_likely, top_p[wide], where[wide])[:, None])[:, 0]
    return torch.where(greedy, best, drawn)
