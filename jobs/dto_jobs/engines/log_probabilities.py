"""Log-probabilities of responses without a matrix of logits over the whole sequence and vocabulary.

Logits of one pair of 8,192 tokens and a vocabulary of 152,000 take 10 GB in float32, and their gradient as much again. Here
the output head works on a few hundred tokens at a time and is computed once more in the backward pass, so that one chunk's
logits are all that is ever held; and it works on tokens of responses only, not on prompts and padding.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint

IGNORED = -100
"""The label of a token that is not part of a response."""
CHUNK_LOGITS = 2**25
"""Logits held at once: 128 MiB in float32, 220 tokens of a vocabulary of 152,000."""
SAMPLE = 32
"""Tokens on which both ways are compared before a training."""


@contextmanager
def head_reads(head: Any, labels: torch.Tensor) -> Iterator[None]:  # noqa: ANN401 - torch is untyped
    """While this holds, a model's output head returns `log_probabilities` of the labels in place of logits.

    So all is computed inside the model's own forward pass: what wraps it (processes that share gradients, shards that are
    gathered) sees nothing unusual.
    """
    project, chunk = head.forward, max(1, CHUNK_LOGITS // head.out_features)
    own = "forward" in vars(head)
    head.forward = lambda hidden: log_probabilities(project, hidden, labels, chunk)
    try:
        yield
    finally:
        if own:
            head.forward = project
        else:
            del head.forward


def log_probabilities(project: Any, hidden: torch.Tensor, labels: torch.Tensor, chunk: int) -> torch.Tensor:  # noqa: ANN401 - torch is untyped
    """Return the natural log-probability of each next token, float32 (sequences, length - 1), 0 where its label is ignored.

    `project` turns hidden states (tokens, width) into logits; `hidden` is (sequences, length, width), `labels` (sequences,
    length); `chunk` tokens are worked on at a time.
    """
    following = labels[:, 1:]
    places = following != IGNORED
    states, wanted = hidden[:, :-1][places], following[places]
    if len(wanted) <= chunk:
        found = _read(project, states, wanted)
    else:
        chunks = zip(states.split(chunk), wanted.split(chunk), strict=True)
        found = torch.cat(
            [checkpoint(_read, project, *one, use_reentrant=False, preserve_rng_state=False) for one in chunks]
        )
    return found.new_zeros(places.shape).masked_scatter(places, found)


def _read(project: Any, states: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:  # noqa: ANN401 - torch is untyped
    return -torch.nn.functional.cross_entropy(project(states).float(), wanted, reduction="none")


@torch.no_grad()
def disagreement(model: Any, tokens: list[int]) -> float:  # noqa: ANN401 - transformers is untyped
    """Return the largest difference between log-probabilities read in the head and those of the model's own logits.

    Not zero for a model that changes its logits after the head (by a cap or a scale).
    """
    inputs = torch.tensor([tokens[:SAMPLE]], device=model.device)
    plain = model(inputs, use_cache=False).logits[:, :-1].float().log_softmax(-1)
    with head_reads(model.get_output_embeddings(), inputs):
        read = model(inputs, use_cache=False).logits
    return float((read - plain.gather(-1, inputs[:, 1:, None])[..., 0]).abs().max())
