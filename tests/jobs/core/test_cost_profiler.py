"""The written formula against a profiler that counts the FLOPs of every matrix product really computed."""

from typing import Any

import pytest

pytestmark = pytest.mark.engines

torch = pytest.importorskip("torch", reason="counting real FLOPs needs the jobs environment")

from torch.utils.flop_counter import FlopCounterMode  # noqa: E402 - after the check that torch is there
from transformers import DynamicCache, Qwen2Config, Qwen2ForCausalLM  # noqa: E402 - likewise

from dto_jobs.core.cost import inference, training  # noqa: E402 - likewise
from dto_jobs.engines.transformers import shape  # noqa: E402 - likewise

MATRIX, ATTENTION = ("aten.mm", "aten.addmm"), ("aten.bmm", "aten.baddbmm")


@pytest.fixture(scope="module", params=[True, False], ids=["tied", "untied"])
def model(request: pytest.FixtureRequest) -> Any:
    """The demo model's shape with random weights: fewer key than query heads, head tied to the embedding or not."""
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=382,
        hidden_size=128,
        intermediate_size=352,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=1,
        tie_word_embeddings=request.param,
        attn_implementation="eager",
    )
    return Qwen2ForCausalLM(config)


def counted(counter: FlopCounterMode, operations: tuple[str, ...]) -> int:
    """Return what the profiler counted for these operations."""
    return sum(
        flops for operation, flops in counter.get_flop_counts()["Global"].items() if str(operation) in operations
    )


def test_an_answer_costs_what_the_profiler_counts(model: Any) -> None:
    prompt, generated = 40, 260
    cache = DynamicCache(config=model.config)
    token = torch.tensor([[5]])
    # One position after another, as a causal kernel computes them; the last token drawn is not fed.
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        for _ in range(prompt + generated - 1):
            token = model(token, past_key_values=cache, use_cache=True).logits[:, -1].argmax(-1, keepdim=True)
    spend = inference(shape(model), prompt=prompt, generated=generated)
    assert counter.get_total_flops() == pytest.approx(spend.flops, rel=0.05)
    assert counted(counter, MATRIX) == pytest.approx(spend.dense_flops, rel=0.01)
    assert counted(counter, ATTENTION) == pytest.approx(spend.attention_flops, rel=0.05)


def test_a_training_step_costs_what_the_profiler_counts(model: Any) -> None:
    length = 300
    tokens = torch.randint(0, 382, (1, length))
    with FlopCounterMode(display=False) as counter:
        model(tokens, labels=tokens).loss.backward()
    spend = training(shape(model), [length])
    assert counted(counter, MATRIX) == pytest.approx(spend.dense_flops, rel=0.05)
    # This kernel computes the masked half of attention too, which the formula leaves out.
    assert counted(counter, ATTENTION) / 2 == pytest.approx(spend.attention_flops, rel=0.05)
