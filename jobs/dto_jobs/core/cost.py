"""What sampling, training and answering cost: tokens and FLOPs, by one written formula (method.md 9).

A *position* is one token that passes through the model. The last token of a completion is drawn but never passed in, so
a prompt of P tokens with G generated ones is P + G - 1 positions, less those whose keys and values were cached. The
position after c others attends to a context of c + 1 tokens, itself included.
"""

from collections.abc import Iterable

from pydantic import Field

from dto_jobs.core.records import Record

FORMULA = (
    "FLOPs = 2·N·positions + 4·L·d·Σ context lengths (training: three times that). "
    "N: weights in matrix products, output head counted, input embedding not; L: layers; d: heads · head size. "
    "Positions are the tokens passed through the model: cached prompt tokens and an answer's last token are not."
)


class ModelShape(Record):
    """The three numbers of a model that its FLOPs follow from."""

    parameters: int = Field(ge=1)
    """Weights in matrix products per token: all two-dimensional ones but the input embedding, output head counted."""
    layers: int = Field(ge=1)
    width: int = Field(ge=1)
    """Heads times head size (query heads: shared keys and values save memory, not FLOPs)."""


class Spend(Record):
    """What a piece of work took; two pieces add up. FLOPs are floats: large runs exceed 64-bit integers."""

    requests: int = Field(default=0, ge=0)
    prompt_computed: int = Field(default=0, ge=0)
    prompt_cached: int = Field(default=0, ge=0)
    generated: int = Field(default=0, ge=0)
    trained: int = Field(default=0, ge=0)
    """Tokens passed through training steps, each epoch counted."""
    judge_tokens: int = Field(default=0, ge=0)
    """Tokens, read and generated, of a judge; its FLOPs are counted where its shape is known: not behind an endpoint."""
    dense_flops: float = Field(default=0.0, ge=0)
    attention_flops: float = Field(default=0.0, ge=0)
    seconds: float = Field(default=0.0, ge=0)
    """Wall time of the engine or trainer."""
    gpu_seconds: float = Field(default=0.0, ge=0)
    """That time, once for each GPU that was held."""

    @property
    def flops(self) -> float:
        """Dense and attention FLOPs together."""
        return self.dense_flops + self.attention_flops

    def __add__(self, other: "Spend") -> "Spend":
        return Spend(**{name: getattr(self, name) + getattr(other, name) for name in Spend.model_fields})


def total(spends: Iterable[Spend]) -> Spend:
    """Return the sum of the spends; nothing spent for none."""
    return sum(spends, Spend())


def dense_flops(shape: ModelShape, positions: int) -> int:
    """Return the FLOPs of the weights' matrix products over so many positions."""
    return 2 * shape.parameters * positions


def attention_flops(shape: ModelShape, start: int, end: int) -> int:
    """Return the FLOPs of attention for positions `start` … `end - 1` (from 0) of a sequence."""
    # Σ (c + 1) for c = start … end - 1, as a difference of two triangular numbers; 4·L·d times that.
    return 2 * shape.layers * shape.width * (end * (end + 1) - start * (start + 1))


def inference(shape: ModelShape, *, prompt: int, cached: int = 0, generated: int) -> Spend:
    """Return what one completion takes: `prompt` tokens, `cached` of them not computed again, and `generated` ones."""
    end = prompt + max(0, generated - 1)
    return Spend(
        requests=1,
        prompt_computed=prompt - cached,
        prompt_cached=cached,
        generated=generated,
        dense_flops=dense_flops(shape, end - cached),
        attention_flops=attention_flops(shape, cached, end),
    )


def response_flops(shape: ModelShape, prompt: int, generated: int) -> tuple[float, float]:
    """Return the dense and the attention FLOPs of a whole answer, nothing cached."""
    spend = inference(shape, prompt=prompt, generated=generated)
    return spend.dense_flops, spend.attention_flops


def training(shape: ModelShape, lengths: Iterable[int]) -> Spend:
    """Return what passing sequences of these lengths through training takes: a forward pass and a backward of twice it.

    An upper bound where only adapters are trained, since frozen weights need no gradient of their own.
    """
    return total(
        Spend(
            requests=1,
            trained=length,
            dense_flops=3 * dense_flops(shape, length),
            attention_flops=3 * attention_flops(shape, 0, length),
        )
        for length in lengths
    )


def break_even(spent_flops: float, saved_flops_per_answer: float) -> float | None:
    """Return after how many answers the run has paid for itself; None where an answer saves nothing."""
    return spent_flops / saved_flops_per_answer if saved_flops_per_answer > 0 else None
